import numpy as np
import pytest
import torch
from bumps import bumps, pruned_jobs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prunemia import defenses
from prunemia.defenses import ppb_divergence
from prunemia.training import FitSettings, fit


@pytest.fixture(scope="module")
def series():
    """Give features and labels."""
    return bumps()


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
def test_ppb_gradient_equals_finite_differences(rows):
    values = np.random.default_rng(rows).normal(size=(rows, 4)) * 2
    logits = torch.tensor(values, requires_grad=True)
    ppb_divergence(logits).backward()
    for i, c in np.ndindex(*values.shape):
        step = np.zeros_like(values)
        step[i, c] = 1e-6
        slope = (numpy_divergence(values + step) - numpy_divergence(values - step)) / 2e-6
        assert logits.grad[i, c].item() == pytest.approx(slope, abs=1e-8)
    assert bool((logits.grad[: rows // 2] != 0).any())
    assert bool((logits.grad[rows // 2 : rows // 2 * 2] != 0).any())


def test_ppb_leaves_an_odd_batchs_last_row_out():
    logits = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = ppb_divergence(logits)
    value.backward()
    assert value.item() == ppb_divergence(logits[:6]).item()
    assert bool((logits.grad[6] == 0).all())


def test_ppb_of_one_row_is_zero_with_zero_gradient():
    logits = torch.ones(1, 3, requires_grad=True)
    value = ppb_divergence(logits)
    value.backward()
    assert value.item() == 0
    assert bool((logits.grad == 0).all())


def test_ppb_with_ties_is_finite_and_zero_for_equal_rows():
    logits = torch.zeros(4, 5, requires_grad=True)
    value = ppb_divergence(logits)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(logits.grad, torch.zeros(4, 5))


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


def test_ppb_refuses_a_single_row_without_its_batch():
    with pytest.raises(ValueError, match=r"logits: shape \(3,\); allowed: \(B, C\)"):
        ppb_divergence(torch.zeros(3))


def test_ppb_lowers_the_divergence_of_the_trained_network(series):
    features, _ = series
    plain, aligned = pruned_jobs("columnfc", 1), pruned_jobs("columnfc", 1)
    fit(plain, *series, FitSettings(epochs=30, patience=30, batch_size=32))
    fit(
        aligned,
        *series,
        FitSettings(epochs=30, patience=30, batch_size=32),
        defense=defenses.get("ppb", 16),
    )
    before, after = (
        ppb_divergence(job.module(features[job.train])).item() for job in (*plain, *aligned)
    )
    assert after < before / 2


def test_ppb_without_weight_is_no_defense(series):
    plain, weightless = pruned_jobs("cnn1d", 2), pruned_jobs("cnn1d", 2)
    fit(plain, *series, FitSettings(epochs=2, batch_size=32))
    fit(weightless, *series, FitSettings(epochs=2, batch_size=32), defense=defenses.get("ppb", 0))
    for a, b in zip(plain, weightless, strict=True):
        assert all(
            torch.equal(x, y)
            for x, y in zip(a.module.parameters(), b.module.parameters(), strict=True)
        )
