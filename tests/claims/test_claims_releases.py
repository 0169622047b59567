"""Claims on releases: paired within a run, together against the better of those alone."""

import pandas as pd
import pytest

import prunemia as pm
from prunemia import claims, results
from prunemia.claims.base import CONTRADICTED, NEGLIGIBLE, SUPPORTED

LEAK = {
    "original": (0.70, 0.66, 0.70, 0.66),  # the better one in runs 0 and 2
    "pruned": (0.66, 0.70, 0.66, 0.70),  # in runs 1 and 3
    "original + pruned": (0.72, 0.721, 0.722, 0.723),
    "pruned to 0.5": (0.7, 0.7, 0.7, 0.7),
    "pruned to 0.7": (0.6, 0.6, 0.6, 0.6),
    "pruned to 0.9": (0.5, 0.9, 0.5, 0.9),
    "0.5 + 0.7 + 0.9": (0.7001, 0.9, 0.7, 0.9002),
    "one shot": (0.70, 0.70, 0.70, 0.70),
    "rounds": (0.60, 0.601, 0.602, 0.603),
    "pruned, 4 bits": (0.66, 0.70, 0.66, 0.7001),
    "pruned, 2 bits": (0.60, 0.65, 0.60, 0.65),
}


def made() -> pd.DataFrame:
    rows = [
        {"seed": seed, "release": release, "held": 1 + release.count("+"), "attack": attack,
         "measure": measure, "value": value + 0.1 * (measure == "AUC" or attack == "conf")}
        for release, values in LEAK.items()
        for attack in ("conf", "nncls")
        for measure in ("accuracy", "AUC")
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows[::-1])  # the order of rows does not matter


@pytest.fixture
def tested():
    return {claim.text: claim for claim in claims.release_claims(made())}


def test_together_is_compared_with_the_better_one_of_each_run(tested):
    both = tested["Together, original + pruned tell nncls more than each alone"]
    several = tested["Together, 0.5 + 0.7 + 0.9 tell nncls more than each alone"]

    # 0.72 − 0.70, 0.721 − 0.70, …: against the mean of either alone it would be 0.04
    assert both.values == pytest.approx((0.02, 0.021, 0.022, 0.023))
    assert both.verdict == SUPPORTED
    assert several.values == pytest.approx((0.0001, 0, 0, 0.0002))
    assert several.verdict == NEGLIGIBLE


def test_rounds_and_bits_are_paired_differences_with_a_sign(tested):
    rounds = tested["Rounds of pruning leak more than one shot (nncls)"]
    four = tested["Four bits lower the leak of the pruned network (nncls)"]
    two = tested["Two bits lower the leak of the pruned network (nncls)"]

    assert rounds.values == pytest.approx((-0.1, -0.099, -0.098, -0.097))
    assert rounds.verdict == CONTRADICTED
    assert two.values == pytest.approx((0.06, 0.05, 0.06, 0.05))
    assert (four.verdict, two.verdict) == (NEGLIGIBLE, SUPPORTED)


def test_only_what_the_table_has_is_claimed_and_by_the_attack_that_is_asked_for(tested):
    assert len(tested) == 5
    assert {claim.tests for claim in tested.values()} == {5}
    by_conf = claims.release_claims(made(), "conf")
    assert [claim.values for claim in by_conf] == [
        pytest.approx(claim.values) for claim in tested.values()
    ]
    assert all("conf" in claim.text for claim in by_conf)


def test_the_scorecard_has_them_where_a_table_does(monkeypatch):
    monkeypatch.setattr(results, "kept_releases", lambda _: ("kept", made()))
    assert {c.source for c in claims.several_releases(None, pm.Experiment(), 4)} == {"kept"}
    monkeypatch.setattr(results, "kept_releases", lambda _: None)
    assert claims.several_releases(None, pm.Experiment(), 4) == []
    assert claims.several_releases in claims.SCORECARD
