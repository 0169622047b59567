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

from prunemia import defenses
from prunemia.defenses import ppb_divergence
from prunemia.defenses.losses import flattened
from prunemia.training import FitSettings, Run, fit


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
    for i in range(half):
        p, q = (
            np.exp(z) / np.exp(z).sum()
            for z in (sorted(logits[half + i])[::-1], sorted(logits[i])[::-1])
        )
        total += sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))
    return total / half if half else 0.0


def test_ppb_by_hand():
    # Sorted, the first row's posterior is (3/4, 1/4), the second's (1/2, 1/2):
    # KL((1/2, 1/2) ‖ (3/4, 1/4)) = ½ ln(2/3) + ½ ln 2 = ½ ln(4/3). The classes' order does not
    # matter.
    logits = torch.tensor([[1.0, 3.0], [5.0, 5.0]], dtype=torch.float64).log()
    assert ppb_divergence(logits).item() == pytest.approx(0.5 * np.log(4 / 3), rel=1e-12)
    # The other way round it is KL((3/4, 1/4) ‖ (1/2, 1/2)) = ¾ ln(3/2) + ¼ ln(1/2).
    assert ppb_divergence(logits.flip(0)).item() == pytest.approx(
        0.75 * np.log(1.5) - 0.25 * np.log(2), rel=1e-12
    )


def test_ppb_pairs_the_first_half_with_the_next():
    # Rows 0 and 2, 1 and 3 are each other's permutation: nothing to align. Neighbours differ.
    a, b = [0.0, 1.0, 5.0], [2.0, 2.5, 0.0]
    logits = torch.tensor([a, b, a[::-1], b[::-1]])
    assert ppb_divergence(logits).item() == pytest.approx(0, abs=1e-6)
    assert ppb_divergence(logits[[0, 2, 1, 3]]).item() > 0.1


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(2, 6)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.floats(-8, 8, width=32))
    )
)
def test_ppb_equals_its_definition(logits):
    assert ppb_divergence(torch.tensor(logits)).item() == pytest.approx(
        numpy_divergence(logits), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize("rows", [2, 6, 7])
def test_ppbs_gradient_goes_through_both_halves_but_not_an_odd_row(rows):
    values = np.random.default_rng(rows).normal(size=(rows, 4)) * 2
    logits = torch.tensor(values, requires_grad=True)
    assert torch.autograd.gradcheck(ppb_divergence, logits)
    ppb_divergence(logits).backward()
    assert logits.grad.any(dim=1).tolist() == [True] * (rows // 2 * 2) + [False] * (rows % 2)


@pytest.mark.parametrize(
    "logits",
    [torch.ones(1, 3), torch.zeros(4, 5), torch.randn(2, 4).sort(dim=1).values[[0, 0]]],
    ids=["one row", "ties", "equal rows"],
)
def test_ppb_has_nothing_to_align(logits):
    logits = logits.requires_grad_()
    value = ppb_divergence(logits)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits))


def test_ppb_of_extreme_logits_is_finite():
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
        (job,) = pruned_jobs("columnfc", 1)
        settings = FitSettings(epochs=15, batch_size=32, learning_rate=2e-3, keeps_last=True)
        fit([job], *series, settings, defense=defense)
        left.append(ppb_divergence(job.module(series[0][job.train])).item())
    assert left[1] < left[0] / 2


# --- RelaxLoss ---

# One network, a batch of two samples of three classes: p = (1/2, 1/3, 1/6) and (1/6, 1/3, 1/2).
LOGITS = torch.tensor([[[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]]]).log()
LABELS = torch.tensor([[0, 1]])
MEAN = (math.log(2) + math.log(3)) / 2


def slope_and_loss(epoch: int, target: float) -> tuple[torch.Tensor, float]:
    logits = LOGITS.clone().requires_grad_()
    each = F.cross_entropy(logits[0], LABELS[0], reduction="none")[None]
    run = SimpleNamespace(epoch=epoch)
    loss = defenses.get("relaxloss", target).loss(run, None, LABELS, logits, each)
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    return slope, loss.item()


def descent() -> torch.Tensor:
    """Return the gradient of the batch's mean cross-entropy, (p - one-hot) / 2."""
    return (LOGITS.softmax(dim=2) - F.one_hot(LABELS, 3)) / 2


def test_flattened_labels_keep_the_true_class_and_share_the_rest_equally():
    expected = torch.tensor([[[1 / 2, 1 / 4, 1 / 4], [1 / 3, 1 / 3, 1 / 3]]])
    torch.testing.assert_close(flattened(LOGITS, LABELS), expected)


@pytest.mark.parametrize("epoch", [0, 1])
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


def test_members_end_near_the_target(series):
    features, labels = series
    settings = FitSettings(epochs=25, batch_size=32, learning_rate=5e-3, keeps_last=True)
    left = {}
    for target in (0.0, 0.7):
        (job,) = pruned_jobs("columnfc", 1)
        fit([job], features, labels, settings, defense=defenses.get("relaxloss", target))
        logits = job.module(features[job.train])
        left[target] = F.cross_entropy(logits, labels[job.train]).item()
    assert left[0.0] < 0.1
    assert left[0.7] == pytest.approx(0.7, abs=0.25)


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
    defense = defenses.get("distill")
    jobs = pruned_jobs("columnfc", 2)
    run = Run(jobs, *series, FitSettings(epochs=1, batch_size=32), defense)
    defense.start(run)
    batches = []
    for batch in defense.batches(run):
        batches.append(batch)
        for network, job in enumerate(jobs):
            answers = job.original(series[0][batch[network]])
            torch.testing.assert_close(defense.taught[network], answers)
    assert [b.shape[1] for b in batches] == [b.shape[1] for b in run.shuffled()]
    for network, samples in enumerate(torch.cat(batches, dim=1)):
        times = torch.bincount(samples, minlength=300)[run.validation[network]]
        assert times.tolist() == [3] * 50  # all are validation samples: 50, each three times


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
    torch.testing.assert_close(*states, rtol=0, atol=0)


def test_the_pruned_network_comes_to_answer_as_the_original(series):
    features, _ = series
    (job,) = pruned_jobs("columnfc", 1)

    def apart() -> float:
        other = job.original(features[job.validation]).log_softmax(dim=1)
        mine = job.module(features[job.validation]).log_softmax(dim=1)
        return F.kl_div(mine, other, log_target=True, reduction="batchmean").item()

    job.module.eval()
    before = apart()
    settings = FitSettings(epochs=25, batch_size=32, learning_rate=5e-3, keeps_last=True)
    fit([job], *series, settings, defense=defenses.get("distill"))
    assert apart() < before / 10
