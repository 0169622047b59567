"""Claims on releases: paired within a run, together against the better one alone of other runs."""

import pandas as pd
import pytest

from prunemia.claims import releases
from prunemia.claims.base import NEGLIGIBLE, OPEN, SUPPORTED

LEAK = {
    "original": (0.675, 0.66, 0.66, 0.66),  # the better one in run 0 alone
    "pruned": (0.67, 0.70, 0.70, 0.70),  # on average over the others of every run
    "original + pruned": (0.72, 0.721, 0.722, 0.723),
    "pruned to 0.5": (0.7, 0.7, 0.7, 0.7),
    "pruned to 0.7": (0.6, 0.6, 0.6, 0.6),
    "pruned to 0.9": (0.5, 0.5, 0.5, 0.5),
    "0.5 + 0.7 + 0.9": (0.7001, 0.7, 0.7, 0.7002),
    "one shot": (0.70, 0.70, 0.70, 0.70),
    "rounds": (0.60, 0.601, 0.602, 0.603),
    "pruned, 4 bits": (0.67, 0.70, 0.70, 0.7001),
    "pruned, 2 bits": (0.61, 0.65, 0.64, 0.65),
}


def made():
    rows = [
        {"seed": seed, "release": release, "attack": attack, "measure": measure,
         "test_accuracy": 0.8 - 0.01 * len(release),
         "value": value + (measure == "AUC") + (attack == "conf")}
        for release, values in LEAK.items()
        for attack in ("conf", "nncls")
        for measure in ("accuracy", "AUC")
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows[::-1])  # the order of rows does not matter


@pytest.fixture
def found():
    return {claim.id: claim for claim in releases.releases(made())}


def values(claim):
    return claim.by_rule["warm-up"]


def test_together_is_compared_with_the_better_one_on_the_other_runs(found):
    both, several = found["together-original-pruned"], found["together-0.5-0.7-0.9"]

    # 0.72 − 0.67, 0.721 − 0.70, …: in run 0 the larger one, 0.675, is so by chance
    assert values(both) == pytest.approx((0.05, 0.021, 0.022, 0.023))
    assert both.verdict == SUPPORTED
    assert values(several) == pytest.approx((0.0001, 0, 0, 0.0002))
    assert several.verdict == NEGLIGIBLE


def test_rounds_and_bits_are_paired_differences_with_a_sign(found):
    assert values(found["rounds"]) == pytest.approx((-0.1, -0.099, -0.098, -0.097))
    assert values(found["bits-2"]) == pytest.approx((0.06, 0.05, 0.06, 0.05))
    assert (found["bits-4"].verdict, found["bits-2"].verdict) == (NEGLIGIBLE, SUPPORTED)


def test_what_is_about_training_is_open_under_one_stopping_rule(found):
    assert found["rounds"].verdict == OPEN
    assert set(found) & set(releases.ABOUT_TRAINING) == {"rounds"}


def test_only_what_the_table_has_is_claimed_and_once(found):
    assert set(found) == {
        "together-original-pruned", "together-0.5-0.7-0.9", "rounds", "bits-4", "bits-2"
    }  # fmt: skip
    assert len(list(releases.releases(made()))) == len(found)


def test_recipes_are_compared_on_the_same_victims():
    rows = [
        {"seed": seed, "attack": attack, "recipe": recipe,
         "accuracy": 0.7 + (recipe == "fast") * (0.02 + seed / 1000),
         "auc": 0.8 - (recipe == "fast") * seed / 1000}
        for seed in range(3)
        for attack in ("samia", "nn")
        for recipe in ("paper", "fast")
    ]  # fmt: skip
    found = {claim.id: claim for claim in releases.recipes(pd.DataFrame(rows))}

    assert len(found) == 4
    assert values(found["recipe-nn-accuracy"]) == pytest.approx((0.02, 0.021, 0.022))
    assert found["recipe-nn-accuracy"].verdict == SUPPORTED
    assert values(found["recipe-samia-auc"]) == pytest.approx((0, -0.001, -0.002))
    assert found["recipe-samia-auc"].verdict == NEGLIGIBLE
