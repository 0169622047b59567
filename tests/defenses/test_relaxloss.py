import math
from types import SimpleNamespace

import pytest
import torch
from bumps import bumps, pruned_jobs
from torch.nn import functional

from prunemia import defenses
from prunemia.defenses.losses import flattened
from prunemia.training import FitSettings, fit

# One network, a batch of two samples of three classes: p = (1/2, 1/3, 1/6) and (1/6, 1/3, 1/2).
LOGITS = torch.tensor([[[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]]]).log()
LABELS = torch.tensor([[0, 1]])
MEAN = (math.log(2) + math.log(3)) / 2


def slope_and_loss(epoch: int, target: float) -> tuple[torch.Tensor, float]:
    logits = LOGITS.clone().requires_grad_()
    each = functional.cross_entropy(logits[0], LABELS[0], reduction="none")[None]
    run = SimpleNamespace(epoch=epoch)
    loss = defenses.get("relaxloss", target).loss(run, None, LABELS, logits, each)
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    return slope, loss.item()


def descent() -> torch.Tensor:
    """Return the gradient of the batch's mean cross-entropy, (p - one-hot) / 2."""
    return (LOGITS.softmax(dim=2) - functional.one_hot(LABELS, 3)) / 2


def test_flattened_labels_keep_the_true_class_and_share_the_rest_equally():
    expected = torch.tensor([[[1 / 2, 1 / 4, 1 / 4], [1 / 3, 1 / 3, 1 / 3]]])
    torch.testing.assert_close(flattened(LOGITS, LABELS), expected)


@pytest.mark.parametrize("epoch", [0, 1, 2, 3])
def test_above_the_target_every_epoch_descends(epoch):
    slope, loss = slope_and_loss(epoch, 0.1)
    torch.testing.assert_close(slope, descent())
    assert loss == pytest.approx(MEAN - 0.1 * (epoch % 2 == 0))


def test_below_the_target_even_epochs_ascend():
    slope, loss = slope_and_loss(0, 2.0)
    torch.testing.assert_close(slope, -descent())
    assert loss == pytest.approx(2 - MEAN)


def test_below_the_target_odd_epochs_flatten():
    slope, loss = slope_and_loss(1, 2.0)
    # The gradient of a cross-entropy with soft labels t is (p - t) / 2: it leaves the true class's
    # probability where it is and moves the others towards each other.
    torch.testing.assert_close(slope, (LOGITS.softmax(dim=2) - flattened(LOGITS, LABELS)) / 2)
    assert slope[0, 0, 0] == pytest.approx(0, abs=1e-7)
    first = -(math.log(1 / 2) / 2 + math.log(1 / 3) / 4 + math.log(1 / 6) / 4)
    second = -(math.log(1 / 6) + math.log(1 / 3) + math.log(1 / 2)) / 3
    assert loss == pytest.approx((first + second) / 2)


def test_members_end_near_the_target():
    features, labels = bumps()
    settings = FitSettings(epochs=40, batch_size=32, learning_rate=3e-3, keeps_last=True)
    left = {}
    for target in (0.0, 0.7):
        (job,) = pruned_jobs("columnfc", 1)
        fit([job], features, labels, settings, defense=defenses.get("relaxloss", target))
        logits = job.module(features[job.train])
        left[target] = functional.cross_entropy(logits, labels[job.train]).item()
    assert left[0.0] < 0.1
    assert left[0.7] == pytest.approx(0.7, abs=0.25)
