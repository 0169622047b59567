"""Points of test accuracy against the leak: chosen on some runs, judged on others."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from prunemia import claims
from prunemia.claims.base import CONTRADICTED, OPEN, SUPPORTED
from prunemia.claims.tradeoff import defended, names
from prunemia.claims.tradeoff import rivals as with_rivals

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


LONG = {"finetune_epochs": 16}
PPB_1, PPB_4 = "PPB λ = 1 on slim 0.5", "PPB λ = 4 on slim 0.5"


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
                            "validation_accuracy": np.nan,
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def plane():
    return claims.points(table(4, swing=0.0), "accuracy")


def rivals(points, pruned_alike=False):
    """Return name → rival of the defended points that have one."""
    found = with_rivals(points, pruned_alike).dropna(subset="rival")
    return dict(zip(found["name"], found["rival"], strict=True))


def test_a_point_is_the_strongest_attack_on_a_way():
    plane = claims.points(table(4, swing=0.0), "accuracy").set_index("name")

    assert len(plane) == len(WAYS)
    slim = plane.loc["slim 0.5"]
    assert (slim["attack"], slim["leak"], slim["test"], slim["runs"]) == ("conf", 0.63, 0.78, 4)
    ppb = plane.loc[PPB_4]
    assert (ppb["attack"], ppb["leak"]) == ("samia", pytest.approx(0.55))


def test_the_other_adversary_is_asked_of_defenses_and_networks_without_have_one():
    plane = claims.points(table(4, swing=0.0), "accuracy", "non-adaptive").set_index("name")

    assert plane.loc[PPB_4, "leak"] == pytest.approx(0.45)
    assert plane.loc["slim 0.5", "leak"] == pytest.approx(0.63)


def test_the_front_is_what_no_other_beats():
    plane = pd.DataFrame({"test": [0.8, 0.7, 0.65, 0.8, 0.8], "leak": [0.7, 0.6, 0.65, 0.7, 0.71]})
    assert claims.on_front(plane).tolist() == [True, True, False, True, False]


def test_the_rival_is_the_undefended_way_of_least_leak_at_equal_accuracy():
    found = with_rivals(plane()).set_index("name")

    # Within a point: PPB 1 at .77 meets slim 0.5 at .78 alone, PPB 4 at .69 slim 0.9 at .70.
    assert found.loc[PPB_1, "rival"] == "slim 0.5"
    assert found.loc[PPB_1, "gain"] == pytest.approx(0.63 - 0.64)
    assert found.loc[PPB_4, "rival"] == "slim 0.9"
    assert found.loc[PPB_4, "gain"] == pytest.approx(0.58 - 0.55)


@pytest.mark.parametrize(("changes", "rival"), [
    ({PPB_1: {"test": 0.80}}, "dense"),  # original .80, dense .79; slim 0.5 lies two points below
    ({PPB_1: {"test": 0.77}}, "slim 0.5"),  # dense is two points more accurate
    ({PPB_1: {"test": 0.7599}}, None),  # 2.01 points below slim 0.5
    ({PPB_1: {"test": 0.9}}, None),
    # of original .80, dense .79 and slim 0.5 .78, the last two were fine-tuned for 8 epochs
    ({PPB_1: {"test": 0.79, **LONG}}, "original"),
    ({PPB_1: {"test": 0.79, **LONG}, "slim 0.5": LONG}, "slim 0.5"),
])  # fmt: skip
def test_a_rival_is_as_accurate_within_a_point_and_fine_tuned_as_long(changes, rival):
    points = plane().set_index("name")
    for name, values in changes.items():
        points.loc[name, list(values)] = list(values.values())

    assert rivals(points.reset_index()).get(PPB_1) == rival


def test_early_stopping_meets_its_own_network_without_it_alone():
    every = table(4, swing=0.0)
    early = every.query("defense == 'ppb' and strength == 1").assign(
        defense="earlystop", strength=np.nan, stopping="published", test_accuracy=0.78
    )
    none = every.query("defense == 'none' and pruner == 'slim' and sparsity == 0.5").assign(
        stopping="published", accuracy=0.68, test_accuracy=0.775
    )

    def met(*parts):
        found = rivals(claims.points(pd.concat([every, *parts]), "accuracy"))
        return found.get("early stopping on slim 0.5")

    assert met(early) is None  # slim 0.5 at .78 has another stopping rule
    assert met(early, none) == "slim 0.5, published stopping"
    assert met(early, none.assign(test_accuracy=0.76)) is None


def test_an_original_comes_once_whatever_was_fine_tuned_from_it():
    longer = table(10).query("pruner in ['none', 'dense']").assign(finetune_epochs=16)

    points = claims.points(pd.concat([table(10), longer]), "accuracy").set_index("name")

    assert points.loc["original", "runs"] == 10
    assert points.loc["original", "finetune_epochs"] == 0
    assert {"dense, 8 epochs", "dense, 16 epochs"} <= set(points.index)


@pytest.mark.parametrize(("test", "usable"), [(0.631, True), (0.629, False)])
def test_a_strength_that_ruins_the_network_has_no_rival(test, usable):
    points = plane().set_index("name")
    points.loc["slim 0.9", "test"] = 0.63
    points.loc[PPB_4, "test"] = test  # of slim 0.5's 0.78

    assert (PPB_4 in rivals(points.reset_index())) is usable


def test_a_rival_that_is_pruned_alike_has_the_same_method():
    points = plane()
    points.loc[points["name"] == "slim 0.9", "pruner"] = "l1structured"

    # PPB 4 has l1structured 0.9 beside it
    assert rivals(points, pruned_alike=True) == {PPB_1: "slim 0.5"}
    assert PPB_4 in rivals(points)


def by_id(table):
    found = list(defended(table))
    named_ids = {claim.id: claim for claim in found}
    assert len(named_ids) == len(found)
    return named_ids


def test_defenses_of_another_pruner_are_claims_of_their_own():
    both = table()
    other = both[both["pruner"].isin(["slim"])].assign(pruner="l1structured")

    found = by_id(pd.concat([both, other]))

    # on slim each has the rival that it has among all: one duel, one claim
    assert set(found) == {
        "defense-ppb", "defense-adv", "alike-l1structured-ppb", "alike-l1structured-adv"
    }  # fmt: skip
    text = found["alike-l1structured-ppb"].text
    assert text.endswith("of its test accuracy, both pruned by l1structured")
    note = found["alike-l1structured-ppb"].note
    assert note.startswith("PPB λ = 4 on l1structured 0.5 against l1structured 0.9; ")


def test_each_defense_is_judged_at_its_best_strength_by_the_other_runs():
    found = by_id(table())
    ppb, adv = found["defense-ppb"], found["defense-adv"]

    assert ppb.text == "PPB leaks less than an undefended network of its test accuracy"
    assert ppb.note.startswith(
        "PPB λ = 4 on slim 0.5 against slim 0.9; rival's test accuracy 0.010"
    )
    assert ppb.runs == adv.runs == 5
    # .58 − .55, and a swing of a thousandth by turns: −, +, −, +, − of the judging runs
    swing = [-0.001, 0.001, -0.001, 0.001, -0.001]
    assert ppb.by_rule["warm-up"] == pytest.approx([0.03 - x for x in swing])
    assert (ppb.verdict, adv.verdict) == (SUPPORTED, CONTRADICTED)


def test_a_gain_is_open_where_the_leak_of_validation_samples_was_not_measured():
    # adv trains on them; from .70 its leak falls to .40 in the runs that judge
    adv = by_id(table(adv=-0.3))["defense-adv"]

    assert adv.effect.low > 0
    assert (adv.verdict, adv.open) == (OPEN, "the leak of its validation samples was not measured")


def test_a_claim_has_its_rivals_test_accuracy_beside_it():
    data = table()
    rival = (data["pruner"] == "slim") & (data["sparsity"] == 0.9)
    data.loc[rival & (data["seed"] >= 5), "test_accuracy"] += 0.002 * (data["seed"] - 7)

    note = by_id(data)["defense-ppb"].note

    # test accuracies: .69, and .70 with −4, −2, 0, 2, 4 thousandths: sd √10, t₄ at 97.5 %
    half = stats.t.ppf(0.975, 4) * 0.001 * np.sqrt(10) / np.sqrt(5)
    low, high = 0.01 - half, 0.01 + half
    assert note.endswith(f"rival's test accuracy 0.010 [{low:.3f}, {high:.3f}]")
    leaking = by_id(moved(0.55, 0.58))["defense-adv"].note
    assert leaking.endswith("; its validation samples leak 0.580")


NAMES = ("PPB", "adversarial regularization")


def test_what_has_no_rival_is_listed_with_the_reason():
    assert claims.without_rival(table()) == {}
    left = "no run was left to judge it"
    assert claims.without_rival(table(5)) == dict.fromkeys(NAMES, left)
    alone = table()
    alone.loc[alone["defense"] == "adv", "test_accuracy"] = 0.74
    alone.loc[alone["defense"] == "ppb", "test_accuracy"] = 0.60
    assert claims.without_rival(alone) == {
        NAMES[0]: "every strength costs over 15 points of test accuracy",
        NAMES[1]: "no undefended network within 1 point of test accuracy",
    }
    assert by_id(alone) == by_id(table(5)) == {}


def test_what_only_the_choosing_runs_show_is_not_claimed():
    ppb = by_id(table(ppb=0.05))["defense-ppb"]

    assert ppb.note.startswith("PPB λ = 4 on slim 0.5")  # chosen as before
    assert ppb.verdict == CONTRADICTED  # 0.03 − 0.05 on the runs that judge


def moved(conf, samia):
    """Return the table with a leak of the validation samples of "adv", at the accuracy of dense."""
    data = table(swing=0.0)
    adv = data["defense"] == "adv"
    data["validation_accuracy"] = np.nan
    for attack, leak in (("conf", conf), ("samia", samia)):
        data.loc[adv & (data["attack"] == attack), "validation_accuracy"] = leak
    data.loc[adv, "test_accuracy"] = 0.79
    return data


def test_the_leak_of_validation_samples_is_by_the_attack_strongest_on_them():
    plane = claims.points(moved(0.55, 0.58), "accuracy").set_index("name")

    adv = plane.loc["adversarial regularization α = 1 on slim 0.5"]
    assert (adv["attack"], adv["leak"]) == ("conf", pytest.approx(0.60))
    assert (adv["validation_attack"], adv["validation"]) == ("samia", pytest.approx(0.58))
    assert adv["worst"] == pytest.approx(0.60)
    assert plane.loc["slim 0.5", "worst"] == plane.loc["slim 0.5", "leak"]
    assert np.isnan(plane.loc["slim 0.5", "validation"])


def test_advice_is_what_leaks_least_at_the_originals_accuracy():
    # of the original .80/.70, dense .79/.69 and adv .79/.60; slim 0.5 is two points less accurate
    found = claims.advice(moved(0.55, 0.58))

    assert found["chosen"] == "adversarial regularization α = 1 on slim 0.5"
    assert (found["leaks"], found["runs"]) == ("members", 5)
    numbers = [found[name] for name in ("before", "after", "gain", "price", "validation")]
    assert numbers == pytest.approx([0.70, 0.60, 0.10, 0.01, 0.58])


def test_a_larger_leak_of_validation_samples_counts_in_the_advice():
    found = claims.advice(moved(0.55, 0.68))  # less than dense's .69 still
    assert found["chosen"] == "adversarial regularization α = 1 on slim 0.5"
    assert found["leaks"] == "validation"
    assert [found[name] for name in ("after", "gain", "members")] == pytest.approx(
        [0.68, 0.02, 0.60]
    )
    assert claims.advice(moved(0.55, 0.695))["chosen"] == "dense"


def test_advice_follows_the_price_and_what_was_measured():
    assert claims.advice(table(), within=0.02)["chosen"] == "slim 0.5"
    assert claims.advice(table(), within=0.11)["chosen"] == PPB_4
    better, nothing = table(), table()
    better.loc[better["defense"] == "ppb", "test_accuracy"] = 0.9  # more than the original's
    assert claims.advice(better)["chosen"] == PPB_4
    nothing.loc[nothing["pruner"] == "none", "accuracy"] = 0.5
    assert claims.advice(nothing)[["chosen", "gain", "price"]].tolist() == ["original", 0.0, 0.0]
    # adv trains on validation samples: unmeasured, it is not advised
    unmeasured = moved(0.55, 0.58).assign(validation_accuracy=np.nan)
    assert claims.advice(unmeasured)["chosen"] == "dense"


def test_advice_is_chosen_on_some_runs_and_judged_on_others():
    late = moved(0.55, 0.58)
    later = late["seed"] >= 5
    late.loc[later & (late["defense"] == "adv"), "accuracy"] += 0.002 * late["seed"] - 0.004
    found = claims.advice(late)

    # .60 + .006, .008 … .014: .610 on average, sd √10 thousandths
    half = stats.t.ppf(0.975, 4) * 0.001 * np.sqrt(10) / np.sqrt(5)
    assert found["after"] == pytest.approx(0.61)
    assert (found["gain_low"], found["gain_high"]) == pytest.approx((0.09 - half, 0.09 + half))
    few = claims.advice(moved(0.55, 0.58).query("seed < 5"))
    assert few["chosen"] == found["chosen"]
    assert few["runs"] == 0
    assert np.isnan(few["after"])


def test_names_tell_ways_apart():
    one = {"pruner": "slim", "sparsity": 0.5, "defense": "dp", "strength": 2.0, "stopping": "last"}
    ways = pd.DataFrame([one | {"whole": True}, one | {"whole": False, "pruner": "l1unstructured"}])
    ways.loc[1, "sparsity"] = 0.7  # the default pruning goes without saying
    assert names(ways.assign(finetune_epochs=8)).tolist() == [
        "DP-SGD σ = 2 (training, too) on slim 0.5, last stopping",
        "DP-SGD σ = 2, last stopping",
    ]
    two = pd.concat([table(2), table(2).assign(finetune_epochs=14)])
    assert {"slim 0.5, 8 epochs", "slim 0.5, 14 epochs"} <= set(
        claims.points(two, "accuracy")["name"]
    )
