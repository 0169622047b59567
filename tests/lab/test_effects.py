"""The three effects: in a world whose leak is known, against the control, and from the lab."""

from types import SimpleNamespace

import numpy as np
import pytest
from answers import drawn
from scipy.stats import ks_2samp

import prunemia as pm
from prunemia.divergence import confidence
from prunemia.lab import effects as control
from prunemia.lab.attacking import AttackResult
from prunemia.metrics import evaluate

TINY = {"samples": 400, "width": 4, "epochs": 2, "finetune_epochs": 2, "shadows": 1}
LEAK = {"original": 0.5, "dense": 1.5, "pruned": 1.0}
"""By how much members' logits of the true class are raised: training adds, pruning takes."""


class Planted(pm.Lab):
    """A pipeline whose three networks leak as `LEAK` says, all on the same samples."""

    def run(self, steps):
        """Nothing is to be computed."""

    def value(self, step):
        level = "dense" if step.exp.pruner == "dense" else step.of
        if step.stage in ("original", "pruned"):
            return [SimpleNamespace(accuracy={"train": 1.0, "test": 0.9 - LEAK[level] / 10})]
        signals = drawn(4000, shift=LEAK[level], seed=step.exp.seed)
        if step.stage == "signals":
            return signals
        scores, member = confidence(signals) - 0.5, signals.membership
        return AttackResult(scores, scores >= 0, member, evaluate(member, scores, scores >= 0))


@pytest.fixture(scope="module")
def table():
    exps = [pm.Experiment(seed=seed) for seed in range(3)]
    return Planted("unused").effects(exps, ["conf"])


def test_total_is_training_plus_pruning_in_every_row(table):
    wide = table.pivot(index=["seed", "measure", "attack"], columns="effect", values="value")

    assert len(wide) == 3 * (2 + 5 + 5)  # accuracies; distances; accuracy, AUC and three TPRs
    assert np.allclose(wide["total"], wide["training"] + wide["pruning"], atol=1e-12)
    pruning = table.query("effect == 'pruning'")
    assert np.array_equal(pruning["value"], pruning["pruned"] - pruning["dense"])
    levels = table.query("effect == 'total'").drop(columns=["label", "effect", "value"])
    again = control.as_effects(levels)
    assert again["value"].sum() == pytest.approx(table["value"].sum())
    assert set(again) == set(table)


def test_a_world_in_which_training_adds_and_pruning_takes_is_recovered(table):
    leaks = table[~table["measure"].str.contains("train|test|TPR")]
    means = leaks.groupby(["measure", "effect"])["value"].mean().unstack()
    assert len(means) == 7  # KS and AUC of two signals; the gap; accuracy and AUC of conf
    assert (means["training"] > means["total"]).all()
    assert (means["total"] > 0).all()
    assert (means["pruning"] < 0).all()


def test_levels_are_those_of_an_independent_computation(table):
    signals = drawn(4000, shift=LEAK["original"], seed=1)
    sure, member = confidence(signals), signals.membership
    row = table.query("seed == 1 and measure == 'confidence KS'").iloc[0]

    assert row["original"] == pytest.approx(ks_2samp(sure[member], sure[~member]).statistic)
    test = table.query("seed == 0 and measure == 'test accuracy' and effect == 'total'").iloc[0]
    assert (test["original"], test["value"]) == (pytest.approx(0.85), pytest.approx(-0.05))


FIELDS = [{"defense": "ppb"}, {"dataset": "digits", "model": "columnfc", "width": None}]


@pytest.mark.parametrize("fields", FIELDS)
def test_the_control_is_pruning_that_removes_nothing_bit_for_bit(lab, fields):
    exp = pm.Experiment(**TINY | fields)
    dense, nothing = lab.pruned(control.dense(exp)), lab.pruned(exp.replace(sparsity=1e-9))
    assert dense.sparsity == nothing.sparsity == 0
    states = [network.module.state_dict() for network in (dense, nothing)]
    assert all((states[0][name] == states[1][name]).all() for name in states[0])


def test_the_lab_gives_one_table_of_effects(lab):
    exp = pm.Experiment(**TINY)
    row = lab.effects([exp], ["conf"]).query("measure == 'AUC' and effect == 'total'").iloc[0]
    assert row["pruned"] == lab.attack(exp, "conf").evaluation.auc.value
    assert row["dense"] == lab.attack(control.dense(exp), "conf").evaluation.auc.value
    assert (row["sparsity"], row["width"], row["label"]) == (0.7, 4, control.OVERALL)
