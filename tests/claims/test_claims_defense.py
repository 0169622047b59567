import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import prunemia as pm
from prunemia.claims import CONTRADICTED, SUPPORTED, UNDECIDED
from prunemia.claims.defense import defended, ppb_protects, regained

EXP = pm.Experiment(seed=3)

# Accuracy of an attack by (attack, defense, adaptive); others reach 0.65. A small step per seed
# gives a spread.
ACCURACY = {
    ("samia", "none", True): 0.70,
    ("conf", "none", True): 0.66,
    ("samia", "ppb", False): 0.55,
    ("conf", "ppb", False): 0.66,
    ("samia", "ppb", True): 0.75,
    ("conf", "ppb", True): 0.56,
}
TEST = {"none": 0.80, "ppb": 0.79}
WEIGHTS = [0.1, 0.2, 0.3, 0.4]  # at sparsity 0.5 the first two are removed


class FakeLab:
    """Answers from the tables above; ``back``: how many removed weights PPB regrows, per seed."""

    def __init__(self, back=None):
        self.back = back or {}
        self.asked = set()

    def network(self, weights, test=0.9):
        module = nn.Sequential(nn.Linear(4, 1))
        with torch.no_grad():
            module[0].weight.copy_(torch.tensor([weights]))
        return SimpleNamespace(module=module, accuracy={"test": test})

    def original(self, exp):  # noqa: ARG002
        return self.network(WEIGHTS)

    def pruned(self, exp):
        weights = [0.0, 0.0, 0.5, 0.6]
        if exp.defense == "ppb":
            weights[: self.back.get(exp.seed, 0)] = [0.01] * self.back.get(exp.seed, 0)
        step = 0.001 * exp.seed if exp.defense == "ppb" else 0.0
        return self.network(weights, TEST[exp.defense] - step)

    def attack(self, exp, name, of="pruned"):  # noqa: ARG002
        self.asked.add(
            (exp.defense, exp.strength, exp.adversary and exp.adversary.defense, exp.seed)
        )
        step = 0.0 if exp.defense == "none" else 0.002 * exp.seed
        value = ACCURACY.get((name, exp.defense, exp.adversary is None), 0.65) + step
        return SimpleNamespace(evaluation=SimpleNamespace(accuracy=SimpleNamespace(value=value)))


@pytest.fixture
def exp():
    return EXP.replace(sparsity=0.5, seed=0)


def test_effects_are_positive_where_ppb_protects_and_verdicts_follow(exp):
    tested = ppb_protects(FakeLab(), exp, 3)
    effects = [claim.effect.value for claim in tested]

    # Seeds 0, 1, 2 add 0, 0.002, 0.004 to what an attack on PPB reaches (mean 0.002) and cost 0,
    # 0.001, 0.002 of the test accuracy (mean 0.001): 0.70 − 0.552, 0.66 − 0.662, 0.70 − 0.752, 0.66
    # − 0.562, 0.02 − (0.01 + 0.001).
    assert effects == pytest.approx([0.148, -0.002, -0.052, 0.098, 0.009])
    assert [claim.verdict for claim in tested] == [
        SUPPORTED,
        UNDECIDED,
        CONTRADICTED,
        SUPPORTED,
        SUPPORTED,
    ]
    for claim, words in zip(
        tested, ["samia", "conf", "samia", "conf", "test accuracy"], strict=True
    ):
        assert words in claim.text
    assert ["non-adaptive" in claim.text for claim in tested[:4]] == [True, True, False, False]


def test_the_five_claims_are_one_family(exp):
    tested = ppb_protects(FakeLab(), exp, 3)

    # t with two degrees of freedom at 1 − 0.05/5 = 0.99 is 0.99 √(2 / (1 − 0.99²)) = 9.925; the
    # standard deviation of 0, 0.002, 0.004 is 0.002.
    half = 0.99 * math.sqrt(2 / (1 - 0.99**2)) * 0.002 / math.sqrt(3)
    assert tested[0].effect.low == pytest.approx(0.148 - half)
    assert [claim.tests for claim in tested] == [5] * 5


def test_keeping_the_sparsity_is_counted_and_no_claim(exp):
    tested = ppb_protects(FakeLab({1: 1}), exp, 3)

    assert not [claim for claim in tested if "sparsity" in claim.text]
    assert regained(FakeLab({0: 2}), defended(exp, "ppb")) == 2
    assert regained(FakeLab({0: 2}), exp) == 0


def test_a_single_seed_decides_nothing(exp):
    assert [claim.verdict for claim in ppb_protects(FakeLab(), exp, 1)] == [UNDECIDED] * 5


def test_only_experiments_of_the_pages_are_asked(exp):
    lab = FakeLab()
    ppb_protects(lab, exp, 1)

    assert lab.asked == {("none", None, None, 0), ("ppb", 4.0, "none", 0), ("ppb", 4.0, None, 0)}


def test_a_defense_gets_its_strength_and_its_adversary():
    known, unknown = defended(EXP, "adv"), defended(EXP, "ppb", adaptive=False, strength=8)

    assert (known.defense, known.strength, known.adversary, known.seed) == ("adv", 1.0, None, 3)
    assert (unknown.strength, unknown.assumed().defense, unknown.assumed().strength) == (
        8.0,
        "none",
        None,
    )
    assert defended(unknown, "none", adaptive=False) == EXP
