import copy

import numpy as np
import pytest
import torch
from bumps import bumps, pruned_jobs
from torch import nn

from prunemia import defenses, models, training
from prunemia.defenses.private import DELTA, MAX_GRAD_NORM
from prunemia.training import FitSettings, Job, TrainingError, fit


@pytest.fixture(scope="module")
def series():
    """Give features and labels."""
    return bumps()


def test_epsilon_is_the_accountants(series):
    from opacus.accountants import RDPAccountant

    (job,) = pruned_jobs("columnfc", 1)
    (history,) = fit(
        [job], *series, FitSettings(epochs=4, batch_size=40), defense=defenses.get("dp", 1.5)
    )
    # 150 rows in batches of 40: 4 an epoch, so each row enters with probability 1/4; 4 epochs, 16
    # steps.
    oracle = RDPAccountant()
    oracle.history = [(1.5, 1 / 4, 16)]
    assert history.guarantee["epsilon"] == pytest.approx(oracle.get_epsilon(DELTA), rel=1e-12)
    assert history.guarantee["delta"] == DELTA == 1e-5
    assert "fine-tuning alone" in history.guarantee["caveat"]


def test_more_noise_costs_less_epsilon(series):
    spent = [
        fit(
            pruned_jobs("columnfc", 1),
            *series,
            FitSettings(epochs=1),
            defense=defenses.get("dp", sigma),
        )[0].guarantee["epsilon"]
        for sigma in (0.5, 1, 4)
    ]
    assert spent[0] > spent[1] > spent[2] > 0


def test_clipping_is_per_example(series, monkeypatch):
    # One row with a huge gradient: clipped alone, it moves the sum by at most MAX_GRAD_NORM;
    # clipped as a batch, it would scale all others down. The oracle clips each row's own autograd
    # gradient; no noise, plain sums.
    from opacus.optimizers import DPOptimizer

    features, labels = (part.clone() for part in series)
    (job,) = pruned_jobs("columnfc", 1)
    features[job.train[0]] *= 1e4
    for layer in job.module:
        if isinstance(layer, models.Dropout):
            layer.p = 0.0
    silent = lambda self: [setattr(p, "grad", p.summed_grad.clone()) for p in self.params]  # noqa: E731
    monkeypatch.setattr(DPOptimizer, "add_noise", silent)
    oracle = copy.deepcopy(job.module)
    defense = defenses.get("dp")
    run = training.Run(
        [job], features, labels, FitSettings(epochs=1, batch_size=200, weight_decay=0), defense
    )
    defense.start(run)
    run.networks.train(True)
    run._step(features[job.train][None], labels[job.train][None])
    got = [p.summed_grad for p in job.module.parameters()]

    expected = [torch.zeros_like(p) for p in oracle.parameters()]
    norms = []
    for row in job.train:
        loss = nn.functional.cross_entropy(oracle(features[row][None]), labels[row][None])
        slopes = torch.autograd.grad(loss, list(oracle.parameters()))
        norms.append(torch.stack([s.norm() for s in slopes]).norm().item())
        for total, slope in zip(expected, slopes, strict=True):
            total += slope * min(1.0, MAX_GRAD_NORM / norms[-1])
    assert norms[0] > 1000 * np.median(norms)
    for x, y in zip(got, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4)


def test_batches_are_poisson_samples(series):
    defense = defenses.get("dp")
    run = training.Run(
        pruned_jobs("columnfc", 1), *series, FitSettings(epochs=1, batch_size=30), defense
    )
    defense.start(run)
    drawn = [batch for _ in range(200) for batch in defense.batches(run)]
    sizes = np.array([batch.shape[1] for batch in drawn])
    # 1,000 batches of Binomial(150, 1/5): mean 30, variance 24; five standard errors either side.
    assert len(drawn) == 1000
    assert abs(sizes.mean() - 30) < 5 * (24 / 1000) ** 0.5
    assert abs(sizes.var() - 24) < 5 * 24 * (2 / 1000) ** 0.5
    assert all(len(batch[0].unique()) == batch.shape[1] for batch in drawn[:20])
    assert bool(torch.isin(torch.cat([b[0] for b in drawn]), run.train).all())


def test_an_empty_batch_is_a_step_of_noise(series):
    for kind in ("columnfc", "cnn1d"):
        (job,) = pruned_jobs(kind, 1)
        features, labels = series
        defense = defenses.get("dp")
        run = training.Run([job], features, labels, FitSettings(epochs=1), defense)
        defense.start(run)
        run.networks.train(True)
        before = copy.deepcopy(job.module.state_dict())
        empty = run.train[:, :0]
        assert run._step(features[empty], labels[empty]).item() == 0
        after = job.module.state_dict()
        assert any(not torch.equal(before[name], after[name]) for name in before)
        assert all(bool(value.isfinite().all()) for value in after.values())


def test_dp_freezes_batch_normalization(series):
    (job,) = pruned_jobs("cnn1d", 1)
    before = copy.deepcopy(job.module.state_dict())
    fit([job], *series, FitSettings(epochs=2, batch_size=64), defense=defenses.get("dp"))
    after = job.module.state_dict()
    for place, layer in enumerate(job.module):
        if isinstance(layer, nn.BatchNorm1d):
            assert all(
                torch.equal(before[n], after[n]) for n in before if n.startswith(f"{place}.")
            )
    assert not torch.equal(before["0.weight"], after["0.weight"])


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (
            nn.BatchNorm1d(1, track_running_stats=False),
            r"network 0: defense 'dp' cannot take layer '0': .* by the batch",
        ),
        (
            nn.InstanceNorm1d(1, affine=True, track_running_stats=True),
            "network 0: defense 'dp' cannot take this network",
        ),
    ],
)
def test_dp_refuses_a_network_whose_normalization_cannot_be_frozen(layer, sentence, series):
    (job,) = pruned_jobs("columnfc", 1)
    job = Job(job.name, nn.Sequential(layer, *job.module), job.train, job.validation, job.test, 0)
    with pytest.raises(TrainingError, match=sentence):
        fit([job], *series, FitSettings(epochs=1), defense=defenses.get("dp"))


def test_dp_takes_one_network_at_a_time(series):
    with pytest.raises(ValueError, match="2 networks of a defense that takes one at a time"):
        fit(
            pruned_jobs("columnfc", 2),
            *series,
            FitSettings(epochs=1),
            defense=defenses.get("dp"),
        )
