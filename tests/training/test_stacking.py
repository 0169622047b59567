import dataclasses

import pytest
import torch
from bumps import jobs
from torch import nn
from torch.testing import assert_close

from prunemia.models import one_thread
from prunemia.training import FitSettings, fit
from prunemia.training.stacking import Stack, stackable


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
