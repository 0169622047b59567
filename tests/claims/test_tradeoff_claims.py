"""Points of test accuracy against the leak: chosen on some runs, judged on others."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from made_up import answers
from scipy import stats

from prunemia import claims
from prunemia.claims.base import CONTRADICTED, OPEN, SUPPORTED
from prunemia.claims.tradeoff import names
from prunemia.claims.tradeoff import rivals as with_rivals

# pruner, sparsity, defense, strength; test accuracy; leak by conf, by samia
WAYS = [
    ("none", 0.0, "none", np.nan, 0.80, 0.66, 0.70),
    ("dense", 0.0, "none", np.nan, 0.79, 0.66, 0.69),
    ("slim", 0.5, "none", np.nan, 0.78, 0.63, 0.62),
    ("slim", 0.9, "none", np.nan, 0.70, 0.56, 0.58),
    ("slim", 0.5, "ppb", 1.0, 0.77, 0.60, 0.64),
    ("slim", 0.5, "ppb", 4.0, 0.69, 0.50, 0.55),
    ("slim", 0.5, "adv", 1.0, 0.69, 0.60, 0.59),
]
LONG = {"finetune_epochs": 16}
PPB_1, PPB_4 = "PPB λ = 1 on slim 0.5", "PPB λ = 4 on slim 0.5"
ADV = "adversarial regularization α = 1 on slim 0.5"
HALF = stats.t.ppf(0.975, 4) * 0.001 * np.sqrt(10) / np.sqrt(5)
"""Half of the interval over five runs that lie −4, −2, 0, 2, 4 thousandths around their mean."""
by_id = partial(answers, "Which defense helps?")


def table(runs=10, swing=0.001, **late):
    """Every way in every run; ``late`` moves a defense's leak in the runs that judge."""
    rows = [
        {
            "pruner": pruner, "sparsity": sparsity, "defense": defense, "strength": strength,
            "whole": False, "stopping": "warm-up", "finetune_epochs": 8, "seed": seed,
            "adversary": adversary, "test_accuracy": test, "attack": attack,
            "accuracy": leak - less
            + (defense != "none") * (swing * (-1) ** seed + (seed >= 5) * late.get(defense, 0.0)),
            "validation_accuracy": np.nan,
        }
        for seed in range(runs)
        for pruner, sparsity, defense, strength, test, conf, samia in WAYS
        for attack, leak in (("conf", conf), ("samia", samia))
        for adversary, less in (("adaptive", 0.0), ("non-adaptive", 0.1))
        if defense != "none" or not less
    ]  # fmt: skip
    return pd.DataFrame(rows)


def moved(conf, samia):
    """Return the table with a leak of the validation samples of "adv", at the accuracy of dense."""
    data = table(swing=0.0)
    adv = data["defense"] == "adv"
    data.loc[adv, "validation_accuracy"] = data["attack"].map({"conf": conf, "samia": samia})
    data.loc[adv, "test_accuracy"] = 0.79
    return data


def points(data=None, adversary="adaptive"):
    data = table(4, swing=0.0) if data is None else data
    return claims.points(data, "accuracy", adversary).set_index("name")


def rivals(plane, pruned_alike=False):
    """Return name → rival of the defended points that have one."""
    found = with_rivals(plane.reset_index(), pruned_alike).dropna(subset="rival_name")
    return dict(zip(found["name"], found["rival_name"], strict=True))


def test_a_point_is_the_strongest_attack_on_a_way():
    plane = points()

    assert len(plane) == len(WAYS)
    assert plane.loc["slim 0.5", ["attack", "leak", "runs"]].tolist() == ["conf", 0.63, 4]
    assert plane.loc[PPB_4, ["attack", "leak"]].tolist() == ["samia", pytest.approx(0.55)]
    # the other adversary is asked of defenses; networks without have one leak
    other = points(adversary="non-adaptive")["leak"]
    assert other[[PPB_4, "slim 0.5"]].tolist() == pytest.approx([0.45, 0.63])


