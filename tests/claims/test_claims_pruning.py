import itertools
from types import SimpleNamespace

import pandas as pd
import pytest

import prunemia as pm
from prunemia import claims
from prunemia.claims import CONTRADICTED, SUPPORTED, UNDECIDED

EXP = pm.Experiment(seed=2, weight_decay=1e-5)  # no table of results/ has it
BOTH = ("pruned", "original")


class FakeLab:
    """Answers SAMIA's accuracy by what was done to the networks; a step per seed is the spread."""

    def __init__(self, accuracy, by_rule=None):
        self.accuracy = accuracy
        self.by_rule = by_rule or {}

    def attack(self, exp, name, of="pruned"):
        assert name == "samia"
        guess = exp.adversary and (exp.adversary.pruner or exp.adversary.sparsity)
        what = "original" if of == "original" else (exp.pruner, exp.sparsity, guess)
        value, step = self.accuracy[what]
        return SimpleNamespace(
            evaluation=SimpleNamespace(accuracy=SimpleNamespace(value=value + step * exp.seed))
        )

    def effects(self, exps, attacks):
        rows = []
        for exp, name in itertools.product(exps, attacks):
            ends = [self.attack(exp, name, of).evaluation.accuracy.value for of in BOTH]
            row = {"seed": exp.seed, "pruner": exp.pruner, "sparsity": exp.sparsity}
            row |= {"stopping": exp.stopping, "attack": name, "measure": "accuracy", "label": -1}
            change = self.by_rule.get(exp.stopping, 0)
            value = ends[0] - ends[1] + change
            rows.append(row | {"effect": "total", "pruned": ends[0] + change, "value": value})
        return pd.DataFrame(rows)


def by_text(tested):
    return {claim.text: claim for claim in tested}


def test_leakage_over_sparsity_is_pruned_minus_original():
    cells = {"original": (0.60, 0.0)}
    cells |= {
        ("l1unstructured", s, None): (a, 0.001) for s, a in [(0.5, 0.65), (0.7, 0.55), (0.9, 0.52)]
    }

    tested = by_text(claims.leakage_over_sparsity(FakeLab(cells), EXP, 3))

    raises = "Pruning by l1unstructured at sparsity {} raises SAMIA's accuracy"
    # Seeds 2, 3, 4 add 0.002, 0.003, 0.004: the mean is 0.003 above the table's. Of four claims t
    # is 8.86: ± 0.0051.
    assert tested[raises.format(0.5)].effect.value == pytest.approx(0.053)
    assert tested[raises.format(0.5)].verdict == SUPPORTED
    assert tested[raises.format(0.9)].effect.value == pytest.approx(-0.077)
    assert tested[raises.format(0.9)].verdict == CONTRADICTED
    # 0.65 − 0.52 in every seed: without a spread there is no interval.
    more = tested["SAMIA is more accurate at sparsity 0.5 than at 0.9"]
    assert more.effect.value == pytest.approx(0.13)


def test_what_the_stopping_rules_disagree_on_is_not_decided():
    cells = {"original": (0.60, 0.0)}
    cells |= {("l1unstructured", s, None): (0.65, 0.001) for s in (0.5, 0.7, 0.9)}
    agree = claims.leakage_over_sparsity(FakeLab(cells, {"last": -0.02}), EXP, 3)[0]
    turned = claims.leakage_over_sparsity(FakeLab(cells, {"last": -0.2}), EXP, 3)[0]

    assert agree.verdict == SUPPORTED
    assert turned.verdicts == [SUPPORTED, SUPPORTED, CONTRADICTED]
    assert turned.verdict == UNDECIDED
    line = claims.table([turned]).iloc[0]
    assert line["stopping rules"] == " / ".join(turned.verdicts)
    assert line["runs needed (estimate)"] == "none: it depends on the stopping rule"


def test_leakage_over_pruners_asks_for_those_that_the_network_allows():
    cells = {"original": (0.60, 0.001)}
    cells |= {(p, 0.6, None): (0.62, 0.001 * k) for k, p in enumerate(pm.kinds.PRUNERS)}
    lab = FakeLab(cells)
    features = pm.Experiment(dataset="digits", model="columnfc", seed=2, sparsity=0.6)

    on_filters = claims.leakage_over_pruners(lab, EXP.replace(sparsity=0.6), 3)
    on_features = claims.leakage_over_pruners(lab, features, 3)

    raises = "Pruning by {} at sparsity 0.6 raises SAMIA's accuracy"
    assert len(on_filters) == 4
    assert [claim.text for claim in on_features] == [raises.format("l1unstructured")]
    # slim: 0.62 + 0.003 s − 0.60 − 0.001 s at s = 2, 3, 4: 0.024, 0.026, 0.028.
    slim = by_text(on_filters)[raises.format("slim")]
    assert slim.effect.value == pytest.approx(0.026)
    assert slim.tests == 4


def test_no_hypothesis_is_tested_twice():
    cells = {"original": (0.60, 0.001)}
    cells |= {(p, 0.7, None): (0.62, 0.001 * k) for k, p in enumerate(pm.kinds.PRUNERS)}
    cells |= {("l1unstructured", s, None): (0.62, 0.002) for s in (0.5, 0.9)}
    lab = FakeLab(cells)

    over_sparsity = claims.leakage_over_sparsity(lab, EXP, 3)
    over_pruners = claims.leakage_over_pruners(lab, EXP, 3)

    texts = [claim.text for claim in [*over_sparsity, *over_pruners]]
    assert len(over_pruners) == 3
    assert len(set(texts)) == len(texts)
    features = pm.Experiment(dataset="digits", model="columnfc", seed=2)
    assert claims.leakage_over_pruners(lab, features, 3) == []


def test_wrong_knowledge_is_compared_with_guessing_and_with_the_truth():
    cells = {("l1unstructured", 0.7, None): (0.60, 0.001)}
    cells |= {
        ("l1unstructured", 0.7, g): (a, 0.002)
        for g, a in [(0.5, 0.58), (0.9, 0.498), ("none", 0.58)]
    }

    tested = by_text(claims.leakage_under_wrong_knowledge(FakeLab(cells), EXP, 3))

    half = tested["SAMIA finds members though it assumes sparsity 0.5"]
    most = tested["SAMIA finds members though it assumes sparsity 0.9"]
    assert len(tested) == 6
    assert half.effect.value == pytest.approx(0.086)
    assert half.verdict == SUPPORTED
    # 0.004 ± 10.9 · 0.002 / √3 = 0.0126
    assert most.effect.value == pytest.approx(0.004)
    assert most.verdict == UNDECIDED
    # Truth minus wrong: 0.60 − 0.58 − 0.001 s, so 0.017 on average, ± 0.0063.
    costs = tested["Assuming no pruning costs SAMIA accuracy"]
    assert costs.effect.value == pytest.approx(0.017)
    assert costs.verdict == SUPPORTED
