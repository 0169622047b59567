"""Points of test accuracy against the leak: chosen on some runs, judged on others."""

import numpy as np
import pandas as pd
import pytest

from prunemia import claims
from prunemia.claims.base import CONTRADICTED, SUPPORTED
from prunemia.claims.ways import named

# way: pruner, sparsity, defense, strength, whole; test accuracy; leak by conf, by samia
WAYS = [
    ("none", 0.0, "none", np.nan, False, 0.80, 0.66, 0.70),
    ("dense", 0.0, "none", np.nan, False, 0.79, 0.66, 0.69),
    ("slim", 0.5, "none", np.nan, False, 0.78, 0.63, 0.62),
    ("slim", 0.9, "none", np.nan, False, 0.70, 0.56, 0.58),
    ("slim", 0.5, "ppb", 1.0, False, 0.77, 0.60, 0.64),
    ("slim", 0.5, "ppb", 4.0, False, 0.69, 0.50, 0.55),
    ("slim", 0.5, "adv", 1.0, False, 0.69, 0.60, 0.59),
]


def table(runs=10, swing=0.001, **late):
    """Every way in every run; ``late`` moves a defense's leak in the runs that judge."""
    rows = []
    for seed in range(runs):
        for pruner, sparsity, defense, strength, whole, test, conf, samia in WAYS:
            moved = swing * (-1) ** seed + (late.get(defense, 0.0) if seed >= 5 else 0.0)
            for attack, leak in (("conf", conf), ("samia", samia)):
                for adversary, less in (("adaptive", 0.0), ("non-adaptive", 0.1)):
                    if defense == "none" and less:
                        continue
                    rows.append(
                        {
                            "pruner": pruner, "sparsity": sparsity, "defense": defense,
                            "strength": strength, "whole": whole, "stopping": "warm-up",
                            "finetune_epochs": 8, "seed": seed, "adversary": adversary,
                            "test_accuracy": test, "attack": attack,
                            "accuracy": leak + (moved if defense != "none" else 0.0) - less,
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def test_a_point_is_the_strongest_attack_on_a_way():
    plane = claims.points(table(4, swing=0.0), "accuracy").set_index("name")

    assert len(plane) == len(WAYS)
    slim = plane.loc["slim 0.5"]
    assert (slim["attack"], slim["leak"], slim["test"], slim["runs"]) == ("conf", 0.63, 0.78, 4)
    ppb = plane.loc["PPB λ = 4 on slim 0.5"]
    assert (ppb["attack"], ppb["leak"]) == ("samia", pytest.approx(0.55))


def test_the_other_adversary_is_asked_of_defenses_and_networks_without_have_one():
    plane = claims.points(table(4, swing=0.0), "accuracy", "non-adaptive").set_index("name")

    assert plane.loc["PPB λ = 4 on slim 0.5", "leak"] == pytest.approx(0.45)
    assert plane.loc["slim 0.5", "leak"] == pytest.approx(0.63)


def test_the_front_is_what_no_other_beats():
    plane = pd.DataFrame({"test": [0.8, 0.7, 0.65, 0.8, 0.8], "leak": [0.7, 0.6, 0.65, 0.7, 0.71]})
    assert claims.on_front(plane).tolist() == [True, True, False, True, False]


def test_the_rival_is_the_undefended_way_of_least_leak_at_equal_accuracy():
    found = claims.rivals(claims.points(table(4, swing=0.0), "accuracy"))

    # Within two points: PPB 1 at .77 meets slim 0.5 at .78, PPB 4 at .69 also slim 0.9 at .70.
    by_name = found.set_index("name")
    assert by_name.loc["PPB λ = 1 on slim 0.5", "rival"] == "slim 0.5"
    assert by_name.loc["PPB λ = 1 on slim 0.5", "gain"] == pytest.approx(0.63 - 0.64)
    assert by_name.loc["PPB λ = 4 on slim 0.5", "rival"] == "slim 0.9"
    assert by_name.loc["PPB λ = 4 on slim 0.5", "gain"] == pytest.approx(0.58 - 0.55)


def test_a_defense_more_accurate_than_all_others_has_no_rival():
    plane = claims.points(table(4), "accuracy")
    plane.loc[plane["name"] == "PPB λ = 1 on slim 0.5", "test"] = 0.9
    assert "PPB λ = 1 on slim 0.5" not in set(claims.rivals(plane)["name"])


def test_a_strength_that_ruins_the_network_has_no_rival():
    plane = claims.points(table(4, swing=0.0), "accuracy")
    plane.loc[plane["name"] == "PPB λ = 4 on slim 0.5", "test"] = 0.629  # of slim 0.5's 0.78

    assert "PPB λ = 4 on slim 0.5" not in set(claims.rivals(plane)["name"])


def test_a_rival_that_is_pruned_alike_has_the_same_method():
    plane = claims.points(table(4, swing=0.0), "accuracy")
    plane.loc[plane["name"] == "slim 0.9", "pruner"] = "l1structured"

    found = claims.rivals(plane, pruned_alike=True).set_index("name")

    assert found.loc["PPB λ = 4 on slim 0.5", "rival"] == "slim 0.5"
    assert found.loc["PPB λ = 4 on slim 0.5", "gain"] == pytest.approx(0.63 - 0.55)


def test_defenses_of_another_pruner_are_claims_of_their_own():
    both = table()
    other = both[both["pruner"].isin(["slim"])].assign(pruner="l1structured")

    found = claims.equal_accuracy(pd.concat([both, other]), pruned_alike=True)

    assert [claim.text for claim in found if "PPB" in claim.text] == [
        "PPB λ = 4 on slim 0.5 leaks less than slim 0.9 without a defense",
        "PPB λ = 4 on l1structured 0.5 leaks less than l1structured 0.9 without a defense",
    ]


def test_each_defense_is_judged_at_its_best_strength_by_the_other_runs():
    ppb, adv = claims.equal_accuracy(table())

    assert ppb.text == "PPB λ = 4 on slim 0.5 leaks less than slim 0.9 without a defense"
    assert len(ppb.values) == len(adv.values) == 5
    assert ppb.effect.value == pytest.approx(0.03, abs=0.001)
    assert (ppb.verdict, adv.verdict) == (SUPPORTED, CONTRADICTED)
    assert (ppb.tests, adv.tests) == (2, 2)
    assert ppb.statistic.endswith("rival − defense (in test accuracy +0.010)")  # .70 and .69


def test_what_only_the_choosing_runs_show_is_not_claimed():
    (ppb, _) = claims.equal_accuracy(table(ppb=0.05))

    assert ppb.text.startswith("PPB λ = 4 on slim 0.5")  # chosen as before
    assert ppb.verdict == CONTRADICTED  # 0.03 − 0.05 on the runs that judge


def test_without_runs_that_judge_there_is_no_claim():
    assert claims.equal_accuracy(table(5)) == []


def test_the_recommended_way_leaks_least_within_the_price():
    assert claims.recommended(table(), "slim 0.5", 0.02) == "slim 0.5"
    assert claims.recommended(table(), "slim 0.5", 0.10) == "PPB λ = 4 on slim 0.5"
    assert claims.recommended(table(), "original", 0.02) == "slim 0.5"


def test_two_ways_are_compared_on_the_runs_that_judge():
    leak, price = claims.compared(table(ppb=0.01), "PPB λ = 4 on slim 0.5", "slim 0.5", "accuracy")

    assert leak.effect.value == pytest.approx(0.63 - 0.56, abs=0.001)
    assert leak.verdict == SUPPORTED
    assert price.values == pytest.approx([0.02 - 0.09] * 5)


def test_the_front_is_confirmed_or_not_by_the_other_runs():
    held = dict(claims.confirmed(table(ppb=0.05)))

    assert held == {"original": True, "slim 0.9": True, "slim 0.5": True, "dense": True,
                    "PPB λ = 4 on slim 0.5": False}  # fmt: skip


def test_a_way_is_confirmed_whatever_it_is_called():
    # the runs that choose have a second length of slim 0.5, so that its name has the epochs there
    longer = table()
    longer = longer[(longer["pruner"] == "slim") & (longer["sparsity"] == 0.5)]
    longer = longer[(longer["defense"] == "none") & (longer["seed"] < 5)]
    both = pd.concat([table(), longer.assign(finetune_epochs=16, test_accuracy=0.1)])

    held = dict(claims.confirmed(both))

    assert held["slim 0.5, 8 epochs"] is True
    assert "slim 0.5" not in held


def test_without_runs_that_judge_two_ways_are_not_compared():
    assert claims.compared(table(4), "PPB λ = 4 on slim 0.5", "slim 0.5", "accuracy") == []


def test_names_tell_ways_apart():
    base = {"pruner": "slim", "sparsity": 0.5, "defense": "dp", "strength": 2.0, "stopping": "last"}
    assert named(pd.Series({**base, "whole": True})) == (
        "DP-SGD σ = 2 (training, too) on slim 0.5, last stopping"
    )
    default = pd.Series({**base, "pruner": "l1unstructured", "sparsity": 0.7, "whole": False})
    assert named(default) == "DP-SGD σ = 2, last stopping"
    two = pd.concat([table(2), table(2).assign(finetune_epochs=14)])
    assert {"slim 0.5, 8 epochs", "slim 0.5, 14 epochs"} <= set(
        claims.points(two, "accuracy")["name"]
    )
