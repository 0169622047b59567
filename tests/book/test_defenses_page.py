"""What the page on the defenses says of its plane."""

import math

import pandas as pd
import pytest

import prunemia as pm
from prunemia.audit.epsilon import in_few_runs, lower_bound
from prunemia.book import defenses_page

EXP = pm.Experiment(
    dataset="mnist1d", model="columnfc", samples=600, epochs=4, shadows=1, sparsity=0.5
)

START = "l1unstructured 0.7"


def plane(late: float = 0.0, runs: int = 10) -> pd.DataFrame:
    """A plane in which PPB costs a point of test accuracy and takes five from the attack."""
    ways = [("none", math.nan, 0.80, 0.70), ("ppb", 4.0, 0.79, 0.65), ("ppb", 16.0, 0.60, 0.52)]
    return pd.DataFrame(
        {
            "pruner": "l1unstructured", "sparsity": 0.7, "defense": defense, "strength": strength,
            "whole": False, "stopping": "warm-up", "finetune_epochs": EXP.tuning_epochs,
            "seed": seed, "adversary": "adaptive", "attack": "conf",
            "test_accuracy": test + 0.001 * (seed % 2) * (defense == "ppb"),
            "accuracy": leak + (late * (seed >= 5) - 0.001 * (seed % 2)) * (defense == "ppb"),
        }
        for seed in range(runs)
        for defense, strength, test, leak in ways
    )  # fmt: skip


def test_the_advice_is_chosen_on_some_runs_and_judged_on_others():
    said = defenses_page.advice(plane(), START, "accuracy")

    assert said["chosen"] == "PPB λ = 4"
    assert "costs 1.0 points of test accuracy" in said["chosen_said"]
    assert said["judged_said"].startswith("on 5 fresh runs it lowers the strongest attack by ")


def test_what_other_runs_do_not_confirm_is_said_as_such():
    said = defenses_page.advice(plane(late=0.10), START, "accuracy")
    assert said["chosen"] == "PPB λ = 4"
    assert "raises the strongest attack" in said["judged_said"]


def test_a_price_beyond_the_allowed_one_is_said_as_such():
    dearer = plane()
    ppb = (dearer["seed"] >= 5) & (dearer["strength"] == 4)
    dearer.loc[ppb, "test_accuracy"] -= 0.03  # the runs that chose saw a loss of 0.01

    said = defenses_page.advice(dearer, START, "accuracy")["judged_said"]

    assert said.endswith(", which is more than allowed")
    assert (
        "more than allowed" not in defenses_page.advice(plane(), START, "accuracy")["judged_said"]
    )


def test_without_other_runs_nothing_is_judged():
    assert defenses_page.advice(plane(runs=5), START, "accuracy")["judged_said"] == (
        "no run was left to judge it"
    )


def test_the_front_says_which_of_its_ways_hold():
    found = defenses_page.front(plane(), "accuracy")
    assert list(found.index) == ["l1unstructured 0.7", "PPB λ = 4", "PPB λ = 16"]
    assert set(found["confirmed"]) == {"yes"}
    assert set(defenses_page.front(plane(runs=4), "accuracy")["confirmed"]) == {"–"}


def test_bounds_on_epsilon_come_from_counts_and_canaries(tmp_path):
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    runs = [EXP, EXP.replace(seed=1)]
    bounds = defenses_page.epsilons(lab, {"plain": runs}, 40)

    guesses = [lab.canaries(run, count=40).guesses() for run in runs]
    right, made = (sum(part) for part in zip(*guesses, strict=True))
    assert bounds.loc["plain", "by canaries"] == in_few_runs(right, made, 80)
    results = [lab.attack(run, "conf") for run in runs]
    counts = [
        sum(int((r.predictions & r.membership).sum()) for r in results),
        sum(int(r.membership.sum()) for r in results),
        sum(int((r.predictions & ~r.membership).sum()) for r in results),
        sum(int((~r.membership).sum()) for r in results),
    ]
    assert bounds.loc["plain", "by attack"] == pytest.approx(lower_bound(*counts, delta=1e-5))
    assert math.isnan(bounds.loc["plain", "promised"])
