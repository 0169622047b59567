import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from bumps import pruned_jobs
from torch import nn
from torch.testing import assert_close

from prunemia import defenses, models, training
from prunemia.pruning import Masks
from prunemia.registry import PrivateConfig
from prunemia.training import FitSettings, Job, TrainingError, fit


def started(job, series, **settings):
    """Return a defended run before its first step."""
    defense = defenses.get("dp")
    run = training.Run([job], *series, FitSettings(epochs=1, **settings), defense)
    defense.start(run)
    run.networks.train(True)
    return defense, run


def stepped(job, features, labels, monkeypatch, **settings):
    """Take one step of DP-SGD on all members, without noise; return the sums of what was clipped.

    The second value: each sample's gradients as they were clipped, parameter name → (n, …).
    """
    from opacus.optimizers import DPOptimizer

    silent = lambda self: [setattr(p, "grad", p.summed_grad.clone()) for p in self.params]  # noqa: E731
    monkeypatch.setattr(DPOptimizer, "add_noise", silent)
    _, run = started(job, (features, labels), weight_decay=0, **settings)
    run.step(job.train[None])
    learning = {name: p for name, p in job.module.named_parameters() if p.requires_grad}
    summed = {name: p.summed_grad for name, p in learning.items()}
    return summed, {name: p.grad_sample for name, p in learning.items()}


@pytest.mark.parametrize(
    ("kind", "method"),
    [("columnfc", "l1unstructured"), ("cnn1d", "l1structured"), ("cnn1d", "slim")],
)
def test_the_clipped_sum_is_that_of_the_kept_weights_alone(series, monkeypatch, kind, method):
    features, labels = series
    (job,) = pruned_jobs(kind, 1, method=method, sparsity=0.7)
    job = replace(job, train=job.train[:20])
    for layer in job.module:
        if isinstance(layer, models.Dropout):
            layer.p = 0.0
        if isinstance(layer, nn.BatchNorm1d):  # else no gradient reaches a removed filter
            nn.init.constant_(layer.bias, 0.5)
    # The oracle knows the kept entries of what learns alone: it writes them into the network, so
    # that there is no gradient of anything else.
    oracle = copy.deepcopy(job.module).eval()
    state = dict(oracle.state_dict())
    summed, samples = stepped(job, features, labels, monkeypatch, private=PrivateConfig(clip=0.3))
    masks = job.masks.keep
    keep = {name: masks.get(name, torch.ones_like(state[name], dtype=bool)) for name in samples}
    kept = {name: state[name][keep[name]] for name in keep}

    def loss(kept, x, y):
        whole = {n: torch.zeros_like(state[n]).masked_scatter(keep[n], kept[n]) for n in keep}
        logits = torch.func.functional_call(oracle, state | whole, (x[None],))
        return nn.functional.cross_entropy(logits, y[None])

    total = {name: torch.zeros_like(value) for name, value in kept.items()}
    for row in job.train:
        slopes = torch.func.grad(loss)(kept, features[row], labels[row])
        norm = torch.cat([slope.flatten() for slope in slopes.values()]).norm()
        for name, slope in slopes.items():
            total[name] += slope * min(1.0, 0.3 / float(norm))
    for name, mask in keep.items():
        assert samples[name][:, ~mask].abs().sum() == 0
        assert summed[name][~mask].abs().sum() == 0
        assert_close(summed[name][mask], total[name], rtol=1e-4, atol=1e-4)
    assert any(bool((~mask).any()) for mask in keep.values()) != (method == "slim")


def test_a_layer_that_is_called_twice_is_masked_once(monkeypatch):
    # Opacus adds up what both calls give a sample before it is masked and clipped. The weights are
    # the identity, of which one zero is removed: of the sample (1, 2) hidden values are (1, 2), and
    # logits, too; with p = e / (1 + e) of the second class the slope at the logits is (-p, p).
    # Second call: (-p, p) times (1, 2). First call: the slope at the hidden units is (-p, p) again,
    # times the sample (1, 2).
    layer, sample = nn.Linear(2, 2), torch.zeros(1, dtype=torch.long)
    layer.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    twice = nn.Sequential(layer, nn.ReLU(), layer)
    masks = Masks(twice, {"0.weight": torch.tensor([[True, False], [True, True]])}, ("0.weight",))
    job = Job("twice", twice, sample, sample, sample, 0, masks)
    _, samples = stepped(job, torch.tensor([[1.0, 2.0]]), torch.tensor([0]), monkeypatch)
    p = np.e / (1 + np.e)
    expected = torch.tensor([[[-2 * p, 0.0], [2 * p, 4 * p]]])
    assert_close(samples["0.weight"], expected, check_dtype=False)


def test_clip_and_rate_are_the_networks_own(series):
    own = PrivateConfig(clip=3.0, rate=4.0)
    _, run = started(*pruned_jobs("columnfc", 1), series, learning_rate=2e-3, private=own)
    assert run.optimizer.max_grad_norm == 3
    assert [group["lr"] for group in run.optimizer.param_groups] == [pytest.approx(8e-3)]


def test_batches_are_poisson_samples(series):
    defense, run = started(pruned_jobs("columnfc", 1)[0], series, batch_size=30)
    drawn = [batch for _ in range(200) for batch in defense.batches(run)]
    sizes = np.array([batch.shape[1] for batch in drawn])
    # 1,000 batches of Binomial(150, 1/5): mean 30, variance 24; five standard errors either side.
    assert len(drawn) == 1000
    assert abs(sizes.mean() - 30) < 5 * (24 / 1000) ** 0.5
    assert abs(sizes.var() - 24) < 5 * 24 * (2 / 1000) ** 0.5
    assert all(len(batch[0].unique()) == batch.shape[1] for batch in drawn[:20])
    assert bool(torch.isin(torch.cat([b[0] for b in drawn]), run.train).all())


@pytest.mark.parametrize("kind", ["columnfc", "cnn1d"])
def test_an_empty_batch_is_a_step_of_noise_which_leaves_batch_normalization(kind, series):
    (job,) = pruned_jobs(kind, 1)
    _, run = started(job, series)
    before = copy.deepcopy(job.module.state_dict())
    assert run.step(run.train[:, :0]).item() == 0
    assert run.step(run.train[:, :30]).item() > 0
    frozen = [str(i) for i, layer in enumerate(job.module) if isinstance(layer, nn.BatchNorm1d)]
    for name, value in job.module.state_dict().items():
        assert bool(value.isfinite().all())
        assert torch.equal(value, before[name]) == (name.split(".")[0] in frozen)


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (nn.BatchNorm1d(1, track_running_stats=False), "layer '0' always normalizes by"),
        (nn.InstanceNorm1d(1, affine=True, track_running_stats=True), ".*InstanceNorm"),
    ],
)
def test_dp_refuses_a_network_whose_normalization_cannot_be_frozen(layer, sentence, series):
    (job,) = pruned_jobs("columnfc", 1)
    job = Job(job.name, nn.Sequential(layer, *job.module), job.train, job.validation, job.test, 0)
    with pytest.raises(TrainingError, match=f"'dp' cannot take this network: {sentence}"):
        started(job, series)


def test_dp_takes_one_network_at_a_time(series):
    jobs, defense = pruned_jobs("columnfc", 2), defenses.get("dp")
    with pytest.raises(ValueError, match="jobs: 2; allowed: 1, for these cannot be trained as one"):
        fit(jobs, *series, FitSettings(epochs=1), defense=defense)
