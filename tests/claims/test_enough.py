"""What fewer runs would have said of a claim."""

from dataclasses import replace

import pytest

from prunemia.claims import enough
from prunemia.claims.base import CONTRADICTED, SUPPORTED, UNDECIDED, over_runs

# Two runs: mean ± 12.7 · spread / √2. Of the pairs of (1, 1.01, 3), only the first decides.
MIXED = over_runs("mixed", "a difference", (1.0, 1.01, 3.0))


def shares(found, runs):
    return found[found["runs"] == runs].set_index("verdict")["share"]


def test_every_subset_of_the_runs_judges():
    found = enough.by_runs([MIXED], 3)

    assert shares(found, 2)[SUPPORTED] == pytest.approx(1 / 3)
    assert shares(found, 2)[UNDECIDED] == pytest.approx(2 / 3)
    assert shares(found, 3)[UNDECIDED] == 1.0  # 1.67 ± 4.3 · 1.15 / √3


def test_shares_are_a_mean_over_claims_and_add_up():
    clear = over_runs("clear", "a difference", (-1.0, -1.01, -1.02))
    short = over_runs("short", "a difference", (5.0, 5.01))

    found = enough.by_runs([MIXED, clear, short], 3)

    assert shares(found, 2)[CONTRADICTED] == pytest.approx(1 / 2)
    assert found.groupby("runs")["share"].sum().to_list() == pytest.approx([1.0, 1.0])


def test_the_family_counts_for_fewer_runs_as_well():
    # 1.005 ± 12.7 · .00707 / √2 = ± .064 alone; as one of 1000, t is 12732 and the half-width 64.
    crowded = replace(MIXED, tests=1000)

    assert shares(enough.by_runs([crowded], 3), 2)[SUPPORTED] == 0.0


def test_no_claim_has_so_many_runs():
    with pytest.raises(ValueError, match="no claim has 4 runs"):
        enough.by_runs([MIXED], 4)


def test_a_decision_against_all_runs_is_a_reversal():
    # All ten: −3.8 ± 1.8, contradicted. Of the pairs one, (1, 1.0001), supports.
    values = (1.0, 1.0001, -5.0, -5.01, -5.02, -5.03, -5.04, -5.05, -5.06, -5.07)
    claim = over_runs("mostly negative", "a difference", values)
    assert claim.verdict == CONTRADICTED

    # pairs that decide: one supports; of the eight negative ones all 28 contradict
    assert enough.reversals([claim], 2) == pytest.approx(1 / 29)