def test_the_front_is_what_no_other_beats():
    plane = pd.DataFrame({"test": [0.8, 0.7, 0.65, 0.8, 0.8], "leak": [0.7, 0.6, 0.65, 0.7, 0.71]})
    assert claims.on_front(plane).tolist() == [True, True, False, True, False]


def test_the_rival_is_the_undefended_way_of_least_leak_at_equal_accuracy():
    found = with_rivals(points().reset_index()).set_index("name").loc[[PPB_1, PPB_4]]
    # Within a point: PPB 1 at .77 meets slim 0.5 at .78 alone, PPB 4 at .69 slim 0.9 at .70.
    assert found["rival_name"].tolist() == ["slim 0.5", "slim 0.9"]
    assert found["gain"].tolist() == pytest.approx([0.63 - 0.64, 0.58 - 0.55])


@pytest.mark.parametrize(("name", "changes", "rival"), [
    (PPB_1, {PPB_1: {"test": 0.80}}, "dense"),  # original .80, dense .79; slim 0.5 two points below
    (PPB_1, {PPB_1: {"test": 0.77}}, "slim 0.5"),  # dense is two points more accurate
    (PPB_1, {PPB_1: {"test": 0.7599}}, None),  # 2.01 points below slim 0.5
    # of original .80, dense .79 and slim 0.5 .78, the last two were fine-tuned for 8 epochs
    (PPB_1, {PPB_1: {"test": 0.79, **LONG}}, "original"),
    (PPB_1, {PPB_1: {"test": 0.79, **LONG}, "slim 0.5": LONG}, "slim 0.5"),
    # a strength that ruins the network, of slim 0.5's 0.78, has none
    (PPB_4, {"slim 0.9": {"test": 0.63}, PPB_4: {"test": 0.631}}, "slim 0.9"),
    (PPB_4, {"slim 0.9": {"test": 0.63}, PPB_4: {"test": 0.629}}, None),
])  # fmt: skip
def test_a_rival_is_as_accurate_within_a_point_and_fine_tuned_as_long(name, changes, rival):
    plane = points()
    for way, values in changes.items():
        plane.loc[way, list(values)] = list(values.values())
    assert rivals(plane).get(name) == rival


def test_a_rival_that_is_pruned_alike_has_the_same_method():
    plane = points()
    plane.loc["slim 0.9", "pruner"] = "l1structured"
    # PPB 4 has l1structured 0.9 beside it
    assert rivals(plane, pruned_alike=True) == {PPB_1: "slim 0.5"}
    assert PPB_4 in rivals(plane)


def test_early_stopping_meets_its_own_network_without_it_alone():
    every, other = table(4, swing=0.0), {"stopping": "published", "strength": np.nan}
    early = every.query("defense == 'ppb' and strength == 1")
    early = early.assign(defense="earlystop", test_accuracy=0.78, **other)
    none = every.query("defense == 'none' and pruner == 'slim' and sparsity == 0.5")
    none = none.assign(accuracy=0.68, test_accuracy=0.775, **other)

    def met(*parts):
        return rivals(points(pd.concat([every, *parts]))).get("early stopping on slim 0.5")

    assert met(early) is None  # slim 0.5 at .78 has another stopping rule
    assert met(early, none) == "slim 0.5, published stopping"
    assert met(early, none.assign(test_accuracy=0.76)) is None


def test_an_original_comes_once_whatever_was_fine_tuned_from_it():
    longer = table().query("pruner in ['none', 'dense']").assign(**LONG)
    plane = points(pd.concat([table(), longer]))
    assert plane.loc["original", ["runs", "finetune_epochs"]].tolist() == [10, 0]
    assert {"dense, 8 epochs", "dense, 16 epochs"} <= set(plane.index)


# --- Claims ---------------------------------------------------------------------------------------


