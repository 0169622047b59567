import math
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn

import prunemia as pm
from prunemia.claims import CONTRADICTED, SUPPORTED, UNDECIDED
from prunemia.claims.defense import choice, defended, ppb_protects, regained

EXP = pm.Experiment(seed=3)

# Accuracy of an attack by (attack, defense, adaptive), and a small step a seed, so that there is a
# spread.
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
    """Answers from the tables above; ``back`` maps a seed to how many removed weights PPB lets grow again."""

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
        step = 0.002 * exp.seed if exp.defense == "ppb" else 0.0
        value = ACCURACY[name, exp.defense, exp.adversary is None] + step
        return SimpleNamespace(evaluation=SimpleNamespace(accuracy=SimpleNamespace(value=value)))


@pytest.fixture
def exp():
    return EXP.replace(sparsity=0.5, seed=0)


def test_effects_are_positive_where_ppb_protects_and_verdicts_follow(exp):
    found = ppb_protects(FakeLab(), exp, 3)
    effects = [claim.effect.value for claim in found]

    # Seeds 0, 1, 2 add 0, 0.002, 0.004 to what an attack on PPB reaches (mean 0.002) and cost 0,
    # 0.001, 0.002 of the test accuracy (mean 0.001): 0.70 − 0.552, 0.66 − 0.662, 0.70 − 0.752, 0.66
    # − 0.562, 0.02 − (0.01 + 0.001).
    assert effects == pytest.approx([0.148, -0.002, -0.052, 0.098, 0.009, 1.0])
    assert [claim.verdict for claim in found] == [
        SUPPORTED,
        UNDECIDED,
        CONTRADICTED,
        SUPPORTED,
        SUPPORTED,
        SUPPORTED,
    ]
    for claim, words in zip(
        found, ["samia", "conf", "samia", "conf", "test accuracy", "sparsity"], strict=True
    ):
        assert words in claim.text
    assert ["non-adaptive" in claim.text for claim in found[:4]] == [True, True, False, False]


def test_the_five_tests_are_corrected_together_and_the_count_is_not_among_them(exp):
    found = ppb_protects(FakeLab(), exp, 3)

    # conf, non-adaptive: differences 0, −0.002, −0.004, so t = −√3 with two degrees of freedom, p =
    # 0.2254, the largest of the five: Holm leaves it.
    assert found[1].p == pytest.approx(1 - math.sqrt(3 / 5))
    # samia, non-adaptive: t = 0.148 / (0.002/√3) with two degrees of freedom, the smallest of the
    # five: times five.
    t = 0.148 / (0.002 / math.sqrt(3))
    assert found[0].p == pytest.approx(5 * (1 - t / math.sqrt(t**2 + 2)))
    assert found[-1].p == 0


def test_one_weight_that_comes_back_contradicts_that_sparsity_is_kept(exp):
    kept, lost = (ppb_protects(FakeLab(back), exp, 3)[-1] for back in ({}, {1: 1}))

    assert (kept.effect.value, kept.verdict) == (1.0, SUPPORTED)
    assert lost.effect.value == pytest.approx(-1 / 3)
    assert lost.verdict == CONTRADICTED
    assert regained(FakeLab({0: 2}), defended(exp, "ppb")) == 2
    assert regained(FakeLab({0: 2}), exp) == 0


def test_a_single_seed_decides_nothing_but_the_sparsity(exp):
    assert [claim.verdict for claim in ppb_protects(FakeLab(), exp, 1)] == [UNDECIDED] * 5 + [
        SUPPORTED
    ]


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


@pytest.mark.parametrize(
    ("allowed", "chosen"),
    [(0.05, "b"), (0.02, "none"), (0.2, "c")],
)
def test_the_choice_is_the_weakest_attack_that_is_affordable(allowed, chosen):
    table = pd.DataFrame(
        [
            ("none", 0.80, 0.70),
            ("a", 0.79, 0.71),
            ("b", 0.76, 0.66),
            ("worse", 0.755, 0.66),
            ("c", 0.65, 0.55),
        ],
        columns=["defense", "test", "accuracy"],
    )

    assert choice(table, allowed) == chosen
