import itertools
from types import SimpleNamespace

import pandas as pd
import pytest

import prunemia as pm
from prunemia import claims
from prunemia.claims import CONTRADICTED, DEPENDS, NEGLIGIBLE, SUPPORTED, UNDECIDED, VERDICTS

RUNS = 6


def table(training, pruning, spread=0.001, train=1.0, test=0.9):
    """Effects that scatter over runs by ``spread`` about the given ones, as `Lab.effects` has."""
    rows = []
    for seed in range(RUNS):
        shift = spread * (-1) ** seed
        levels = {"original": 0.6, "dense": 0.6 + training + shift}
        levels["pruned"] = levels["dense"] + pruning + 2 * shift
        effects = {
            "total": levels["pruned"] - levels["original"],
            "training": levels["dense"] - levels["original"],
            "pruning": levels["pruned"] - levels["dense"],
        }
        base = {"seed": seed, "label": -1}
        for effect, value in effects.items():
            said = {"effect": effect, "value": value, **levels}
            rows.append({**base, "measure": "accuracy", "attack": "samia", **said})
            rows.append({**base, "measure": "accuracy", "attack": "samia", **said, "label": 3})
        for measure, original, pruned in [("train", 1.0, train), ("test", 0.92, test)]:
            said = {"original": original, "pruned": pruned, "effect": "total"}
            rows.append({**base, "measure": f"{measure} accuracy", "attack": "", **said})
    return pd.DataFrame(rows)


def test_what_adds_and_what_takes_is_told_apart_where_the_total_hides_it():
    found = claims.effect_claims(table(training=0.05, pruning=-0.05), "samia")

    assert [claim.verdict for claim in found] == [NEGLIGIBLE, SUPPORTED, CONTRADICTED]
    assert found[1].effect.value == pytest.approx(0.05)
    assert {claim.tests for claim in found} == {3}
    assert all(len(claim.values) == RUNS for claim in found)


def test_the_scorecard_takes_the_two_parts_and_not_their_sum_again():
    asked = []

    def effects(experiments, attacks):
        asked.append((list(experiments), attacks))
        found = table(training=0.05, pruning=-0.05)
        return pd.concat(found.assign(stopping=rule) for rule in claims.RULES)

    exp = pm.Experiment(weight_decay=1e-5)  # no table of results/ has it
    found = claims.fine_tuning_or_pruning(SimpleNamespace(effects=effects), exp, RUNS)

    assert [claim.verdict for claim in found] == [SUPPORTED, CONTRADICTED]
    assert {claim.tests for claim in found} == {2}
    ((experiments, attacks),) = asked
    assert attacks == ("samia",)
    assert set(claims.runs(exp, RUNS)) < set(experiments)
    assert len(experiments) == 3 * RUNS
    assert claims.fine_tuning_or_pruning in claims.SCORECARD


def test_each_stopping_rule_is_asked_for_its_own_networks():
    def effects(experiments, _):
        rules = dict.fromkeys(exp.stopping for exp in experiments)
        return pd.concat(
            table(training=0.05, pruning=-0.05 if rule == "last" else 0.05).assign(stopping=rule)
            for rule in rules
        )

    lab = SimpleNamespace(effects=effects)
    unkept = pm.Experiment(weight_decay=1e-5)  # no table of results/ has it
    found = claims.control_under_rules(lab, unkept, RUNS)

    assert [a.verdict for a in found] == [UNDECIDED, SUPPORTED, DEPENDS]
    assert tuple(found[0].by_rule) == claims.RULES
    assert found[0].source == ""


@pytest.mark.parametrize("verdicts", list(itertools.product(VERDICTS, repeat=3)))
def test_a_verdict_holds_only_where_all_rules_agree(verdicts):
    kinds = set(verdicts)
    expected = UNDECIDED
    if len(kinds) == 1:
        expected = verdicts[0]
    elif SUPPORTED in kinds and CONTRADICTED in kinds:
        expected = DEPENDS

    assert claims.agreed(verdicts) == expected


def test_an_agreement_shows_each_rule_and_the_common_verdict():
    up = claims.effect_claims(table(0.05, 0.02), "samia")[0]
    down = claims.effect_claims(table(-0.05, -0.02), "samia")[0]
    rows = claims.agreement_table(
        [
            claims.Agreement("a", {"warm-up": up, "last": up}),
            claims.Agreement("b", {"warm-up": up, "last": down}),
        ]
    )

    assert rows["verdict"].tolist() == [SUPPORTED, DEPENDS]
    assert rows.loc[1, "last"] == str(down.effect)


@pytest.mark.parametrize(
    ("train", "test", "inside"),
    [(0.99, 0.90, True), (0.98, 0.90, False), (1.0, 0.89, False), (1.0, 0.95, True)],
)
def test_the_papers_regime(train, test, inside):
    said = claims.regime(table(0, 0, train=train, test=test + 1e-9))

    assert said.startswith("in the" if inside else "outside of the")
    assert f"loss of test accuracy {0.92 - test:.3f}" in said


def test_a_loss_whose_interval_reaches_the_limit_is_at_the_edge_of_the_regime():
    found = table(0, 0)
    test = found["measure"] == "test accuracy"
    # losses of 0.02 and 0.04 in turn: 0.03 on average, with an interval that contains 0.02
    found.loc[test, "pruned"] = 0.89 + 0.01 * (-1) ** found.loc[test, "seed"]

    assert claims.regime(found).startswith("at the edge of the paper's regime")
