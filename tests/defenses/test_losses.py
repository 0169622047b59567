"""Defenses that change the loss, or which epoch is kept: each formula by hand, and its effect."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from bumps import pruned_jobs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.testing import assert_close

from prunemia import defenses
from prunemia.defenses import losses, ppb_divergence
from prunemia.defenses.losses import flattened, weights
from prunemia.models import one_thread
from prunemia.training import Defense, FitSettings, Run, fit


def begun(series, name, *strength, kind="columnfc", count=1, **options):
    """Return a defense and its run before the first step."""
    defense = defenses.get(name, *strength)
    run = Run(pruned_jobs(kind, count), *series, FitSettings(**{"epochs": 1} | options), defense)
    defense.start(run)
    return defense, run


def trained(series, defense, *, sparsity=0.6, **options):
    """Return a pruned network after a fit that keeps the last epoch."""
    (job,) = pruned_jobs("columnfc", 1, sparsity=sparsity)
    options = FitSettings(batch_size=32, keeps_last=True, **options)
    fit([job], *series, options, defense=defense)
    return job


def test_early_stopping_keeps_the_best_validation_loss_even_of_the_warm_up(series):
    (job,) = pruned_jobs("columnfc", 1)
    settings = FitSettings(epochs=60, patience=4, warmup=30, batch_size=32, learning_rate=5e-3)
    (history,) = fit([job], *series, settings, defense=defenses.get("earlystop"))
    best = min(history.validation_loss)
    assert history.best_epoch == history.validation_loss.index(best) < 30
    assert len(history.loss) == 31  # the warm-up's end: patience is long exhausted
    features, labels = series
    logits = job.module(features[job.validation])
    assert F.cross_entropy(logits, labels[job.validation]).item() == pytest.approx(best, rel=1e-5)


# --- PPB ---


def numpy_divergence(logits: np.ndarray) -> float:
    """Compute PPB's term row by row, from its definition."""
    half = len(logits) // 2
    total = 0.0
    for first, second in zip(logits[:half], logits[half : 2 * half], strict=True):
        p, q = (np.exp(z) / np.exp(z).sum() for z in (np.sort(second), np.sort(first)))
        total += (p * np.log(p / q)).sum()
    return total / half if half else 0.0


def test_ppb_by_hand():
    # Sorted, the first row's posterior is (3/4, 1/4), the second's (1/2, 1/2):
    # KL((1/2, 1/2) ‖ (3/4, 1/4)) = ½ ln(2/3) + ½ ln 2 = ½ ln(4/3). The classes' order does not
    # matter.
    logits = torch.tensor([[1.0, 3.0], [5.0, 5.0]], dtype=torch.float64).log()
    assert ppb_divergence(logits).item() == pytest.approx(0.5 * np.log(4 / 3), rel=1e-12)
    # The other way round it is KL((3/4, 1/4) ‖ (1/2, 1/2)) = ¾ ln(3/2) + ¼ ln(1/2).
    turned = 0.75 * np.log(1.5) - 0.25 * np.log(2)
    assert ppb_divergence(logits.flip(0)).item() == pytest.approx(turned, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(2, 6)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.floats(-8, 8, width=32))
    )
)
def test_ppb_equals_its_definition(logits):
    expected = pytest.approx(numpy_divergence(logits), rel=1e-9, abs=1e-12)
    assert ppb_divergence(torch.tensor(logits)).item() == expected


@pytest.mark.parametrize("rows", [2, 6, 7])
def test_ppbs_gradient_goes_through_both_halves_but_not_an_odd_row(rows):
    values = np.random.default_rng(rows).normal(size=(rows, 4)) * 2
    logits = torch.tensor(values, requires_grad=True)
    assert torch.autograd.gradcheck(ppb_divergence, logits)
    ppb_divergence(logits).backward()
    assert logits.grad.any(dim=1).tolist() == [True] * (rows // 2 * 2) + [False] * (rows % 2)


def test_ppb_of_equal_rows_is_zero_and_of_extreme_logits_finite():
    equal = torch.randn(2, 4).sort(dim=1).values[[0, 0]]
    for logits in (torch.ones(1, 3), torch.zeros(4, 5), equal):
        value = ppb_divergence(logits.requires_grad_())
        value.backward()
        assert value.item() == pytest.approx(0, abs=1e-6)
        assert_close(logits.grad, torch.zeros_like(logits))
    logits = torch.tensor([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]], requires_grad=True)
    value = ppb_divergence(logits)
    value.backward()
    # KL(uniform ‖ q) with ln q = (0, −1000, −2000): −ln 3 + 3000 / 3.
    assert value.item() == pytest.approx(1000 - np.log(3))
    assert bool(logits.grad.isfinite().all())


