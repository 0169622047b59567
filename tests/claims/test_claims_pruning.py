from types import SimpleNamespace

import pytest

import prunemia as pm
from prunemia import claims
from prunemia.claims import CONTRADICTED, SUPPORTED, UNDECIDED

EXP = pm.Experiment(seed=2)


class FakeLab:
    """Answers SAMIA's accuracy from a table by what was done to the networks; a small step a seed gives a spread."""

    def __init__(self, accuracy):
        self.accuracy = accuracy

    def attack(self, exp, name, of="pruned"):
        assert name == "samia"
        guess = exp.adversary and (exp.adversary.pruner or exp.adversary.sparsity)
        what = "original" if of == "original" else (exp.pruner, exp.sparsity, guess)
        value, step = self.accuracy[what]
        return SimpleNamespace(
            evaluation=SimpleNamespace(accuracy=SimpleNamespace(value=value + step * exp.seed))
        )


def by_text(found):
    return {claim.text: claim for claim in found}


def test_leakage_over_sparsity_is_pruned_minus_original():
    cells = {"original": (0.60, 0.0)}
    cells |= {
        ("l1unstructured", s, None): (a, 0.001) for s, a in [(0.5, 0.65), (0.7, 0.55), (0.9, 0.52)]
    }

    found = by_text(claims.leakage_over_sparsity(FakeLab(cells), EXP, 3))

    # Seeds 2, 3, 4 add 0.002, 0.003, 0.004: the mean is 0.003 above the table's.
    assert found["Pruning at sparsity 0.5 raises SAMIA's accuracy"].effect.value == pytest.approx(
        0.053
    )
    assert found["Pruning at sparsity 0.5 raises SAMIA's accuracy"].verdict == SUPPORTED
    assert found["Pruning at sparsity 0.9 raises SAMIA's accuracy"].effect.value == pytest.approx(
        -0.077
    )
    assert found["Pruning at sparsity 0.9 raises SAMIA's accuracy"].verdict == CONTRADICTED
    # 0.65 − 0.52 in every seed: without a spread there is no test.
    assert found["SAMIA finds more at sparsity 0.5 than at 0.9"].effect.value == pytest.approx(0.13)


def test_leakage_over_pruners_asks_for_those_that_the_network_allows():
    cells = {"original": (0.60, 0.001)}
    cells |= {(p, 0.7, None): (0.62, 0.001 * k) for k, p in enumerate(pm.kinds.PRUNERS)}
    lab = FakeLab(cells)

    on_filters = claims.leakage_over_pruners(lab, EXP, 3)
    on_features = claims.leakage_over_pruners(
        lab, pm.Experiment(dataset="digits", model="columnfc", seed=2), 3
    )

    assert len(on_filters) == 4
    assert [claim.text for claim in on_features] == [
        "Pruning by l1unstructured raises SAMIA's accuracy"
    ]
    # slim: 0.62 + 0.003 s − 0.60 − 0.001 s at s = 2, 3, 4: 0.024, 0.026, 0.028.
    assert by_text(on_filters)[
        "Pruning by slim raises SAMIA's accuracy"
    ].effect.value == pytest.approx(0.026)


def test_wrong_knowledge_is_compared_with_guessing_and_with_the_truth():
    cells = {("l1unstructured", 0.7, None): (0.60, 0.001)}
    cells |= {
        ("l1unstructured", 0.7, g): (a, 0.002)
        for g, a in [(0.5, 0.58), (0.9, 0.498), ("none", 0.61)]
    }

    found = by_text(claims.leakage_under_wrong_knowledge(FakeLab(cells), EXP, 3))

    assert len(found) == 6
    assert found[
        "SAMIA finds members though it assumes sparsity 0.5"
    ].effect.value == pytest.approx(0.086)
    assert found["SAMIA finds members though it assumes sparsity 0.5"].verdict == SUPPORTED
    assert found[
        "SAMIA finds members though it assumes sparsity 0.9"
    ].effect.value == pytest.approx(0.004)
    assert found["SAMIA finds members though it assumes sparsity 0.9"].verdict == UNDECIDED
    # Truth minus wrong: 0.60 − 0.61 − 0.001 s, so −0.013 on average: assuming nothing was pruned
    # helps.
    assert found["Assuming no pruning costs SAMIA accuracy"].effect.value == pytest.approx(-0.013)
    assert found["Assuming no pruning costs SAMIA accuracy"].verdict == CONTRADICTED
