"""The paper's claims on divergence, attacks, knowledge and PPB, from small tables."""

import pandas as pd
import pytest

from prunemia.claims import papers
from prunemia.claims.base import CONTRADICTED, NEGLIGIBLE, OPEN, RULES, SUPPORTED

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
DIVERGENCE = ("change", "spread")


def table(rules=RULES):
    """Run k adds k thousandths to everything but the undefended: to "conf" and "no defense"."""
    rows = [
        {"sparsity": 0.7, "stopping": rule, "seed": seed, "statistic": statistic, "name": name,
         "value": value + (name not in ("conf", "no defense")) * seed / 1000}
        for (statistic, name), value in VALUES.items()
        for rule in (rules if statistic in DIVERGENCE else rules[:1])
        for seed in (2, 0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def by_id(claims):
    found = list(claims)
    named = {claim.id: claim for claim in found}
    assert len(named) == len(found)
    assert all(claim.paper for claim in found)
    return named


def test_a_change_of_the_divergence_is_what_the_table_says_under_each_rule():
    found = by_id(papers.divergence(table()))

    assert set(found) == {"divergence-confidence", "divergence-gap", "classes-sensitivity"}
    assert found["divergence-confidence"].by_rule["last"] == pytest.approx((0.4, 0.401, 0.402))
    assert found["divergence-gap"].verdict == CONTRADICTED
    assert found["classes-sensitivity"].verdict == SUPPORTED
    assert found["classes-sensitivity"].sparsity == 0.7
    alone = by_id(papers.divergence(table(RULES[:1])))
    assert {claim.verdict for claim in alone.values()} == {OPEN}


def test_samia_is_compared_with_each_attack_of_the_paper_but_conf():
    found = by_id(papers.samia_ahead(table()))

    assert set(found) == {"samia-nn"}
    assert found["samia-nn"].by_rule["warm-up"] == pytest.approx([0.05] * 3)


def test_samia_against_confidence_is_read_off_the_levels_under_our_rule():
    rows = [
        {"pruner": "l1unstructured", "defense": "none", "measure": measure, "sparsity": sparsity,
         "stopping": rule, "seed": seed, "attack": attack,
         "pruned": 0.6 + (attack == "samia") * (0.02 + seed / 1000) + (sparsity != 0.7)
         + (rule != "warm-up") + (measure != "accuracy")}
        for measure in ("accuracy", "AUC")
        for sparsity in (0.5, 0.7)
        for rule in RULES
        for seed in range(3)
        for attack in ("samia", "conf", "mentr")
    ]  # fmt: skip
    (claim,) = papers.samia_and_conf(pd.DataFrame(rows))

    assert claim.by_rule == {"warm-up": pytest.approx((0.02, 0.021, 0.022))}
    assert claim.verdict == SUPPORTED


def test_a_misled_adversary_is_compared_with_guessing_and_with_an_informed_one():
    found = by_id(papers.knowledge(table()))

    assert set(found) == {"misled-0.5", "knowing-0.5", "misled-no-pruning", "knowing-no-pruning"}
    assert found["misled-0.5"].by_rule["warm-up"] == pytest.approx((0.1, 0.101, 0.102))
    assert found["knowing-0.5"].effect.value == pytest.approx(0.1)
    assert found["misled-no-pruning"].verdict == SUPPORTED


def test_ppb_is_judged_against_both_adversaries_and_by_its_price():
    found = by_id(papers.ppb(table()))

    assert set(found) == {"ppb-samia-non-adaptive", "ppb-samia-adaptive", "ppb-price"}
    assert found["ppb-samia-non-adaptive"].effect.value == pytest.approx(0.15)
    assert found["ppb-samia-adaptive"].effect.value == pytest.approx(-0.05)
    # loses 0.01, 0.009, 0.008 of the 0.02 that it may: 0.011 of them left on average
    assert found["ppb-price"].by_rule["warm-up"] == pytest.approx((0.01, 0.011, 0.012))
    assert found["ppb-price"].verdict == SUPPORTED


def test_no_difference_that_matters_is_no_support():
    near = table()
    informed = (near["statistic"] == "accuracy") & (near["name"] == "samia")
    near.loc[informed, "value"] += near["seed"] / 1000 - 0.001
    found = by_id(papers.knowledge(near))

    # 0.001 and a change of −0.001, 0, 0.001: 0.001 ± 0.0025
    assert found["knowing-no-pruning"].verdict == NEGLIGIBLE
