import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import prunemia as pm
from prunemia import claims, plots
from prunemia.claims import (
    CONTRADICTED,
    NEGLIGIBLE,
    SUPPORTED,
    UNDECIDED,
    VERDICTS,
    Claim,
    family,
    over_runs,
    seeds_needed,
    simultaneous,
    verdict,
)
from prunemia.metrics import Estimate, over_seeds


@pytest.mark.parametrize(
    ("low", "high", "margin", "word"),
    [
        (0.1, 0.3, 0.01, SUPPORTED),
        (-0.3, -0.1, 0.01, CONTRADICTED),
        (-0.1, 0.1, 0.01, UNDECIDED),
        (0.0, 0.1, 0.01, UNDECIDED),
        (-0.009, 0.002, 0.01, NEGLIGIBLE),
        (-0.009, 0.002, 0.0, UNDECIDED),  # no margin was stated beforehand
        (-0.01, 0.002, 0.01, UNDECIDED),  # the margin itself is not inside
        (0.001, 0.002, 0.01, SUPPORTED),  # small, and surely above zero
        (math.nan, math.nan, 0.01, UNDECIDED),
    ],
)
def test_the_interval_alone_decides(low, high, margin, word):
    effect = Estimate(0.0 if math.isnan(low) else (low + high) / 2, low, high)

    assert verdict(effect, margin) == word


def test_a_claim_over_runs_is_a_t_interval_by_hand():
    # Mean 0.02, standard deviation 0.01, three seeds, two degrees of freedom; the quantile of t
    # with two degrees of freedom is u √(2 / (1 − u²)) at u = 2p − 1 (Student's own formula).
    claim = over_runs("it grows", "points", [0.01, 0.02, 0.03])
    u = 0.95
    t = u * math.sqrt(2 / (1 - u**2))

    assert claim.effect.value == pytest.approx(0.02)
    assert claim.effect.low == pytest.approx(0.02 - t * 0.01 / math.sqrt(3))
    assert claim.effect.high == pytest.approx(0.02 + t * 0.01 / math.sqrt(3))
    assert claim.verdict == UNDECIDED


def test_a_family_shares_the_five_percent():
    # Of four claims, each interval has the level 1 − 0.05/4: u = 0.9875.
    values = [0.01, 0.02, 0.03]
    whole = family(over_runs(name, "", values) for name in "abcd")
    t = 0.9875 * math.sqrt(2 / (1 - 0.9875**2))

    assert [claim.tests for claim in whole] == [4] * 4
    assert whole[2].effect.low == pytest.approx(0.02 - t * 0.01 / math.sqrt(3))


def test_what_one_claim_decides_alone_a_family_may_leave_open():
    values = [0.01, 0.012, 0.017]

    assert over_runs("a", "b", values).verdict == SUPPORTED
    assert family([over_runs("a", "b", values)] * 8)[0].verdict == UNDECIDED


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=8),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.01, 0.02]),
)
def test_a_verdict_never_disagrees_with_the_interval_beside_it(values, tests, margin):
    claim = Claim("", "", tuple(values), margin, tests)
    low, high = claim.effect.low, claim.effect.high

    assert (claim.verdict == SUPPORTED) == (low > 0)
    assert (claim.verdict == CONTRADICTED) == (high < 0)
    if claim.verdict == NEGLIGIBLE:
        assert max(-low, high) < margin


def test_a_family_of_true_nulls_is_decided_in_one_of_twenty_at_most():
    # Eight claims of three seeds without an effect, 2,000 families: 5 % ± 1.5 % (three deviations).
    values = np.random.default_rng(0).normal(size=(2000, 8, 3))
    half = [np.ptp([simultaneous(row, 8).low, simultaneous(row, 8).high]) for row in values[0]]
    t = stats.t.isf(0.025 / 8, 2)
    reach = t * values.std(axis=2, ddof=1) / math.sqrt(3)

    assert half == pytest.approx((2 * reach[0]).tolist())
    wrong = (np.abs(values.mean(axis=2)) > reach).any(axis=1).mean()
    assert 0.03 < wrong < 0.065


def test_alone_it_is_the_interval_of_the_pages():
    values = [0.1, 0.25, 0.2, 0.4]

    alone, page = simultaneous(values, 1), over_seeds(values)

    assert (alone.low, alone.high) == pytest.approx((page.low, page.high))


@pytest.mark.parametrize(
    "values", [[0.3], [0.0, 0.0], [0.3, 0.3, 0.3], [0.3, 0.1 + 0.2], [0.1, math.nan]]
)
def test_what_has_no_interval_decides_nothing(values):
    claim = over_runs("a", "b", values, margin=0.01)

    assert math.isnan(claim.effect.low)
    assert claim.effect.note
    assert claim.verdict == UNDECIDED
    assert seeds_needed(claim) is None


def test_seeds_needed_is_the_least_number_that_decides():
    claim = family([over_runs("a", "b", [0.01, 0.02, 0.06], margin=0.01)] * 3)[0]
    mean, spread = 0.03, math.sqrt((0.02**2 + 0.01**2 + 0.03**2) / 2)

    needed = seeds_needed(claim)

    def excludes_zero(n):
        return stats.t.isf(0.025 / 3, n - 1) * spread / math.sqrt(n) < mean

    assert claim.verdict == UNDECIDED
    assert needed > 3
    assert excludes_zero(needed)
    assert not any(excludes_zero(n) for n in range(2, needed))


def test_seeds_needed_counts_seeds_that_show_that_nothing_matters():
    # Mean exactly zero: no number of seeds supports or contradicts, but 0.01 is a margin to meet.
    values = [-0.02, 0.02]

    needed = seeds_needed(over_runs("a", "b", values, margin=0.01))

    assert stats.t.isf(0.025, needed - 1) * math.sqrt(0.0008 / needed) < 0.01
    assert stats.t.isf(0.025, needed - 2) * math.sqrt(0.0008 / (needed - 1)) >= 0.01
    assert seeds_needed(over_runs("a", "b", values)) is None


def test_every_verdict_is_counted_once_and_has_a_colour():
    steady = [0.001, 0.002, 0.003]
    whole = [
        over_runs("", "", [0.5 + x for x in steady]),
        over_runs("", "", [x - 0.5 for x in steady]),
        over_runs("", "", [x - 0.002 for x in steady], margin=0.01),
        over_runs("", "", [0.3]),
        over_runs("", "", [-0.5, 0.5]),
    ]

    assert claims.counts(whole) == {
        "supported_count": 1,
        "contradicted_count": 1,
        "negligible_count": 1,
        "undecided_count": 2,
    }
    assert set(plots.style.VERDICTS) == set(VERDICTS)


def test_runs_have_seeds_one_after_another():
    assert [e.seed for e in claims.runs(pm.Experiment(seed=4), 3)] == [4, 5, 6]


def test_the_papers_claims_are_on_the_scorecard():
    assert set(claims.PAPERS) < set(claims.SCORECARD)
