"""Claims on divergence, attacks, knowledge, PPB, references, exposure, releases and recipes."""

import pandas as pd
import pytest
from made_up import RULES, answers, table

from prunemia.claims.base import CONTRADICTED, NEGLIGIBLE, OPEN, SUPPORTED
from prunemia.results.references import CHANCE


def values(claim, rule="warm-up"):
    return claim.by_rule[rule]


# --- The paper's table --------------------------------------------------------------------------

VALUES = {
    ("change", "confidence"): 0.4,
    ("change", "generalization gap"): -0.3,
    ("spread", "sensitivity"): 0.02,
    ("accuracy", "samia"): 0.70,
    ("accuracy", "conf"): 0.69,
    ("accuracy", "nn"): 0.65,
    ("accuracy", "lira"): 0.90,  # not the paper's
    ("assumed", "sparsity 0.5"): 0.60,
    ("assumed", "no pruning"): 0.699,
    ("non-adaptive", "samia"): 0.55,
    ("adaptive", "samia"): 0.75,
    ("test", "no defense"): 0.80,
    ("test", "ppb"): 0.79,
}


def paper(rules=RULES):
    """Run k adds k thousandths to everything but the undefended: to "conf" and "no defense"."""
    rows = [
        {"sparsity": 0.7, "stopping": rule, "seed": seed, "statistic": statistic, "name": name,
         "value": value + (name not in ("conf", "no defense")) * seed / 1000}
        for (statistic, name), value in VALUES.items()
        for rule in (rules if statistic in ("change", "spread") else rules[:1])
        for seed in (2, 0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def of_paper(question, table=None):
    found = answers(question, paper() if table is None else table, "paper")
    assert all(claim.paper for claim in found.values())
    return found


def test_a_change_of_the_divergence_is_what_the_table_says_under_each_rule():
    found = of_paper("Does the divergence grow?")

    assert set(found) == {"divergence-confidence", "divergence-gap", "classes-sensitivity"}
    assert values(found["divergence-confidence"], "last") == pytest.approx((0.4, 0.401, 0.402))
    assert found["divergence-gap"].verdict == CONTRADICTED
    assert found["classes-sensitivity"].verdict == SUPPORTED
    assert found["classes-sensitivity"].sparsity == 0.7
    alone = of_paper("Does the divergence grow?", paper(RULES[:1]))
    assert {claim.verdict for claim in alone.values()} == {OPEN}


def test_samia_is_compared_with_each_attack_of_the_paper():
    found = of_paper("Which attack?")

    assert set(found) == {"samia-nn"}  # with conf in the tables of the control
    assert values(found["samia-nn"]) == pytest.approx([0.05] * 3)


def test_samia_against_confidence_is_read_off_the_levels_under_our_rule():
    (claim,) = answers("Which attack?", table({0.5: 0.9, 0.7: 0.52}), "control").values()

    # conf is right for half of them; run k adds k thousandths to SAMIA
    assert claim.by_rule == {"warm-up": pytest.approx((0.02, 0.021, 0.022, 0.023))}
    assert claim.verdict == SUPPORTED


def test_a_misled_adversary_is_compared_with_guessing_and_with_an_informed_one():
    question = "What does the adversary have to know?"
    found = of_paper(question)

    assert set(found) == {"misled-0.5", "knowing-0.5", "misled-no-pruning", "knowing-no-pruning"}
    assert values(found["misled-0.5"]) == pytest.approx((0.1, 0.101, 0.102))
    assert found["knowing-0.5"].effect.value == pytest.approx(0.1)
    assert found["misled-no-pruning"].verdict == SUPPORTED

    near = paper()
    informed = (near["statistic"] == "accuracy") & (near["name"] == "samia")
    near.loc[informed, "value"] += near["seed"] / 1000 - 0.001
    # 0.001 and a change of −0.001, 0, 0.001: 0.001 ± 0.0025
    assert of_paper(question, near)["knowing-no-pruning"].verdict == NEGLIGIBLE


def test_ppb_is_judged_against_both_adversaries_and_by_its_price():
    found = of_paper("Does PPB help?")

    assert set(found) == {"ppb-samia-non-adaptive", "ppb-samia-adaptive", "ppb-price"}
    assert found["ppb-samia-non-adaptive"].effect.value == pytest.approx(0.15)
    assert found["ppb-samia-adaptive"].effect.value == pytest.approx(-0.05)
    assert found["ppb-samia-adaptive"].note == "test accuracy -0.009"
    # loses 0.01, 0.009, 0.008 of the 0.02 that it may: 0.011 of them left on average
    assert values(found["ppb-price"]) == pytest.approx((0.01, 0.011, 0.012))
    assert found["ppb-price"].verdict == SUPPORTED


# --- Attacks by references ----------------------------------------------------------------------

GAIN = {"samia": 0.05, "lira": 0.0, "rmia": 0.02}
"""Of each attack by few references at any rate, beside 0.1."""
FEW = {"samia": ("shadows",), "lira": ("offline", "offline, sensitivity")}
FEW["rmia"] = FEW["lira"]


def compared():
    """The sensitivity adds 0.03 to LiRA and RMIA; run k adds k thousandths to what it adds.

    More references, other networks and other formulas have rows that no claim may take.
    """
    rows = [
        {"network": "pruned", "sparsity": 0.7, "stopping": "warm-up", "by": "attack", "seed": seed,
         "attack": attack, "setting": setting, "references": 5, "measure": measure,
         "value": 0.1 + GAIN[attack] + ("sens" in setting) * (0.03 + seed / 1000)
         + (attack == "samia") * seed / 1000}
        for seed in range(4)
        for attack, settings in FEW.items()
        for setting in settings
        for measure in ("TPR at 0.001", "TPR at 0.01", "AUC")
    ]  # fmt: skip
    found = pd.DataFrame(rows)
    others = {"network": "original", "sparsity": 0.5, "by": "formula", "references": 64}
    wrong = [found.assign(**{name: value}, value=1.0) for name, value in others.items()]
    return pd.concat([found, *wrong], ignore_index=True)


def few(table):
    return answers("Where few are accused?", table)


def test_few_networks_are_compared_at_each_rate():
    found = few(compared())

    pairs = [(attack, rate) for attack in ("lira", "rmia") for rate in ("0.1", "1")]
    assert set(found) == {f"{kind}-{a}-{r}" for kind in ("few", "second") for a, r in pairs}
    assert values(found["few-rmia-0.1"]) == pytest.approx((0.03, 0.031, 0.032, 0.033))
    assert found["few-rmia-0.1"].measure == "TPR at FPR 0.001"
    assert found["few-lira-1"].effect.value == pytest.approx(0.0515)
    for attack, rate in pairs:  # the sensitivity as a second signal: a paired gain
        gains = values(found[f"second-{attack}-{rate}"])
        assert gains == pytest.approx((0.03, 0.031, 0.032, 0.033))
    assert {claim.verdict for claim in found.values()} == {SUPPORTED}
    assert {claim.margin for claim in found.values()} == {0.0}  # none was stated beforehand


def test_a_rate_that_a_run_cannot_measure_and_a_setting_that_is_not_there_are_no_claim():
    table = compared()
    rare = (table["measure"] == "TPR at 0.001") & (table["seed"] == 1)
    table.loc[rare, "value"] = float("nan")
    alone = table[table["setting"] != "offline, sensitivity"]

    assert set(few(alone)) == {"few-lira-1", "few-rmia-1"}


def strongest(rules=RULES, by="attack"):
    """LiRA finds 0.10, 0.15 and 0.12 of original, dense and pruned; other attacks one more."""
    levels = {"original": 0.10, "dense": 0.15, "pruned": 0.12}
    rows = [
        {"network": network, "sparsity": sparsity, "stopping": rule, "by": by, "seed": seed,
         "attack": attack, "setting": setting, "references": count, "measure": "TPR at 0.01",
         "value": value + (network == "pruned") * seed / 1000
         + ((attack, setting, count) != ("lira", "online", 16))}
        for seed in range(3)
        for sparsity in (0.5, 0.9)
        for rule in rules
        for attack, setting, count in (
            ("lira", "online", 16), ("lira", "online", 5), ("lira", "offline", 16),
            ("rmia", "online", 16), ("conf", "shadows", 5),
        )
        for network, value in levels.items()
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    more = table[(table["references"] == 16) & (table["stopping"] == "warm-up")]
    table = pd.concat([table, more.assign(references=64, value=1.0)], ignore_index=True)
    return answers("By the strongest attack?", table)


@pytest.mark.parametrize("by", ["attack", "formula"])
def test_the_strongest_attack_is_lira_by_the_most_references_of_all_rules(by):
    found = strongest(by=by)

    assert len(found) == 5  # one of fine-tuning: it is the same at each sparsity
    pruning = found["lira-pruning-0.9"]
    assert values(pruning, "last") == pytest.approx((-0.03, -0.029, -0.028))
    assert (pruning.verdict, pruning.sparsity) == (CONTRADICTED, 0.9)
    assert pruning.measure == "TPR of LiRA (16 references) at FPR 0.01"
    assert values(found["lira-training"], "published") == pytest.approx([0.05] * 3)
    assert found["lira-total-0.5"].verdict == SUPPORTED
    assert {claim.verdict for claim in strongest(RULES[:1], by).values()} == {OPEN}


def test_exposure_is_judged_against_chance():
    rows = [
        {"seed": seed, "statistic": name, "value": value + seed / 1000}
        for seed in (1, 0, 2)
        for name, value in {
            "share of a tenth": 0.5,
            "rank correlation": 0.9,
            "overlap with the original": 0.4,
            "overlap with confidence": 0.3,
        }.items()
    ]
    found = answers("Who is exposed?", pd.DataFrame(rows))

    assert set(found) == {"concentrated", "same-samples"}  # confidence overlaps by construction
    assert values(found["concentrated"]) == pytest.approx((0.3, 0.301, 0.302))
    assert pytest.approx(CHANCE) == 0.05 / 1.95  # two random twentieths of the samples
    assert found["same-samples"].effect.value == pytest.approx(0.401 - 0.05 / 1.95)


# --- Releases and recipes -----------------------------------------------------------------------

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


@pytest.fixture
def released():
    rows = [
        {"seed": seed, "stopping": "warm-up", "release": release, "attack": attack,
         "measure": measure, "test_accuracy": 0.8 - 0.01 * len(release),
         "value": value + (measure == "AUC") + (attack == "conf")}
        for release, values in LEAK.items()
        for attack in ("conf", "nncls")
        for measure in ("accuracy", "AUC")
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return answers("Several releases?", pd.DataFrame(rows[::-1]))  # in any order


def test_together_is_compared_with_the_better_one_on_the_other_runs(released):
    both, several = released["together-original-pruned"], released["together-0.5-0.7-0.9"]

    # 0.72 − 0.67, 0.721 − 0.70, …: in run 0 the larger one, 0.675, is so by chance
    assert values(both) == pytest.approx((0.05, 0.021, 0.022, 0.023))
    assert both.verdict == SUPPORTED
    assert values(several) == pytest.approx((0.0001, 0, 0, 0.0002))
    assert several.verdict == NEGLIGIBLE


def test_rounds_and_bits_are_paired_differences_of_what_the_table_has(released):
    assert set(released) == {
        "together-original-pruned", "together-0.5-0.7-0.9", "rounds", "bits-4", "bits-2"
    }  # fmt: skip
    assert values(released["rounds"]) == pytest.approx((-0.1, -0.099, -0.098, -0.097))
    assert released["rounds"].note == "test accuracy 0.74 and 0.72"
    assert values(released["bits-2"]) == pytest.approx((0.06, 0.05, 0.06, 0.05))
    verdicts = [released[known].verdict for known in ("rounds", "bits-4", "bits-2")]
    assert verdicts == [OPEN, NEGLIGIBLE, SUPPORTED]  # how it is trained: open under one rule


def test_recipes_are_compared_on_the_same_victims():
    rows = [
        {"seed": seed, "attack": attack, "recipe": recipe,
         "accuracy": 0.7 + (recipe == "fast") * (0.02 + seed / 1000),
         "auc": 0.8 - (recipe == "fast") * seed / 1000}
        for seed in range(3)
        for attack in ("samia", "nn")
        for recipe in ("paper", "fast")
    ]  # fmt: skip
    found = answers("Is the fast recipe as strong?", pd.DataFrame(rows))

    assert len(found) == 4
    assert values(found["recipe-nn-accuracy"]) == pytest.approx((0.02, 0.021, 0.022))
    assert found["recipe-nn-accuracy"].verdict == SUPPORTED
    assert values(found["recipe-samia-auc"]) == pytest.approx((0, -0.001, -0.002))
    assert found["recipe-samia-auc"].verdict == NEGLIGIBLE
