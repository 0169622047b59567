"""What a claim is: interval, verdict, stopping rules, family."""

import math

import numpy as np
import pytest
from scipy import stats

from prunemia import plots
from prunemia.claims import base
from prunemia.claims.base import CONTRADICTED, NEGLIGIBLE, OPEN, RULES, SUPPORTED, UNDECIDED, Claim
from prunemia.metrics import Estimate

UP, DOWN, FLAT = (0.05, 0.051, 0.052), (-0.05, -0.051, -0.052), (-0.001, 0.0, 0.001)


def once(*values, **more):
    """A claim that no stopping rule is about."""
    return Claim("known", "it grows", {"warm-up": values}, **more)


def tried(*each, **more):
    """A claim about pruning, tried under as many rules as there are values."""
    return Claim("known", "it grows", dict(zip(RULES, each, strict=False)), ruled=True, **more)


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
        (0.001, 0.002, 0.01, NEGLIGIBLE),  # surely above zero, and too small to matter
        (math.nan, math.nan, 0.01, UNDECIDED),
    ],
)
def test_the_interval_alone_decides(low, high, margin, word):
    effect = Estimate(0.0 if math.isnan(low) else (low + high) / 2, low, high)
    assert base.verdict(effect, margin) == word


def test_an_effect_is_a_t_interval_by_hand():
    # Mean 0.02, standard deviation 0.01, three runs, two degrees of freedom; the quantile of t
    # with two degrees of freedom is u √(2 / (1 − u²)) at u = 2p − 1 (Student's own formula).
    # Of four claims, each has the level 1 − 0.05/4: the family shares the five percent.
    for tests, u in ((1, 0.95), (4, 0.9875)):
        claim = once(0.01, 0.02, 0.03, tests=tests)
        half = u * math.sqrt(2 / (1 - u**2)) * 0.01 / math.sqrt(3)
        ends = (claim.effect.low, claim.effect.value, claim.effect.high)
        assert ends == pytest.approx((0.02 - half, 0.02, 0.02 + half))
        assert (claim.verdict, claim.runs) == (UNDECIDED, 3)
    # what one claim decides alone a family may leave undecided
    assert once(0.01, 0.012, 0.017).verdict == SUPPORTED
    assert once(0.01, 0.012, 0.017, tests=8).verdict == UNDECIDED


def test_a_family_of_true_nulls_is_decided_in_one_of_twenty_at_most():
    # Eight claims of three runs without an effect, 2,000 families: 5 % ± 1.5 % (three deviations).
    values = np.random.default_rng(0).normal(size=(2000, 8, 3))
    reach = stats.t.isf(0.025 / 8, 2) * values.std(axis=2, ddof=1) / math.sqrt(3)
    found = [base.simultaneous(row, 8) for row in values[0]]
    assert [e.high - e.low for e in found] == pytest.approx((2 * reach[0]).tolist())
    wrong = (np.abs(values.mean(axis=2)) > reach).any(axis=1).mean()
    assert 0.03 < wrong < 0.065


@pytest.mark.parametrize(
    "values", [[0.3], [0.0, 0.0], [0.3, 0.3, 0.3], [0.3, 0.1 + 0.2], [0.1, math.nan]]
)
def test_what_has_no_interval_decides_nothing(values):
    claim = once(*values)
    assert math.isnan(claim.effect.low)
    assert claim.effect.note
    assert claim.verdict == (OPEN if len(values) < base.LEAST_RUNS else UNDECIDED)
    assert base.runs_needed(claim) is None


@pytest.mark.parametrize(
    ("each", "margin", "word"),
    [
        *(((values,) * rules, 0.01, OPEN) for values in (UP, DOWN, FLAT) for rules in (1, 2)),
        ((UP, UP, UP), 0.0, SUPPORTED),
        ((DOWN, DOWN, DOWN), 0.0, CONTRADICTED),
        ((FLAT, FLAT, FLAT), 0.01, NEGLIGIBLE),  # ± 0.0025
        ((FLAT, FLAT, FLAT), 0.0, UNDECIDED),
        ((UP, FLAT, UP), 0.0, UNDECIDED),
        ((UP, UP, (0.3,)), 0.0, OPEN),  # one rule has a single run
        ((UP, UP, (0.3, 0.3, 0.3)), 0.0, UNDECIDED),  # one rule has no interval
    ],
)
def test_three_rules_decide_together(each, margin, word):
    assert tried(*each, margin=margin).verdict == word


def test_under_several_rules_the_interval_covers_that_of_each():
    # Means 0.10, 0.03 and -0.05; a half-width is 4.303 s / √3: 0.1242, 0.0248 and 0.1242.
    claim = tried((0.05, 0.10, 0.15), (0.02, 0.03, 0.04), (-0.10, -0.05, 0.0))
    assert claim.effect.value == pytest.approx(0.08 / 3)
    assert (claim.effect.low, claim.effect.high) == pytest.approx((-0.1742, 0.2242), abs=1e-4)
    each = "warm-up +0.100, published +0.030, last -0.050"
    assert claim.remark == f"{each}: the rules differ in sign"


def test_a_claim_says_why_it_is_open():
    claim = tried(UP, UP, UP, open="the comparators disagree", note="seen from afar")
    assert claim.verdict == once(*UP, open="why").verdict == OPEN
    assert claim.remark.endswith("; the comparators disagree; seen from afar")
    assert tried(UP).remark == "tried under one stopping rule alone (warm-up)"
    assert tried(UP, UP).remark == "tried under two stopping rules alone (warm-up, published)"


def test_runs_needed_is_the_least_number_that_decides():
    claim = once(0.01, 0.02, 0.06, tests=3)
    mean, spread = 0.03, math.sqrt((0.02**2 + 0.01**2 + 0.03**2) / 2)

    def least(bound, spread, tests):
        half = ((n, stats.t.isf(0.025 / tests, n - 1) * spread / n**0.5) for n in range(2, 999))
        return next(n for n, width in half if width < bound)

    assert claim.verdict == UNDECIDED
    assert base.runs_needed(claim) == least(mean, spread, 3) > 3
    # Mean exactly zero: no number of runs supports or contradicts, but 0.01 is a margin to meet.
    values = (-0.02, 0.0, 0.02)
    assert base.runs_needed(once(*values)) == least(0.01, 0.02, 1)
    assert base.runs_needed(once(*values, margin=0.0)) is None


def test_rules_need_as_many_runs_as_the_one_that_needs_most_and_the_same_sign():
    slow = (0.01, 0.02, 0.06)
    assert base.runs_needed(tried(UP, slow, UP)) == base.runs_needed(once(*slow))
    assert base.runs_needed(tried(UP, slow, DOWN)) is None
    assert base.runs_needed(tried(UP, slow, (0.05,))) is None  # of one run nothing is known


def test_every_verdict_has_a_colour_and_words():
    assert set(plots.VERDICTS) == set(base.VERDICTS)
    claims = (once(*UP), once(*DOWN), tried(UP), None)
    found = [base.by_verdict(claim, "-", "?", "+", "none") for claim in claims]
    assert found == ["+", "-", "?", "none"]
