import math

import pytest
import torch
from bumps import bumps, pruned_jobs

from prunemia import defenses
from prunemia.training import FitSettings, Run, fit


@pytest.fixture(scope="module")
def series():
    """Give features and labels."""
    return bumps()


def test_the_loss_is_the_divergence_from_the_originals_answers_by_hand():
    # Teacher (3/4, 1/4), student (1/2, 1/2): KL = 3/4 ln(3/2) + 1/4 ln(1/2).
    defense = defenses.get("distill", 1)
    defense.taught = torch.tensor([[[3.0, 1.0]]]).log()
    loss = defense.loss(None, None, None, torch.zeros(1, 1, 2), torch.zeros(1, 1))
    assert loss.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_the_temperature_divides_both_and_its_square_multiplies():
    # At T = 2 logits (2 ln 3, 0) become (ln 3, 0), the posterior (3/4, 1/4) of the case above.
    defense = defenses.get("distill", 2)
    defense.taught = torch.tensor([[[2 * math.log(3), 0.0]]])
    loss = defense.loss(None, None, None, torch.zeros(1, 1, 2), torch.zeros(1, 1))
    assert loss.item() == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)))


def test_an_epoch_has_as_many_batches_and_no_member(series):
    defense = defenses.get("distill")
    run = Run(pruned_jobs("columnfc", 2), *series, FitSettings(epochs=1, batch_size=32), defense)
    defense.start(run)
    batches = list(defense.batches(run))
    assert [b.shape[1] for b in batches] == [b.shape[1] for b in run.shuffled()]
    for network, samples in enumerate(torch.cat(batches, dim=1)):
        times = torch.bincount(samples, minlength=300)[run.validation[network]]
        assert times.sum() == 150  # all of them are validation samples: 50, each three times
        assert set(times.tolist()) == {3}


def test_the_answers_belong_to_the_samples_of_the_batch(series):
    features, labels = series
    defense = defenses.get("distill")
    jobs = pruned_jobs("columnfc", 2)
    run = Run(jobs, features, labels, FitSettings(epochs=1, batch_size=32), defense)
    defense.start(run)
    for batch in defense.batches(run):
        for network, job in enumerate(jobs):
            answers = job.original(features[batch[network]])
            torch.testing.assert_close(defense.taught[network], answers)


def test_neither_members_nor_any_label_enter(series):
    features, labels = series
    states = []
    for spoil in (False, True):
        (job,) = pruned_jobs("columnfc", 1)
        x, y = features.clone(), labels.clone()
        if spoil:
            x[job.train] = 7.0
            y[job.train] = 0
        fit([job], x, y, FitSettings(epochs=4), defense=defenses.get("distill"))
        states.append(job.module.state_dict())
    for one, other in zip(states[0].values(), states[1].values(), strict=True):
        assert torch.equal(one, other)


def test_the_pruned_network_comes_to_answer_as_the_original(series):
    features, _ = series
    (job,) = pruned_jobs("columnfc", 1)

    def apart() -> float:
        other = job.original(features[job.validation]).log_softmax(dim=1)
        mine = job.module(features[job.validation]).log_softmax(dim=1)
        return torch.nn.functional.kl_div(
            mine, other, log_target=True, reduction="batchmean"
        ).item()

    job.module.eval()
    before = apart()
    settings = FitSettings(epochs=60, batch_size=32, learning_rate=3e-3, keeps_last=True)
    fit([job], *series, settings, defense=defenses.get("distill"))
    assert apart() < before / 10