def test_defenses_of_another_pruner_are_claims_of_their_own():
    found = by_id(pd.concat([table(), table().query("pruner == 'slim'").assign(pruner="l1filter")]))
    # on slim each has the rival that it has among all: one duel, one claim
    alike = {f"alike-l1filter-{name}" for name in ("ppb", "adv")}
    assert set(found) == {"defense-ppb", "defense-adv"} | alike
    claim = found["alike-l1filter-ppb"]
    assert claim.text.endswith("of its test accuracy, both pruned by l1filter")
    assert claim.note.startswith("PPB λ = 4 on l1filter 0.5 against l1filter 0.9; ")


def test_each_defense_is_judged_at_its_best_strength_by_the_other_runs():
    found = by_id(table())
    ppb, adv = found["defense-ppb"], found["defense-adv"]

    assert ppb.text == "PPB leaks less than an undefended network of its test accuracy"
    assert ppb.note.startswith(f"{PPB_4} against slim 0.9; rival's test accuracy +1.0 points")
    assert ppb.runs == adv.runs == 5
    # .58 − .55, and a swing of a thousandth by turns: −, +, −, +, − of the judging runs
    swing = [-0.001, 0.001, -0.001, 0.001, -0.001]
    assert ppb.by_rule["warm-up"] == pytest.approx([0.03 - x for x in swing])
    assert (ppb.verdict, adv.verdict) == (SUPPORTED, CONTRADICTED)
    # what only the choosing runs show is not claimed: 0.03 − 0.05 on those that judge
    late = by_id(table(ppb=0.05))["defense-ppb"]
    assert late.note.startswith(PPB_4)
    assert late.verdict == CONTRADICTED


def test_a_gain_is_open_where_the_leak_of_validation_samples_was_not_measured():
    # adv trains on them; from .70 its leak falls to .40 in the runs that judge
    adv = by_id(table(adv=-0.3))["defense-adv"]
    assert adv.effect.low > 0
    assert (adv.verdict, adv.open) == (OPEN, "the leak of its validation samples was not measured")
    leaking = by_id(moved(0.55, 0.58))["defense-adv"].note
    assert leaking.endswith("; its validation samples leak 0.580")


@pytest.mark.parametrize(
    ("late", "shift", "verdict", "reason"),
    [
        (0.0, -0.03, OPEN, "its rival is 2.0 points less accurate on the runs that judge"),
        (0.0, 0.03, OPEN, "its rival is 4.0 points more accurate on the runs that judge"),
        (0.05, 0.03, CONTRADICTED, ""),  # more accurate, and leaks less: beaten either way
        (0.0, 0.0, SUPPORTED, ""),
    ],
)
def test_a_rival_that_is_not_as_accurate_where_it_judges_decides_nothing(
    late, shift, verdict, reason
):
    data = table(ppb=late)
    rival = (data["pruner"] == "slim") & (data["sparsity"] == 0.9) & (data["seed"] >= 5)
    # of .01 more than PPB's, and −4, −2, 0, 2, 4 thousandths around it
    data.loc[rival, "test_accuracy"] += shift + 0.002 * (data["seed"] - 7)

    claim = by_id(data)["defense-ppb"]

    assert (claim.verdict, claim.open) == (verdict, reason)
    gap = 0.01 + shift
    value, low, high = 100 * gap, 100 * (gap - HALF), 100 * (gap + HALF)
    said = f"rival's test accuracy {value:+.1f} points [{low:.1f}, {high:.1f}]"
    assert claim.note.endswith(said)


def test_what_has_no_rival_is_listed_with_the_reason():
    both = ("PPB", "adversarial regularization")
    assert claims.without_rival(table()) == {}
    left = "no run was left to judge it"
    assert claims.without_rival(table(1)) == dict.fromkeys(both, left)
    alone, test = table(), {"adv": 0.74, "ppb": 0.60}
    alone["test_accuracy"] = alone["defense"].map(test).fillna(alone["test_accuracy"])
    reasons = ("every strength costs over 15 points of test accuracy",
               "no undefended network within 1 point of test accuracy")  # fmt: skip
    assert claims.without_rival(alone) == dict(zip(both, reasons, strict=True))
    assert by_id(alone) == by_id(table(1)) == {}


