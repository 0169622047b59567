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
    lambda x: np.array(x, dtype=float) / 2
)
"""Few values, so ties within a side and across."""


def limits(estimate):
    return estimate.value, estimate.low, estimate.high


def floats(*values):
    return np.array(values, dtype=float)


# -- an estimate


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

    assert (str(estimate), estimate.percent, repr(found)) == (text, percent, repr(estimate))
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
    rates = [k / n for k, n in counts]
    low, high = zip(*(wilson(k, n) for k, n in counts), strict=True)
    mean = sum(rates) / len(rates)
    below = math.sqrt(sum((r - x) ** 2 for r, x in zip(rates, low, strict=True))) / len(rates)
    above = math.sqrt(sum((x - r) ** 2 for r, x in zip(rates, high, strict=True))) / len(rates)

    found = intervals.mean_of_rates(counts)

    assert found.value == pytest.approx(mean)
    assert found.low == pytest.approx(max(0, mean - below), abs=1e-9)
    assert found.high == pytest.approx(min(1, mean + above), abs=1e-9)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.7, 0.6), (0.95, 0.4)])
def test_the_balanced_accuracy_is_covered_at_95_percent(rates):
    # Exact, no simulation: sum the probability of every outcome of 15 and 25 rows whose interval
    # holds the truth. MOVER is approximate: within 2 points of the level at these sizes.
    sizes = (15, 25)
    covered = 0.0
    for i in range(sizes[0] + 1):
        for j in range(sizes[1] + 1):
            found = intervals.mean_of_rates([(i, sizes[0]), (j, sizes[1])])
            if found.low <= sum(rates) / 2 <= found.high:
                covered += stats.binom.pmf(i, sizes[0], rates[0]) * stats.binom.pmf(
                    j, sizes[1], rates[1]
                )

    assert 0.93 < covered < 0.97


# -- the AUC


def wins(members, others):
    """Who outscores whom, ties half: shape (members, others). O(n²)."""
    return (members[:, None] > others) + 0.5 * (members[:, None] == others)


@settings(max_examples=50, deadline=None)
@given(scores, scores)
def test_the_auc_is_the_share_of_pairs_won_and_its_variance_delongs(members, others):
    m, n, won = len(members), len(others), wins(members, others)
    found, area = intervals.auc(members, others), won.mean()
    first, second = intervals.placements(members, others)
    assert first == pytest.approx(won.mean(axis=1))
    assert second == pytest.approx(won.mean(axis=0))
    assert found.value == pytest.approx(area, abs=1e-12)
    assert found.low <= found.value <= found.high

    if 0 < area < 1 and min(m, n) > 1:
        # Var = S10 / m + S01 / n of the components; on the logit scale divided by A(1 - A).
        variance = won.mean(axis=1).var(ddof=1) / m + won.mean(axis=0).var(ddof=1) / n
        width = Z * math.sqrt(variance) / (area * (1 - area))
        limits = stats.logistic.cdf(stats.logistic.ppf(area) + np.array([-width, width]))
        assert (found.low, found.high) == pytest.approx(limits, abs=1e-9)


def test_perfect_ranking_is_bounded_by_independent_pairs():
    # 5 members above 3 others: 3 disjoint pairs, all won: p³ = 0.025.
    found = intervals.auc(floats(5, 6, 7, 8, 9), floats(1, 2, 3))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 3))
    found = intervals.auc(floats(1, 2, 3), floats(5, 6, 7, 8, 9))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 3))


def test_a_side_of_one_row_says_nothing_and_equal_scores_rank_nothing():
    assert intervals.auc(floats(1), floats(0, 2, 3)) == Estimate(pytest.approx(1 / 3), 0, 1)
    assert intervals.auc(np.ones(5), np.ones(9)) == Estimate(0.5, 0.5, 0.5)


