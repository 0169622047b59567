"""Fits of one network against plain torch, and stacks against their networks one by one."""

import dataclasses

import pytest
import torch
from bumps import jobs
from torch import nn
from torch.testing import assert_close

from prunemia import models
from prunemia.models import one_thread
from prunemia.training import FitSettings, TrainingError, accuracy, batches, fit
from prunemia.training.stacking import Stack, stackable


@one_thread()
def test_a_stack_equals_the_plain_module_trained_by_plain_torch(series):
    # The oracle: the same batches, Adam, weight decay and no dropout, written with torch alone.
    features, labels = series
    (job,) = jobs("cnn1d", 1)
    oracle = models.build("cnn1d", (1, 12), 3, width=8, seed=0)
    adam = torch.optim.Adam(oracle.parameters(), lr=1e-3, weight_decay=5e-4)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(job.seed))
    for batch in job.train[order].split(50):
        adam.zero_grad()
        nn.functional.cross_entropy(oracle(features[batch]), labels[batch]).backward()
        adam.step()
    fit([job], features, labels, FitSettings(epochs=1, batch_size=50))
    assert_close(job.module.state_dict(), oracle.state_dict(), rtol=1e-4, atol=1e-6)


def test_patience_and_the_epoch_kept(series):
    (job,) = jobs("columnfc", 1)
    (history,) = fit([job], *series, FitSettings(epochs=60, patience=3, batch_size=32))
    best = max(history.validation)
    assert history.best_epoch == history.validation.index(best)
    assert len(history.validation) == history.best_epoch + 3 + 1 < 60
    assert accuracy(job.module, *series, job.validation) == best


def test_selection_counts_no_warm_up_and_may_be_left_out(series):
    (job,) = jobs("columnfc", 1)
    settings = FitSettings(epochs=25, patience=1, warmup=3, batch_size=32, keeps_last=True)
    (history,) = fit([job], *series, settings)
    assert (len(history.validation), history.best_epoch) == (25, 24)
    assert accuracy(job.module, *series, job.validation) == history.validation[-1]

    settings = FitSettings(epochs=20, patience=1, warmup=12, batch_size=32)
    (history,) = fit(jobs("columnfc", 1), *series, settings)
    assert history.best_epoch >= 12
    assert len(history.loss) >= 14
    # below its floor patience does not end a training
    job = dataclasses.replace(jobs("columnfc", 1)[0], floor=1.1)
    (history,) = fit([job], *series, FitSettings(epochs=20, patience=1, batch_size=32))
    assert len(history.loss) == 20


def test_divergence_names_network_epoch_and_learning_rate(series):
    features, labels = series
    broken = features.clone()
    networks = jobs("columnfc", 2)
    only_second = networks[1].train[~torch.isin(networks[1].train, networks[0].train)]
    broken[only_second] = float("nan")
    sentence = r"network 1: the loss is nan in epoch 1 at learning rate 0\.001"
    with pytest.raises(TrainingError, match=sentence):
        fit(networks, broken, labels, FitSettings(epochs=2))


def test_a_last_batch_of_one_sample_joins_the_one_before():
    cuts = {1: [(0, 1)], 8: [(0, 4), (4, 8)], 9: [(0, 4), (4, 9)], 10: [(0, 4), (4, 8), (8, 10)]}
    assert {n: batches(n, 4) for n in cuts} == cuts


def test_bfloat16_steps_end_near_float32_ones_with_float32_weights(series):
    # bfloat16 keeps 8 bits: a relative error of 2**-8 a product, which averages out over a loss of
    # 100 samples.
    losses = {}
    for precision in ("float32", "bfloat16"):
        (job,) = jobs("cnn1d", 1)
        settings = FitSettings(epochs=3, batch_size=32, precision=precision)
        losses[precision] = fit([job], *series, settings)[0].loss
        assert {value.dtype for value in job.module.parameters()} == {torch.float32}
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
    assert losses["bfloat16"] != losses["float32"]


# -- stacks


def gathered(kind, count):
    modules = [job.module for job in jobs(kind, count)]
    generators = [torch.Generator().manual_seed(i) for i in range(count)]
    return modules, Stack(modules, generators)


class Plain(nn.Module):
    """A network that is no nn.Sequential."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(x.flatten(1))


@pytest.mark.parametrize("kind", ["columnfc", "cnn1d"])
def test_a_stack_answers_as_each_of_its_networks_does_and_a_state_is_a_copy(kind, series):
    modules, stack = gathered(kind, 3)
    x = series[0][torch.stack([torch.arange(20) + 30 * i for i in range(3)])]
    stack.train(False)
    logits, state, expected = stack(x), stack.state(1), dict(modules[1].state_dict())
    for i, module in enumerate(modules):
        assert_close(logits[i], module.eval()(x[i]), rtol=1e-5, atol=1e-5)
    assert_close(state, expected, rtol=0, atol=0)
    with torch.no_grad():
        for value in stack.parameters.values():
            value.zero_()
    assert_close(state, expected, rtol=0, atol=0)


@one_thread()
def test_networks_that_are_kept_go_on_as_if_the_others_had_stayed(series):
    # Batch statistics, parameters and Adam's momenta of the networks in slots 2 and 0, in this
    # order, must come along: any of them lost or mixed up changes the next steps.
    def trained(slots):
        x, y = (part[:150].unflatten(0, (3, 50)) for part in series)
        _, stack = gathered("cnn1d", 3)
        adam = torch.optim.Adam(stack.parameters.values(), lr=1e-2, weight_decay=1e-2)
        for step in range(6):
            if step == 3 and slots:
                stack.keep(slots, adam)
                x, y = x[slots], y[slots]
            adam.zero_grad(set_to_none=True)
            logits, labels = stack(x).flatten(0, 1), y.flatten()
            nn.functional.cross_entropy(logits, labels, reduction="sum").backward()
            adam.step()
        return stack, adam

    (whole, _), (shrunk, adam) = trained(None), trained([2, 0])

    assert len(shrunk.generators) == 2
    assert set(adam.state) == set(shrunk.parameters.values())  # it forgot the larger stack's
    assert [len(value) for value in shrunk.parameters.values()] == [2] * len(shrunk.parameters)
    for slot, before in enumerate([2, 0]):
        assert_close(shrunk.state(slot), whole.state(before), rtol=1e-4, atol=1e-5)


def test_other_modules_train_alone(series):
    job = dataclasses.replace(jobs("columnfc", 1)[0], module=Plain())
    settings = FitSettings(epochs=40, learning_rate=1e-2, batch_size=32)
    (history,) = fit([job], *series, settings)
    assert history.validation[history.best_epoch] > 0.8
    with pytest.raises(ValueError, match="jobs: 2; allowed: 1"):
        fit([job, job], *series, settings)
    start = nn.Flatten(), nn.Linear(12, 3)
    assert stackable(nn.Sequential(*start))
    for other in (nn.Sequential(*start, nn.Tanh()), nn.Sequential(nn.Conv2d(1, 1, 3)), Plain()):
        assert not stackable(other)
