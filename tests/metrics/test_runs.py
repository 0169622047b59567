"""Means over runs: the t-interval by hand, and rates whose interval stays inside 0 … 1."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunemia import metrics


def limits(estimate):
    return (estimate.value, estimate.low, estimate.high)


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


def test_one_seed_has_no_interval_and_an_unmeasured_one_no_mean():
    assert str(metrics.over_seeds([0.625])) == "0.625 (one seed: no interval)"
    assert str(metrics.over_seeds([0.5, math.nan])) == "not measurable with every seed"
    for wrong in ([], [[0.5, 0.6]]):
        with pytest.raises(ValueError, match="values: allowed: one or more numbers"):
            metrics.over_seeds(wrong)


def test_summaries_keep_groups_in_order_of_appearance():
    table = pd.DataFrame(
        {
            "attack": ["xent", "conf", "xent", "conf", "blindmi"],
            "of": ["pruned"] * 5,
            "accuracy": [0.5, 0.6, 0.7, 0.8, 0.9],
            "auc": [0.5, 0.6, 0.7, 0.8, math.nan],
        }
    )
    found = metrics.summarize(table, ["accuracy", "auc"], by=["attack", "of"])

    ends = ("", "_low", "_high")
    assert list(found.columns) == [
        "attack",
        "of",
        "runs",
        *(c + e for c in ("accuracy", "auc") for e in ends),
    ]
    assert found["attack"].tolist() == ["xent", "conf", "blindmi"]
    assert found["runs"].tolist() == [2, 2, 1]
    assert found["accuracy"].tolist() == pytest.approx([0.6, 0.7, 0.9])
    expected = metrics.over_seeds([0.6, 0.8], rate=True)
    assert (found.loc[1, "auc_low"], found.loc[1, "auc_high"]) == pytest.approx(
        (expected.low, expected.high)
    )
    assert found.loc[2, ["accuracy_low", "auc", "auc_low"]].isna().all()
    assert metrics.summarize(table, ["accuracy"], by=["of"])["runs"].tolist() == [5]
    whole = metrics.summarize(table, ["accuracy"])
    assert (len(whole), whole.loc[0, "runs"], whole.loc[0, "accuracy"]) == (
        1,
        5,
        pytest.approx(0.7),
    )


def test_the_interval_of_a_rate_by_hand():
    # 0.02, 0.04: mean 0.03, standard error 0.01, t = 12.7062 with one degree of freedom: plainly
    # 0.03 ± 0.127, below 0. On the logit scale: ln(0.03 / 0.97) = -3.47610, and to each side
    # 0.127062 / (0.03 · 0.97) = 4.36639: -7.84249 and 0.89029.
    low, high = (1 / (1 + math.exp(-x)) for x in (-7.84249, 0.89029))

    assert limits(metrics.over_seeds([0.02, 0.04], rate=True)) == pytest.approx(
        (0.03, low, high), abs=1e-5
    )
    assert metrics.over_seeds([0.02, 0.04]).low < 0


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_the_interval_of_a_rate_stays_inside_and_holds_the_mean(values):
    estimate = metrics.over_seeds(values, rate=True)

    if not math.isnan(estimate.low):
        assert 0 <= estimate.low <= estimate.value + 1e-12
        assert estimate.value - 1e-12 <= estimate.high <= 1


def test_rates_that_are_all_0_or_1_have_no_interval():
    assert str(metrics.over_seeds([0.0, 0.0], rate=True)) == (
        "0.000 (the same in every run: no interval)"
    )
    assert math.isnan(metrics.over_seeds([1.0, 1.0, 1.0], rate=True).high)


def test_what_is_no_rate_is_refused_as_one():
    with pytest.raises(ValueError, match=r"values: -0\.1 to 0\.5; allowed for rates: 0 to 1"):
        metrics.over_seeds([-0.1, 0.5], rate=True)


def test_the_interval_of_a_rate_covers():
    # Rates of 2 % of 200 samples in five runs: t on the logit scale covers at about its level.
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        rates = generator.binomial(200, 0.02, size=5) / 200
        estimate = metrics.over_seeds(rates.tolist(), rate=True)
        covered += bool(estimate.low <= 0.02 <= estimate.high)
    assert 0.9 <= covered / 400 <= 0.99


def test_a_wider_level_gives_a_wider_interval():
    wide = metrics.over_seeds([1, 2, 3], level=0.99)
    # t at 99.5 % with 2 degrees of freedom is 9.92484.
    assert wide.high - wide.value == pytest.approx(9.92484 / 3**0.5, abs=1e-4)


def test_summaries_take_rates_for_rates_and_differences_as_they_are():
    table = pd.DataFrame({"tpr@0.01": [0.0, 0.02], "change": [-0.5, 0.5]})
    (row,) = metrics.summarize(table, ["tpr@0.01", "change"]).to_dict("records")

    assert row["tpr@0.01_low"] > 0
    assert row["change_low"] < -1