@pytest.mark.parametrize(("shift", "sizes"), [(0.0, (60, 60)), (1.0, (80, 40)), (2.0, (100, 100))])
def test_the_auc_is_covered_at_95_percent(shift, sizes):
    # N(shift, 1) against N(0, 1): the truth is Φ(shift / √2). 500 samples: the share covered has
    # standard error √(0.95 · 0.05 / 500) = 0.0097; four of them on either side, and one point more
    # because the limits are asymptotic.
    draw = np.random.default_rng(round(shift) + 40)
    truth = stats.norm.cdf(shift / math.sqrt(2))
    found = [
        intervals.auc(draw.normal(shift, 1, sizes[0]), draw.normal(0, 1, sizes[1]))
        for _ in range(500)
    ]
    covered = np.mean([e.low <= truth <= e.high for e in found])

    assert covered == pytest.approx(0.95, abs=0.049)
    # Nor is it wide for nothing: the variance is at most A(1 - A) / min(m, n) (van Dantzig 1951); +
    # 10 % for the logit.
    assert np.mean([e.high - e.low for e in found]) < 2.2 * Z * math.sqrt(
        truth * (1 - truth) / min(sizes)
    )


# -- the TPR at an FPR


@settings(max_examples=50, deadline=None)
@given(scores, scores, st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9, 1.0]))
def test_the_tpr_is_the_largest_of_all_thresholds(members, others, fpr):
    found = intervals.tpr_at(members, others, fpr)
    if len(others) * fpr < 1 - 1e-9:
        assert not found.resolved
        assert found.note == f"not measurable with {len(others)} non-members"
        return
    thresholds = [*members, *others, np.inf]
    allowed = [t for t in thresholds if (others >= t).mean() <= fpr + 1e-12]
    assert found.value == max((members >= t).mean() for t in allowed)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(("fpr", "enough"), [(0.001, 1000), (0.01, 100), (0.05, 20)])
def test_an_fpr_below_one_in_n_is_not_measurable(fpr, enough):
    # 1000 · 0.001, 100 · 0.01 and 20 · 0.05 are one false alarm; one row less is none.
    members = np.linspace(0, 2, 50)
    few = intervals.tpr_at(members, np.linspace(0, 1, enough - 1), fpr)

    assert (few.resolved, few.note) == (False, f"not measurable with {enough - 1} non-members")
    assert str(few) == few.note
    # With enough the largest, 1, may pass: members must exceed the second largest alone.
    others = np.linspace(0, 1, enough)
    assert intervals.tpr_at(members, others, fpr).value == (members > others[-2]).mean()


def test_a_share_of_samples_is_counted_as_written():
    # 100 · 0.29 is 28.999999999999996 in floating point; 29 false alarms are meant.
    assert intervals.false_positives_allowed(100, 0.29) == 29
    assert intervals.threshold_at(np.arange(100.0), 0.29) == 70
    assert intervals.threshold_at(np.arange(99.0), 0.01) is None


def test_the_tpr_interval_by_hand():
    # 40 others 0 … 39, FPR 0.05: two false alarms, so members must exceed 37. K ~ Binomial(40,
    # 0.05) of the others lie above the true threshold: P(K = 0) = 0.95^40 = 0.129 > 1.25 %, so K >=
    # 0 tells nothing: low limit 0. P(K <= 6) = 0.9966 and P(K <= 5) = 0.9861 < 98.75 %: K <= 6, the
    # threshold is at 33 or above; of the members above 33 the upper limit: 4 of 10 at 97.5 %, a
    # quantile 98.75 % of Beta(5, 6).
    others = np.arange(40, dtype=float)
    members = floats(38.5, 37.5, 36.5, 33.5, 32.5, 5, 5, 5, 5, 5)
    found = intervals.tpr_at(members, others, 0.05)

    assert found.value == 0.2
    assert found.low == 0
    assert found.high == pytest.approx(stats.beta.ppf(0.9875, 5, 6))


@pytest.mark.parametrize(("fpr", "sizes"), [(0.05, (100, 100)), (0.01, (80, 400))])
def test_the_tpr_is_covered_at_95_percent_or_more(fpr, sizes):
    # N(1.5, 1) against N(0, 1): the truth is Φ(1.5 - Φ⁻¹(1 - fpr)). By the union bound an interval
    # misses with probability 5 % at most, so misses of 250 exceed the 99.99 % quantile of
    # Binomial(250, 0.05), 27, once in 10,000.
    draw = np.random.default_rng(7)
    truth = stats.norm.sf(stats.norm.isf(fpr) - 1.5)
    found = [
        intervals.tpr_at(draw.normal(1.5, 1, sizes[0]), draw.normal(0, 1, sizes[1]), fpr)
        for _ in range(250)
    ]
    missed = sum(not e.low <= truth <= e.high for e in found)

    assert missed <= 27
    # The limits are no matter of course: the median width stays well below 1.
    assert np.median([e.high - e.low for e in found]) < 0.75