def test_ppb_of_a_stack_is_each_networks_own():
    logits = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ppb_divergence(logits), torch.stack([ppb_divergence(z) for z in logits]))
    with pytest.raises(ValueError, match=r"logits: shape \(3,\); allowed: \(B, C\)"):
        ppb_divergence(torch.zeros(3))


def test_ppb_lowers_the_divergence_of_the_trained_network(series):
    left = []
    for defense in (None, defenses.get("ppb", 16)):
        job = trained(series, defense, epochs=15, learning_rate=2e-3)
        left.append(ppb_divergence(job.module(series[0][job.train])).item())
    assert left[1] < left[0] / 2


# --- RelaxLoss ---

# One network, a batch of two samples of three classes: p = (1/2, 1/3, 1/6) and (1/6, 1/3, 1/2).
LOGITS = torch.tensor([[[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]]]).log()
LABELS = torch.tensor([[0, 1]])
MEAN = (math.log(2) + math.log(3)) / 2


DESCENT = (LOGITS.softmax(dim=2) - F.one_hot(LABELS, 3)) / 2
"""The gradient of the batch's mean cross-entropy."""

# Where odd epochs flatten: the gradient of a cross-entropy with soft labels t is (p - t) / 2, which
# leaves the true class's probability where it is and moves the others towards each other.
FLAT = (LOGITS.softmax(dim=2) - flattened(LOGITS, LABELS)) / 2
FLAT_LOSS = (math.log(2) / 2 + math.log(3) / 4 + math.log(6) / 4 + math.log(36) / 3) / 2


def test_flattened_labels_keep_the_true_class_and_share_the_rest_equally():
    expected = torch.tensor([[[1 / 2, 1 / 4, 1 / 4], [1 / 3, 1 / 3, 1 / 3]]])
    assert_close(flattened(LOGITS, LABELS), expected)
    assert FLAT[0, 0, 0] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    ("epoch", "target", "slope", "loss"),
    [
        *((0, 0.1, DESCENT, MEAN - 0.1), (1, 0.1, DESCENT, MEAN)),
        *((0, 2.0, -DESCENT, 2 - MEAN), (1, 2.0, FLAT, FLAT_LOSS)),
    ],
)
def test_above_the_target_it_descends_below_it_ascends_or_flattens(epoch, target, slope, loss):
    logits = LOGITS.clone().requires_grad_()
    each = F.cross_entropy(logits[0], LABELS[0], reduction="none")[None]
    run = SimpleNamespace(epoch=epoch)
    found = defenses.get("relaxloss", target).loss(run, None, LABELS, logits, each)
    assert_close(*torch.autograd.grad(found.sum(), logits), slope)
    assert found.item() == pytest.approx(loss)


@pytest.mark.parametrize(("target", "reach"), [(0.0, 0.1), (0.7, 0.25)])
def test_members_end_near_the_target(target, reach, series):
    defense = defenses.get("relaxloss", target)
    job = trained(series, defense, epochs=25, learning_rate=5e-3)
    left = F.cross_entropy(job.module(series[0][job.train]), series[1][job.train]).item()
    assert left == pytest.approx(target, abs=reach)


# --- distillation ---


@pytest.mark.parametrize("temperature", [1, 2])
def test_distillation_is_the_divergence_from_the_originals_answers_by_hand(temperature):
    # Teacher (3/4, 1/4), student (1/2, 1/2): KL = 3/4 ln(3/2) + 1/4 ln(1/2). The temperature
    # divides the logits (T ln 3, 0) to these, and its square multiplies.
    defense = defenses.get("distill", temperature)
    defense.taught = torch.tensor([[[temperature * math.log(3), 0.0]]])
    loss = defense.loss(None, None, None, torch.zeros(1, 1, 2), torch.zeros(1, 1))
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert loss.item() == pytest.approx(temperature**2 * divergence)


def test_an_epoch_has_as_many_batches_each_with_its_own_answers_and_no_member(series):
    defense, run = begun(series, "distill", count=2, batch_size=32)
    batches = []
    for batch in defense.batches(run):
        batches.append(batch)
        for network, job in enumerate(run.jobs):
            answers = job.original(series[0][batch[network]])
            assert_close(defense.taught[network], answers)
    assert [b.shape[1] for b in batches] == [b.shape[1] for b in Defense().batches(run)]
    for network, samples in enumerate(torch.cat(batches, dim=1)):
        times = torch.bincount(samples, minlength=300)[run.validation[network]]
        assert times.tolist() == [3] * 50  # all are validation samples: 50, each three times


def test_neither_members_nor_any_label_enter(series):
    states = []
    for spoil in (False, True):
        (job,) = pruned_jobs("columnfc", 1)
        x, y = (part.clone() for part in series)
        if spoil:
            x[job.train] = 7.0
            y[job.train] = 0
        fit([job], x, y, FitSettings(epochs=4), defense=defenses.get("distill"))
        states.append(job.module.state_dict())
    assert_close(*states, rtol=0, atol=0)


