import math

import pytest
from scipy import stats

from prunemia import claims
from prunemia.claims import (
    CONTRADICTED,
    SUPPORTED,
    UNDECIDED,
    Claim,
    family,
    over_runs,
    verb,
    verdict,
)
from prunemia.metrics.intervals import Estimate


@pytest.mark.parametrize(
    ("low", "high", "word", "said"),
    [
        (0.1, 0.3, SUPPORTED, "raises"),
        (-0.3, -0.1, CONTRADICTED, "lowers"),
        (-0.1, 0.1, UNDECIDED, "does not measurably change"),
        (0.0, 0.1, UNDECIDED, "does not measurably change"),
        (math.nan, math.nan, UNDECIDED, "does not measurably change"),
    ],
)
def test_an_interval_decides_the_words(low, high, word, said):
    effect = Estimate(0.0 if math.isnan(low) else (low + high) / 2, low, high)

    assert verdict(effect) == word
    assert verb(effect) == said


def test_a_claim_over_runs_is_a_t_test_by_hand():
    # Mean 0.02, standard deviation 0.01, three runs: t = 0.02 / (0.01 / sqrt 3) = 2 sqrt 3, two
    # degrees of freedom.
    claim = over_runs("it grows", "points", [0.01, 0.02, 0.03])

    assert claim.effect.value == pytest.approx(0.02)
    assert claim.p == pytest.approx(2 * stats.t.sf(2 * math.sqrt(3), 2))
    assert claim.verdict == UNDECIDED
    assert claim.effect.low == pytest.approx(0.02 - stats.t.isf(0.025, 2) * 0.01 / math.sqrt(3))


def test_enough_runs_decide_either_way():
    assert over_runs("a", "b", [0.01, 0.012, 0.011, 0.009]).verdict == SUPPORTED
    assert over_runs("a", "b", [-0.01, -0.012, -0.011, -0.009]).verdict == CONTRADICTED


@pytest.mark.parametrize("values", [[0.3], [0.0, 0.0]])
def test_what_has_no_spread_decides_nothing(values):
    claim = over_runs("a", "b", values)

    assert math.isnan(claim.p)
    assert claim.verdict == UNDECIDED


def test_a_family_is_corrected_together():
    # Holm: the smallest of three p is tripled, the next doubled, and none may fall below the one
    # before.
    made = [Claim("a", "", Estimate(1.0), p) for p in (0.02, 0.5, math.nan, 0.01)]

    corrected = [c.p for c in family(made)]

    assert corrected[:2] == pytest.approx([0.04, 0.5])
    assert math.isnan(corrected[2])
    assert corrected[3] == pytest.approx(0.03)


def test_the_table_says_claim_effect_and_verdict():
    table = claims.table([Claim("it grows", "points", Estimate(0.02, 0.01, 0.03), 0.004)])

    assert table.iloc[0].to_list() == [
        "it grows",
        "points",
        "0.020 [0.010, 0.030]",
        "0.004",
        SUPPORTED,
    ]


def test_runs_have_seeds_one_after_another():
    import prunemia as pm

    assert [e.seed for e in claims.runs(pm.Experiment(seed=4), 3)] == [4, 5, 6]