# -- means over runs


def test_the_t_interval_by_hand():
    # 1, 2, 3: mean 2, standard deviation 1; t at 97.5 % with 2 degrees of freedom is 4.302653.
    assert limits(metrics.over_seeds([1, 2, 3])) == pytest.approx(
        (2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5
    )
    # Two seeds, 0 and 1: s = √½, so s / √2 = ½, times 12.7062.
    assert limits(metrics.over_seeds([0.0, 1.0])) == pytest.approx(
        (0.5, 0.5 - 6.3531, 0.5 + 6.3531), abs=1e-4
    )
    assert limits(metrics.over_seeds([0.7, 0.7])) == pytest.approx((0.7, 0.7, 0.7))
    # t at 99.5 % with 2 degrees of freedom is 9.92484.
    assert metrics.over_seeds([1, 2, 3], level=0.99).high == pytest.approx(2 + 9.92484 / 3**0.5)


def test_what_has_no_interval_or_no_mean_is_said():
    assert str(metrics.over_seeds([0.625])) == "0.625 (one seed: no interval)"
    assert str(metrics.over_seeds([0.5, math.nan])) == "not measurable with every seed"
    alike = metrics.over_seeds([0.0, 0.0], rate=True)
    assert str(alike) == "0.000 (the same in every run: no interval)"
    assert math.isnan(metrics.over_seeds([1.0, 1.0, 1.0], rate=True).high)
    for wrong in ([], [[0.5, 0.6]]):
        with pytest.raises(ValueError, match="values: allowed: one or more numbers"):
            metrics.over_seeds(wrong)
    with pytest.raises(ValueError, match=r"values: -0\.1 to 0\.5; allowed for rates: 0 to 1"):
        metrics.over_seeds([-0.1, 0.5], rate=True)


def test_summaries_keep_groups_in_order_of_appearance_and_know_rates():
    table = pd.DataFrame(
        {
            "attack": ["xent", "conf", "xent", "conf", "blindmi"],
            "of": ["pruned"] * 5,
            "tpr@0.01": [0.5, 0.6, 0.7, 0.8, math.nan],
            "change": [-0.5, 0.6, 0.5, 0.8, 0.9],
        }
    )
    found = metrics.summarize(table, ["tpr@0.01", "change"], by=["attack", "of"])

    columns = [c + end for c in ("tpr@0.01", "change") for end in ("", "_low", "_high")]
    assert list(found.columns) == ["attack", "of", "runs", *columns]
    assert found["attack"].tolist() == ["xent", "conf", "blindmi"]
    assert found["runs"].tolist() == [2, 2, 1]
    expected = metrics.over_seeds([0.6, 0.8], rate=True)  # stays inside 0 … 1
    assert tuple(found.loc[1, columns[:3]]) == pytest.approx(limits(expected))
    assert tuple(found.loc[0, columns[3:]]) == pytest.approx(
        limits(metrics.over_seeds([-0.5, 0.5]))
    )
    assert found.loc[2, [*columns[:3], "change_low"]].isna().all()
    assert metrics.summarize(table, ["change"], by=["of"])["runs"].tolist() == [5]
    whole = metrics.summarize(table, ["change"])
    assert (len(whole), whole.loc[0, "change"]) == (1, pytest.approx(0.46))


def test_the_interval_of_a_rate_by_hand():
    # 0.02, 0.04: mean 0.03, standard error 0.01, t = 12.7062 with one degree of freedom: plainly
    # 0.03 ± 0.127, below 0. On the logit scale: ln(0.03 / 0.97) = -3.47610, and to each side
    # 0.127062 / (0.03 · 0.97) = 4.36639: -7.84249 and 0.89029.
    low, high = (1 / (1 + math.exp(-x)) for x in (-7.84249, 0.89029))

    assert limits(metrics.over_seeds([0.02, 0.04], rate=True)) == pytest.approx(
        (0.03, low, high), abs=1e-5
    )
    assert metrics.over_seeds([0.02, 0.04]).low < 0


def test_the_interval_of_a_rate_covers():
    # Rates of 2 % of 200 samples in five runs: t on the logit scale covers at about its level.
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        rates = generator.binomial(200, 0.02, size=5) / 200
        estimate = metrics.over_seeds(rates.tolist(), rate=True)
        covered += bool(estimate.low <= 0.02 <= estimate.high)
    assert 0.9 <= covered / 400 <= 0.99