def test_the_pruned_network_comes_to_answer_as_the_original(series):
    def apart(job) -> float:
        networks = job.module.eval(), job.original
        mine, other = (n(series[0][job.validation]).log_softmax(dim=1) for n in networks)
        return F.kl_div(mine, other, log_target=True, reduction="batchmean").item()

    before = apart(*pruned_jobs("columnfc", 1))
    after = trained(series, defenses.get("distill"), epochs=25, learning_rate=5e-3)
    assert apart(after) < before / 10


# --- adversarial regularization ---


@one_thread()
def test_the_players_learn_against_each_other(series):
    # Members are sure of class 0, non-members know nothing: told apart at sight. Guessing costs 2
    # ln 2. Against the trained inference network, gradient steps on the members' logits fool it.
    defense, run = begun(series, "adv", 3)
    sure = torch.tensor([8.0, 0.0, 0.0]).expand(1, 20, 3)
    logits, labels = torch.cat([sure, torch.zeros(1, 20, 3)], dim=1), torch.zeros(1, 40).long()
    costs = [defense.learn(logits, labels).item() for _ in range(80)]
    assert costs[0] == pytest.approx(2 * math.log(2), rel=0.2)
    assert costs[-1] < 0.1

    members, labels = (sure / 4).clone().requires_grad_(), labels[:, :20]
    gains = []
    for _ in range(200):
        gain = F.logsigmoid(defense._guess(members, labels)).mean()
        (slope,) = torch.autograd.grad(gain, members)
        members = (members - 50 * slope).detach().requires_grad_()
        gains.append(gain.item())
    assert gains[-1] < gains[0] - 1
    penalty = defense.penalty(run, run.features[run.train[:, :20]], labels, members)
    assert penalty.shape == (1,)
    assert bool((torch.autograd.grad(penalty.sum(), members)[0] != 0).any())


def test_a_penalty_leaves_the_network_in_training_mode_and_its_statistics_alone(series):
    defense, run = begun(series, "adv", 3, kind="cnn1d", count=2)
    run.networks.train(True)
    before = {name: value.clone() for name, value in run.networks.buffers.items()}
    rows = run.train[:, :16]
    logits = torch.zeros(2, 16, 3, requires_grad=True)
    defense.penalty(run, run.features[rows], run.labels[rows], logits)
    assert run.networks.training
    assert_close(run.networks.buffers, before, rtol=0, atol=0)


def test_adversarial_regularization_closes_the_gap_between_members_and_others(series):
    features, labels = series

    def gap(defense):
        job = trained(series, defense, sparsity=0.3, epochs=30, learning_rate=3e-3)
        confidence = job.module(features).softmax(dim=1)[torch.arange(300), labels]
        return (confidence[job.train].mean() - confidence[job.test].mean()).item()

    assert gap(defenses.get("adv", 10)) < gap(None) / 2


# --- weighting by memorization ---


def test_weights_by_hand_and_none_without_slope(series):
    # s = ln 4: a member that an unseen network gets right weighs 1, one at 1/2 weighs 1/2, one at 0
    # weighs 1/4; their mean is 7/12.
    got = weights(torch.tensor([1.0, 0.5, 0.0]), math.log(4))
    assert_close(got, torch.tensor([12 / 7, 6 / 7, 3 / 7]))
    one, other = (
        fit(pruned_jobs("columnfc", 2), *series, FitSettings(epochs=3, batch_size=32), defense=each)
        for each in (defenses.get("wemem", 0), None)
    )
    for a, b in zip(one, other, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-5)


def test_members_with_a_wrong_label_weigh_least(series):
    features, labels = series[0], series[1].clone()
    (job,) = pruned_jobs("columnfc", 1)
    wrong = torch.isin(torch.arange(300), job.train[::10])
    labels[wrong] = (labels[wrong] + 1) % 3
    defense, _ = begun((features, labels), "wemem", 2, epochs=12, batch_size=32, learning_rate=3e-3)
    own = torch.isin(torch.arange(300), job.train)
    mine = defense.weights[0]
    assert mine[wrong].mean() < mine[own & ~wrong].mean() / 2
    assert mine[own].mean().item() == pytest.approx(1, rel=1e-5)


def test_no_helper_judges_a_member_that_it_trained_on(series, monkeypatch):
    # Helpers that answer by memory alone would be sure of every member; held back they are not.
    asked = []
    truth = losses._true_class

    def noted(helper, run, samples):
        asked.append((helper, samples))
        return truth(helper, run, samples)

    monkeypatch.setattr(losses, "_true_class", noted)
    _, run = begun(series, "wemem")
    assert len(asked) == 2
    judged = torch.cat([samples for _, samples in asked])
    assert sorted(judged.tolist()) == sorted(run.train[0].tolist())
    for helper, samples in asked:
        assert not set(helper.train.tolist()) & set(samples.tolist())