# --- Advice ---------------------------------------------------------------------------------------


def test_the_leak_of_validation_samples_is_by_the_attack_strongest_on_them():
    plane = points(moved(0.55, 0.58))
    assert plane.loc[ADV, ["attack", "validation_attack"]].tolist() == ["conf", "samia"]
    leaks = plane.loc[ADV, ["leak", "validation", "worst"]]
    assert leaks.tolist() == pytest.approx([0.60, 0.58, 0.60])
    assert plane.loc["slim 0.5", "worst"] == plane.loc["slim 0.5", "leak"]
    assert np.isnan(plane.loc["slim 0.5", "validation"])


@pytest.mark.parametrize(
    ("validation", "leaks", "numbers"),
    [
        # of the original .80/.70, dense .79/.69 and adv .79/.60; slim 0.5 two points less accurate
        (0.58, "members", [0.70, 0.60, 0.10, 0.01, 0.60, 0.58]),
        (0.68, "validation", [0.70, 0.68, 0.02, 0.01, 0.60, 0.68]),  # less than dense's .69 still
    ],
)
def test_advice_is_what_leaks_least_at_the_originals_accuracy(validation, leaks, numbers):
    found = claims.advice(moved(0.55, validation))
    assert found[["chosen", "leaks", "runs"]].tolist() == [ADV, leaks, 5]
    named = ["before", "after", "gain", "price", "members", "validation"]
    assert found[named].tolist() == pytest.approx(numbers)


def test_advice_follows_the_price_and_what_was_measured():
    better, nothing = table(), table()
    better.loc[better["defense"] == "ppb", "test_accuracy"] = 0.9  # more than the original's
    nothing.loc[nothing["pruner"] == "none", "accuracy"] = 0.5
    for data, within, chosen in (
        (table(), 0.02, "slim 0.5"),
        (table(), 0.11, PPB_4),
        (better, 0.01, PPB_4),
        (moved(0.55, 0.695), 0.01, "dense"),
        (moved(np.nan, np.nan), 0.01, "dense"),  # adv trains on validation samples: unmeasured
    ):
        assert claims.advice(data, within)["chosen"] == chosen
    assert claims.advice(nothing)[["chosen", "gain", "price"]].tolist() == ["original", 0.0, 0.0]


def test_advice_is_chosen_on_some_runs_and_judged_on_others():
    late = moved(0.55, 0.58)
    later = late["seed"] >= 5
    late.loc[later & (late["defense"] == "adv"), "accuracy"] += 0.002 * late["seed"] - 0.004
    found = claims.advice(late)

    # .60 + .006, .008 … .014: .610 on average
    assert found["after"] == pytest.approx(0.61)
    assert found[["gain_low", "gain_high"]].tolist() == pytest.approx([0.09 - HALF, 0.09 + HALF])
    few = moved(0.55, 0.58)  # of five runs two choose; a single one only chooses
    assert claims.advice(few.query("seed < 5"))[["chosen", "runs"]].tolist() == [found["chosen"], 3]
    one = claims.advice(few.query("seed < 1"))
    assert one[["chosen", "runs"]].tolist() == [found["chosen"], 0]
    assert np.isnan(one["after"])


def test_names_tell_ways_apart():
    one = {"pruner": "slim", "sparsity": 0.5, "defense": "dp", "strength": 2.0, "stopping": "last"}
    ways = pd.DataFrame([one | {"whole": True}, one | {"whole": False, "pruner": "l1unstructured"}])
    ways.loc[1, "sparsity"] = 0.7  # the default pruning goes without saying
    assert names(ways.assign(finetune_epochs=8)).tolist() == [
        "DP-SGD σ = 2 (training, too) on slim 0.5, last stopping",
        "DP-SGD σ = 2, last stopping",
    ]
