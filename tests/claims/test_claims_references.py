"""Claims on attacks by references and on exposure, from tables made for the purpose."""

import pandas as pd
import pytest

from prunemia.claims import references
from prunemia.claims.base import CONTRADICTED, OPEN, RULES, SUPPORTED
from prunemia.results.concentration import CHANCE

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


def by_id(claims):
    found = list(claims)
    named = {claim.id: claim for claim in found}
    assert len(named) == len(found)
    return named


def test_with_the_same_few_networks_samia_is_compared_at_each_rate():
    found = by_id(references.few_accused(compared()))

    assert set(found) == {"few-lira-0.1", "few-lira-1", "few-rmia-0.1", "few-rmia-1"}
    gains = found["few-rmia-0.1"].by_rule["warm-up"]
    assert gains == pytest.approx((0.03, 0.031, 0.032, 0.033))
    assert found["few-rmia-0.1"].measure == "TPR at FPR 0.001"
    assert found["few-lira-1"].effect.value == pytest.approx(0.0515)
    assert {claim.verdict for claim in found.values()} == {SUPPORTED}
    assert {claim.margin for claim in found.values()} == {0.0}  # none was stated beforehand


def test_a_rate_that_a_run_cannot_measure_is_no_claim():
    table = compared()
    rare = (table["measure"] == "TPR at 0.001") & (table["seed"] == 1)
    table.loc[rare, "value"] = float("nan")

    assert set(by_id(references.few_accused(table))) == {"few-lira-1", "few-rmia-1"}


def test_a_second_signal_is_a_paired_gain():
    found = by_id(references.second_signal(compared()))

    assert set(found) == {f"second-{a}-{r}" for a in ("lira", "rmia") for r in ("0.1", "1")}
    for claim in found.values():
        assert claim.by_rule["warm-up"] == pytest.approx((0.03, 0.031, 0.032, 0.033))


def test_without_that_setting_there_is_no_claim():
    table = compared()
    assert list(references.second_signal(table[table["setting"] != "offline, sensitivity"])) == []


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
    return pd.concat([table, more.assign(references=64, value=1.0)], ignore_index=True)


@pytest.mark.parametrize("by", ["attack", "formula"])
def test_the_strongest_attack_is_lira_by_the_most_references_of_all_rules(by):
    found = by_id(references.strongest(strongest(by=by)))

    assert len(found) == 5  # one of fine-tuning: it is the same at each sparsity
    pruning = found["lira-pruning-0.9"]
    assert pruning.by_rule["last"] == pytest.approx((-0.03, -0.029, -0.028))
    assert (pruning.verdict, pruning.sparsity) == (CONTRADICTED, 0.9)
    assert pruning.measure == "TPR of LiRA (16 references) at FPR 0.01"
    assert found["lira-training"].by_rule["published"] == pytest.approx([0.05] * 3)
    assert found["lira-total-0.5"].verdict == SUPPORTED


def test_the_strongest_attack_under_one_rule_decides_nothing():
    found = by_id(references.strongest(strongest(rules=RULES[:1])))

    assert {claim.verdict for claim in found.values()} == {OPEN}


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
    found = by_id(references.exposure(pd.DataFrame(rows)))

    assert set(found) == {"concentrated", "same-samples"}  # confidence overlaps by construction
    assert found["concentrated"].by_rule["warm-up"] == pytest.approx((0.3, 0.301, 0.302))
    assert pytest.approx(CHANCE) == 0.05 / 1.95  # two random twentieths of the samples
    assert found["same-samples"].effect.value == pytest.approx(0.401 - 0.05 / 1.95)


def test_agreement_is_the_jaccard_index_of_the_most_exposed():
    # of 40 samples the top 2: {39, 38} by one, {39, 0} by the other: one of three
    table = pd.DataFrame({"one": [*map(float, range(40))]})
    table["two"] = table["one"]
    table.loc[0, "two"] = 38.5
    table["none"] = -table["one"]

    found = references.agreement(table, ["one", "two", "none"])

    assert found.loc["one", "two"] == found.loc["two", "one"] == pytest.approx(1 / 3)
    assert found.loc["one", "one"] == 1
    assert found.loc["one", "none"] == 0
