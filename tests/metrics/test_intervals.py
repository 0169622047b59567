"""Estimates and their intervals: by hand, by brute force, and how often they cover the truth."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prunemia import metrics
from prunemia.metrics import intervals
from prunemia.metrics.intervals import Estimate

Z = 1.959963984540054
scores = st.lists(st.integers(-4, 4), min_size=1, max_size=25).map(
    lambda x: np.array(x, dtype=float) / 2  # few values, so ties within a side and across
)


def limits(estimate):
    return estimate.value, estimate.low, estimate.high


def normal(draw, shift, sizes):
    """Scores N(shift, 1) of members and N(0, 1) of others."""
    return draw.normal(shift, 1, sizes[0]), draw.normal(0, 1, sizes[1])


def covered(found, truth):
    return np.mean([e.low <= truth <= e.high for e in found])


@pytest.mark.parametrize(
    ("estimate", "text", "percent"),
    [
        (Estimate(0.045, 0.0123, 0.0761), "0.045 [0.012, 0.076]", "4.5 % [1.2, 7.6]"),
        (Estimate(0.5, note="one seed"), "0.500 (one seed)", "50.0 % (one seed)"),
        (Estimate.missing("not measurable"), "not measurable", "not measurable"),
    ],
)
def test_an_estimate_reads_as_value_and_interval_and_survives_json(estimate, text, percent):
    found = Estimate.from_dict(json.loads(json.dumps(estimate.to_dict(), allow_nan=False)))
    assert (str(estimate), estimate.text(1, 100, " %")) == (text, percent)
    assert repr(found) == repr(estimate)
    assert estimate.resolved == (text != "not measurable")


# -- rates


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 500), share=st.floats(0, 1))
def test_clopper_pearson_are_quantiles_of_beta(n, share):
    # The limits p solve P(X >= k | p) = 2.5 % and P(X <= k | p) = 2.5 %: quantiles of Beta(k,
    # n-k+1), Beta(k+1, n-k).
    k = round(share * n)
    low, high = intervals.clopper_pearson(k, n)
    assert low == pytest.approx(stats.beta.ppf(0.025, k, n - k + 1) if k else 0, abs=1e-9)
    assert high == pytest.approx(stats.beta.ppf(0.975, k + 1, n - k) if k < n else 1, abs=1e-9)
    assert intervals.rate(k, n) == Estimate(k / n, low, high)
    # by hand: p^10 = 0.025, and 0.05 at a level of 90 %
    assert intervals.clopper_pearson(10, 10) == pytest.approx((0.025**0.1, 1))
    assert intervals.clopper_pearson(10, 10, 0.9) == pytest.approx((0.05**0.1, 1))


def wilson(k, n):
    """Solve |k/n - p| = z √(p(1-p)/n) for p."""
    p = k / n
    centre, width = p + Z**2 / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return (centre - width) / (1 + Z**2 / n), (centre + width) / (1 + Z**2 / n)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=4))
def test_the_mean_of_rates_adds_distances_in_squares(pairs):
    counts = [(min(pair), max(1, *pair)) for pair in pairs]
    rates = np.array([k / n for k, n in counts])
    sides = np.array([wilson(k, n) for k, n in counts])
    below, above = np.sqrt(((rates[:, None] - sides) ** 2).sum(axis=0)) / len(rates)
    found, mean = intervals.mean_of_rates(counts), rates.mean()
    expected = mean, max(0, mean - below), min(1, mean + above)
    assert limits(found) == pytest.approx(expected, abs=1e-9)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.7, 0.6), (0.95, 0.4)])
def test_the_balanced_accuracy_is_covered_at_95_percent(rates):
    # Exact, no simulation: sum the probability of every outcome of 15 and 25 rows whose interval
    # holds the truth. MOVER is approximate: within 2 points of the level at these sizes.
    likely = [stats.binom.pmf(np.arange(n + 1), n, p) for n, p in zip((15, 25), rates, strict=True)]
    share = 0.0
    for i, j in np.ndindex(16, 26):
        found = intervals.mean_of_rates([(i, 15), (j, 25)])
        if found.low <= sum(rates) / 2 <= found.high:
            share += likely[0][i] * likely[1][j]
    assert 0.93 < share < 0.97


# -- the AUC


@settings(max_examples=50, deadline=None)
@given(scores, scores)
def test_the_auc_is_the_share_of_pairs_won_and_its_variance_delongs(members, others):
    won = (members[:, None] > others) + 0.5 * (members[:, None] == others)  # O(n²)
    parts, area = (won.mean(axis=1), won.mean(axis=0)), won.mean()
    found = intervals.auc(members, others)
    for mine, theirs in zip(intervals.placements(members, others), parts, strict=True):
        assert mine == pytest.approx(theirs)
    assert found.value == pytest.approx(area, abs=1e-12)
    assert found.low <= found.value <= found.high

    if 0 < area < 1 and min(won.shape) > 1:
        # Var = S10 / m + S01 / n of the components; on the logit scale divided by A(1 - A).
        variance = sum(part.var(ddof=1) / len(part) for part in parts)
        width = Z * math.sqrt(variance) / (area * (1 - area))
        ends = stats.logistic.cdf(stats.logistic.ppf(area) + np.array([-width, width]))
        assert (found.low, found.high) == pytest.approx(ends, abs=1e-9)


def test_areas_without_a_variance_by_hand():
    # 5 members above 3 others: 3 disjoint pairs, all won: p³ = 0.025; and the other way round.
    many, few = np.arange(5.0, 10), np.arange(1.0, 4)
    bound = 0.025 ** (1 / 3)
    assert limits(intervals.auc(many, few)) == pytest.approx((1, bound, 1))
    assert limits(intervals.auc(few, many)) == pytest.approx((0, 0, 1 - bound))
    # a side of one row says nothing, equal scores rank nothing
    assert limits(intervals.auc(few[:1], np.array([0.0, 2, 3]))) == pytest.approx((1 / 3, 0, 1))
    assert intervals.auc(np.ones(5), np.ones(9)) == Estimate(0.5, 0.5, 0.5)


@pytest.mark.parametrize(("shift", "sizes"), [(0.0, (60, 60)), (1.0, (80, 40)), (2.0, (100, 100))])
def test_the_auc_is_covered_at_95_percent(shift, sizes):
    # N(shift, 1) against N(0, 1): the truth is Φ(shift / √2). 500 samples: the share covered has
    # standard error √(0.95 · 0.05 / 500) = 0.0097; four of them on either side, and one point more
    # because the limits are asymptotic.
    draw = np.random.default_rng(round(shift) + 40)
    truth = stats.norm.cdf(shift / math.sqrt(2))
    found = [intervals.auc(*normal(draw, shift, sizes)) for _ in range(500)]
    assert covered(found, truth) == pytest.approx(0.95, abs=0.049)
    # Nor is it wide for nothing: the variance is at most A(1 - A) / min(m, n) (van Dantzig 1951); +
    # 10 % for the logit.
    most = 2.2 * Z * math.sqrt(truth * (1 - truth) / min(sizes))
    assert np.mean([e.high - e.low for e in found]) < most


# -- the TPR at an FPR


@settings(max_examples=50, deadline=None)
@given(scores, scores, st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9, 1.0]))
def test_the_tpr_is_the_largest_of_all_thresholds(members, others, fpr):
    found = intervals.tpr_at(members, others, fpr)
    if len(others) * fpr < 1 - 1e-9:
        assert not found.resolved
        assert str(found) == f"not measurable with {len(others)} non-members"
        return
    thresholds = [*members, *others, np.inf]
    allowed = [t for t in thresholds if (others >= t).mean() <= fpr + 1e-12]
    assert found.value == max((members >= t).mean() for t in allowed)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(("fpr", "enough"), [(0.001, 1000), (0.01, 100), (0.05, 20)])
def test_an_fpr_below_one_in_n_is_not_measurable(fpr, enough):
    # 1000 · 0.001, 100 · 0.01 and 20 · 0.05 are one false alarm; one row less is none.
    members, others = np.linspace(0, 2, 50), np.linspace(0, 1, enough)
    assert not intervals.tpr_at(members, others[1:], fpr).resolved
    # With enough the largest, 1, may pass: members must exceed the second largest alone.
    assert intervals.tpr_at(members, others, fpr).value == (members > others[-2]).mean()
    # 100 · 0.29 is 28.999999999999996 in floating point; 29 false alarms are meant.
    assert intervals.false_positives_allowed(100, 0.29) == 29
    assert intervals.threshold_at(np.arange(100.0), 0.29) == 70


def test_the_tpr_interval_by_hand():
    # 40 others 0 … 39, FPR 0.05: two false alarms, so members must exceed 37. K ~ Binomial(40,
    # 0.05) of the others lie above the true threshold: P(K = 0) = 0.95^40 = 0.129 > 1.25 %, so K >=
    # 0 tells nothing: low limit 0. P(K <= 6) = 0.9966 and P(K <= 5) = 0.9861 < 98.75 %: K <= 6, the
    # threshold is at 33 or above; of the members above 33 the upper limit: 4 of 10 at 97.5 %, a
    # quantile 98.75 % of Beta(5, 6).
    members = np.array([38.5, 37.5, 36.5, 33.5, 32.5, 5, 5, 5, 5, 5])
    found = intervals.tpr_at(members, np.arange(40.0), 0.05)
    assert limits(found) == pytest.approx((0.2, 0, stats.beta.ppf(0.9875, 5, 6)))
    # 200 others 0 … 199, members half above each: ten false alarms, and 11 members above 189.
    # P(K <= 3) = 0.009 and P(K <= 4) = 0.026: 4 others or more lie above the true threshold, and so
    # do 4 members; P(K <= 16) = 0.976, P(K <= 17) = 0.988: at most 17 others, and 18 members.
    found = intervals.tpr_at(np.arange(200) + 0.5, np.arange(200.0), 0.05)
    ends = stats.beta.ppf([0.0125, 0.9875], [4, 18 + 1], [200 - 4 + 1, 200 - 18])
    assert limits(found) == pytest.approx((11 / 200, *ends))


@pytest.mark.parametrize(("fpr", "sizes"), [(0.05, (100, 100)), (0.01, (80, 400))])
def test_the_tpr_is_covered_at_95_percent_or_more(fpr, sizes):
    # N(1.5, 1) against N(0, 1): the truth is Φ(1.5 - Φ⁻¹(1 - fpr)). By the union bound an interval
    # misses with probability 5 % at most, so misses of 250 exceed the 99.99 % quantile of
    # Binomial(250, 0.05), 27, once in 10,000.
    draw = np.random.default_rng(7)
    found = [intervals.tpr_at(*normal(draw, 1.5, sizes), fpr) for _ in range(250)]
    missed = 250 * (1 - covered(found, stats.norm.sf(stats.norm.isf(fpr) - 1.5)))
    assert round(missed) <= 27
    # The limits are no matter of course: the median width stays well below 1.
    assert np.median([e.high - e.low for e in found]) < 0.75


# -- means over runs


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        # mean 2, standard deviation 1; t of 2 degrees of freedom is 4.302653, at 99.5 % 9.92484
        ([1, 2, 3], {}, (2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5)),
        ([1, 2, 3], {"level": 0.99}, (2, 2 - 9.92484 / 3**0.5, 2 + 9.92484 / 3**0.5)),
        # s = √½, so s / √2 = ½, times 12.7062
        ([0.0, 1.0], {}, (0.5, 0.5 - 6.3531, 0.5 + 6.3531)),
        ([0.7, 0.7], {}, (0.7, 0.7, 0.7)),
        # Mean 0.03, standard error 0.01: plainly 0.03 ± 0.127, below 0. On the logit scale:
        # ln(0.03 / 0.97) = -3.47610, to each side 0.127062 / (0.03 · 0.97) = 4.36639.
        ([0.02, 0.04], {}, (0.03, 0.03 - 0.127062, 0.03 + 0.127062)),
        ([0.02, 0.04], {"rate": True}, (0.03, *stats.logistic.cdf([-7.84249, 0.89029]))),
    ],
)
def test_the_t_interval_by_hand(values, options, expected):
    assert limits(metrics.over_seeds(values, **options)) == pytest.approx(expected, abs=1e-5)


def test_what_has_no_interval_or_no_mean_is_said():
    assert str(metrics.over_seeds([0.625])) == "0.625 (one seed: no interval)"
    assert str(metrics.over_seeds([0.5, math.nan])) == "not measurable with every seed"
    for value in (0.0, 1.0):
        alike = metrics.over_seeds([value, value], rate=True)
        assert str(alike) == f"{value:.3f} (the same in every run: no interval)"
    for wrong in ([], [[0.5, 0.6]]):
        with pytest.raises(ValueError, match="values: allowed: one or more numbers"):
            metrics.over_seeds(wrong)
    with pytest.raises(ValueError, match=r"values: -0\.1 to 0\.5; allowed for rates: 0 to 1"):
        metrics.over_seeds([-0.1, 0.5], rate=True)


def test_summaries_keep_groups_in_order_of_appearance_and_know_rates():
    table = pd.DataFrame(
        {"attack": ["xent", "conf", "xent", "conf", "blindmi"], "of": "p"}
        | {"tpr@0.01": [0.5, 0.6, 0.7, 0.8, math.nan], "change": [-0.5, 0.6, 0.5, 0.8, 0.9]}
    )
    found = metrics.summarize(table, ["tpr@0.01", "change"], by=["attack", "of"])

    rate, change = ([name + end for end in ("", "_low", "_high")] for name in table.columns[2:])
    assert list(found.columns) == ["attack", "of", "runs", *rate, *change]
    assert found["attack"].tolist() == ["xent", "conf", "blindmi"]
    assert found["runs"].tolist() == [2, 2, 1]
    inside = limits(metrics.over_seeds([0.6, 0.8], rate=True))  # stays inside 0 … 1
    assert tuple(found.loc[1, rate]) == pytest.approx(inside)
    plain = limits(metrics.over_seeds([-0.5, 0.5]))
    assert tuple(found.loc[0, change]) == pytest.approx(plain)
    assert found.loc[2, [*rate, "change_low"]].isna().all()
    whole = metrics.summarize(table, ["change"])
    assert (len(whole), whole.loc[0, "runs"], whole.loc[0, "change"]) == (1, 5, pytest.approx(0.46))


def test_the_interval_of_a_rate_covers():
    # Rates of 2 % of 200 samples in five runs: t on the logit scale covers at about its level.
    draw = np.random.default_rng(0)
    runs = [draw.binomial(200, 0.02, size=5) / 200 for _ in range(400)]
    found = [metrics.over_seeds(rates.tolist(), rate=True) for rates in runs]
    assert 0.9 <= covered(found, 0.02) <= 0.99
