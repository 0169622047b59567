"""Claims on divergence, attacks, knowledge, PPB, references, exposure, releases and recipes."""

import itertools
from functools import partial

import pandas as pd
import pytest
from made_up import RULES, answers, table

from prunemia.claims.base import CONTRADICTED, NEGLIGIBLE, OPEN, SUPPORTED, UNDECIDED
from prunemia.results.references import CHANCE


def expect(found, expected):
    """See to it that these claims are there, and no other: effects of the runs, verdict."""
    assert set(found) == set(expected)
    for known, (values, verdict) in expected.items():
        assert found[known].by_rule[RULES[0]] == pytest.approx(values), known
        assert found[known].verdict == verdict, known


def steps(first, runs=3, step=0.001):
    """Return what every run has: ``first``, and so much more in each after it."""
    return tuple(first + k * step for k in range(runs))


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


KNOWLEDGE = "What does the adversary have to know?"
PAPER = {
    "Does the divergence grow?": {
        "divergence-confidence": (steps(0.4), SUPPORTED),
        "divergence-gap": (steps(-0.3), CONTRADICTED),
        "classes-sensitivity": (steps(0.02), SUPPORTED),
    },
    # with conf in the tables of the control; equal gains have no interval
    "Which attack?": {"samia-nn": (steps(0.05, step=0), UNDECIDED)},
    KNOWLEDGE: {  # against guessing, and against an informed adversary
        "misled-0.5": (steps(0.1), SUPPORTED),
        "knowing-0.5": (steps(0.1, step=0), UNDECIDED),
        "misled-no-pruning": (steps(0.199), SUPPORTED),
        "knowing-no-pruning": (steps(0.001, step=0), UNDECIDED),
    },
    "Does PPB help?": {
        "ppb-samia-non-adaptive": (steps(0.15, step=0), UNDECIDED),
        "ppb-samia-adaptive": (steps(-0.05, step=0), UNDECIDED),
        "ppb-price": (steps(0.01), SUPPORTED),  # loses 0.01, 0.009, 0.008 of 0.02 that it may
    },
}


@pytest.mark.parametrize("question", PAPER)
def test_what_the_papers_table_says_is_subtracted_run_by_run(question):
    expect(of_paper(question), PAPER[question])


def test_a_change_of_the_divergence_is_tried_under_each_rule():
    found, alone = (of_paper("Does the divergence grow?", paper(r)) for r in (RULES, RULES[:1]))
    assert found["divergence-confidence"].by_rule["last"] == pytest.approx(steps(0.4))
    assert {claim.verdict for claim in alone.values()} == {OPEN}
    assert of_paper("Does PPB help?")["ppb-samia-adaptive"].note == "test accuracy -0.9 points"


def test_samia_against_confidence_is_read_off_the_levels_under_our_rule():
    # conf is right for half of them; run k adds k thousandths to SAMIA
    found = answers("Which attack?", table({0.5: 0.9, 0.7: 0.52}), "control")
    expect(found, {"samia-conf": (steps(0.02, 4), SUPPORTED)})
    assert set(found["samia-conf"].by_rule) == {"warm-up"}


def test_knowing_more_may_make_no_difference_that_matters():
    near = paper()
    informed = (near["statistic"] == "accuracy") & (near["name"] == "samia")
    near.loc[informed, "value"] += near["seed"] / 1000 - 0.001
    # 0.001 and a change of −0.001, 0, 0.001: 0.001 ± 0.0025
    assert of_paper(KNOWLEDGE, near)["knowing-no-pruning"].verdict == NEGLIGIBLE


# --- Attacks by references ----------------------------------------------------------------------

few = partial(answers, "Where few are accused?")
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


def test_few_networks_are_compared_at_each_rate():
    found = few(compared())

    rates = ("0.1", "1")
    # second: the sensitivity as a second signal, a paired gain
    gains = {"few-lira": 0.05, "few-rmia": 0.03, "second-lira": 0.03, "second-rmia": 0.03}
    known = [(f"{name}-{rate}", gain) for name, gain in gains.items() for rate in rates]
    expect(found, {name: (steps(gain, 4), SUPPORTED) for name, gain in known})
    assert found["few-rmia-0.1"].measure == "TPR at FPR 0.001"
    assert {claim.margin for claim in found.values()} == {0.0}  # none was stated beforehand


def test_a_rate_that_a_run_cannot_measure_and_a_setting_that_is_not_there_are_no_claim():
    table = compared()
    rare = (table["measure"] == "TPR at 0.001") & (table["seed"] == 1)
    table.loc[rare, "value"] = float("nan")
    alone = table[table["setting"] != "offline, sensitivity"]
    assert set(few(alone)) == {"few-lira-1", "few-rmia-1"}


def strongest(rules=RULES, by="attack"):
    """LiRA finds 0.10, 0.15 and 0.12 of original, dense and pruned; other attacks one more."""
    lira = ("lira", "online", 16)
    others = [("lira", "online", 5), ("lira", "offline", 16), ("rmia", "online", 16)]
    rows = [
        {"network": network, "sparsity": sparsity, "stopping": rule, "by": by, "seed": seed,
         "attack": asked[0], "setting": asked[1], "references": asked[2], "measure": "TPR at 0.01",
         "value": value + (network == "pruned") * seed / 1000 + (asked != lira)}
        for seed in range(3)
        for sparsity in (0.5, 0.9)
        for rule in rules
        for asked in (lira, *others, ("conf", "shadows", 5))
        for network, value in {"original": 0.10, "dense": 0.15, "pruned": 0.12}.items()
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
    assert pruning.by_rule["last"] == pytest.approx(steps(-0.03))
    assert (pruning.verdict, pruning.sparsity) == (CONTRADICTED, 0.9)
    assert pruning.measure == "TPR of LiRA (16 references) at FPR 0.01"
    assert found["lira-training"].by_rule["published"] == pytest.approx([0.05] * 3)
    assert found["lira-total-0.5"].verdict == SUPPORTED
    assert {claim.verdict for claim in strongest(RULES[:1], by).values()} == {OPEN}


def test_exposure_is_judged_against_chance():
    levels = {"share of a tenth": 0.5, "rank correlation": 0.9, "overlap with the original": 0.4}
    levels["overlap with confidence"] = 0.3  # by construction: no claim
    rows = [
        {"seed": seed, "statistic": name, "value": value + seed / 1000}
        for seed in (1, 0, 2)
        for name, value in levels.items()
    ]

    assert pytest.approx(CHANCE) == 0.05 / 1.95  # two random twentieths of the samples
    expected = {"concentrated": (steps(0.3), SUPPORTED)}
    expected["same-samples"] = (steps(0.4 - 0.05 / 1.95), SUPPORTED)
    expect(answers("Who is exposed?", pd.DataFrame(rows)), expected)


LEAK = {
    "original": (0.675, 0.66, 0.66, 0.66),  # the better one in run 0 alone
    "pruned": (0.67, 0.70, 0.70, 0.70),  # on average over the others of every run
    "original + pruned": (0.72, 0.721, 0.722, 0.723),
    **{f"pruned to {s}": (1.2 - s,) * 4 for s in (0.5, 0.7, 0.9)},
    "0.5 + 0.7 + 0.9": (0.7001, 0.7, 0.7, 0.7002),
    "one shot": (0.70, 0.70, 0.70, 0.70),
    "rounds": (0.60, 0.601, 0.602, 0.603),
    "pruned, 4 bits": (0.67, 0.70, 0.70, 0.7001),
    "pruned, 2 bits": (0.61, 0.65, 0.64, 0.65),
}


def releases(*rules, **other):
    return pd.DataFrame([
        {"seed": seed, "stopping": rule, "release": release, "attack": attack,
         "measure": measure, "test_accuracy": 0.8 - 0.01 * len(release),
         "value": value + (measure == "AUC") + (attack == "conf")}
        for rule in rules
        for release, values in (LEAK | other).items()
        for attack in ("conf", "nncls")
        for measure in ("accuracy", "AUC")
        for seed, value in enumerate(values)
    ])  # fmt: skip


def test_releases_are_paired_differences_of_what_the_table_has():
    found = answers("Several releases?", releases(*RULES)[::-1])  # in any order

    expected = {
        # 0.72 − 0.67, 0.721 − 0.70, …: in run 0 the larger one, 0.675, is so by chance
        "together-original-pruned": ((0.05, 0.021, 0.022, 0.023), SUPPORTED),
        "together-0.5-0.7-0.9": ((0.0001, 0, 0, 0.0002), NEGLIGIBLE),
        "rounds": (steps(-0.1, 4), CONTRADICTED),
        "bits-4": ((0, 0, 0, -0.0001), NEGLIGIBLE),
        "bits-2": ((0.06, 0.05, 0.06, 0.05), SUPPORTED),
    }
    expect(found, expected)
    assert found["rounds"].note == "test accuracy 0.74 and 0.72"
    alone = answers("Several releases?", releases(RULES[0]))
    assert {claim.verdict for claim in alone.values()} == {OPEN}


def test_the_better_release_of_a_rule_is_chosen_by_the_runs_of_that_rule():
    other = releases(RULES[1], original=(0.9,) * 4)  # here the original leaks more
    found = answers("Several releases?", pd.concat([releases(RULES[0]), other]))

    by_rule = found["together-original-pruned"].by_rule
    assert by_rule[RULES[0]] == pytest.approx((0.05, 0.021, 0.022, 0.023))
    assert by_rule[RULES[1]] == pytest.approx((-0.18, -0.179, -0.178, -0.177))


def test_recipes_are_compared_on_the_same_victims():
    rows = [
        {"seed": seed, "attack": attack, "recipe": recipe,
         "accuracy": 0.7 + (recipe == "fast") * (0.02 + seed / 1000),
         "auc": 0.8 - (recipe == "fast") * seed / 1000}
        for seed in range(3)
        for attack in ("samia", "nn")
        for recipe in ("paper", "fast")
    ]  # fmt: skip
    by = {"accuracy": (steps(0.02), SUPPORTED), "auc": (steps(0, step=-0.001), NEGLIGIBLE)}
    names = itertools.product(("samia", "nn"), by)
    expected = {f"recipe-{name}-{measure}": by[measure] for name, measure in names}
    expect(answers("Is the fast recipe as strong?", pd.DataFrame(rows)), expected)
