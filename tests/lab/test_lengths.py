import numpy as np
import pandas as pd
import pytest

import prunemia as pm
from prunemia.lab import lengths

TINY = {"samples": 400, "width": 4, "epochs": 3, "finetune_epochs": 2, "shadows": 1}


def run(seed, curve, kept):
    """Points of one run: dense ones as (test accuracy, leakage), pruned ones by sparsity."""
    base = {"dataset": "d", "model": "m", "width": 8, "seed": seed}
    base |= {"attack": "conf", "measure": "accuracy"}
    rows = [
        base | {"sparsity": s, "role": role, "epochs": i, "test_accuracy": x, "value": y}
        for s in kept
        for i, (role, x, y) in enumerate(curve)
    ]
    rows += [
        base | {"sparsity": s, "role": "kept", "epochs": 7, "test_accuracy": x, "value": y}
        for s, (x, y) in kept.items()
    ]
    return pd.DataFrame(rows)


def test_lengths_are_the_powers_of_two_and_the_end():
    assert lengths.lengths(1) == [1]
    assert lengths.lengths(7) == [1, 2, 4, 7]
    assert lengths.lengths(8) == [1, 2, 4, 8]
    assert lengths.lengths(14) == [1, 2, 4, 8, 14]


def test_the_curve_is_a_straight_line_between_points_and_ends_with_them():
    # between (0.7, 0.58) and (0.8, 0.64) at 0.75: 0.61
    found = lengths.at_accuracy([0.7, 0.8, 0.9], [0.58, 0.64, 0.64], [0.75, 0.7, 0.69, 0.91])

    assert found[:2] == pytest.approx([0.61, 0.58])
    assert np.isnan(found[2:]).all()


def test_points_that_fall_are_pooled():
    # 0.64 and 0.60 violate the order: both become their mean 0.62
    found = lengths.at_accuracy([0.6, 0.7, 0.8], [0.5, 0.64, 0.60], [0.7, 0.75, 0.8, 0.65])

    assert found == pytest.approx([0.62, 0.62, 0.62, 0.56])


def test_excess_is_what_the_pruned_network_leaks_beyond_its_own_runs_curve():
    curve = [("training", 0.7, 0.58), ("training", 0.8, 0.64), ("dense", 0.8, 0.64)]
    higher = [(role, x, y + 0.1) for role, x, y in curve]
    points = pd.concat(
        [
            run(0, curve, {0.5: (0.75, 0.63), 0.9: (0.5, 0.55)}),
            run(1, higher, {0.5: (0.75, 0.63), 0.9: (0.7, 0.68)}),
        ]
    )
    found = lengths.excess(points).set_index(["seed", "sparsity"])["excess"]

    assert found[0, 0.5] == pytest.approx(0.02)
    assert np.isnan(found[0, 0.9])
    assert found[1, 0.5] == pytest.approx(-0.08)
    assert found[1, 0.9] == pytest.approx(0.0)


def test_the_lab_follows_every_network_along_its_epochs(tmp_path):
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    exp = pm.Experiment(**TINY)
    points = lab.along_epochs([exp], ["conf"])

    roles = points.query("measure == 'AUC'").groupby("role")["epochs"].apply(list).to_dict()
    assert roles == {"training": [1, 2, 3], "dense": [1, 2], "pruned": [1, 2], "kept": [2]}
    whole = exp.replace(stopping="last")
    last = points.query("role == 'dense' and epochs == 2 and measure == 'accuracy'")["value"].item()
    dense = lab.attack(whole.replace(pruner="dense"), "conf").evaluation.accuracy.value
    assert last == dense
    kept = points.query("role == 'kept' and measure == 'AUC'").iloc[0]
    assert kept["value"] == lab.attack(exp, "conf").evaluation.auc.value
    assert kept["test_accuracy"] == lab.pruned(exp).accuracy["test"]
    assert len(lab.excess([exp], ["conf"])) == 2


def test_the_pipeline_finds_a_total_effect_where_there_must_be_one(tmp_path):
    # The positive control: an original that has hardly trained, then many epochs on its members
    # with little removed. The pruned network leaks more than the original, and training did it.
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    exp = pm.Experiment(samples=2000, width=32, epochs=2, finetune_epochs=10, sparsity=0.3)
    table = lab.effects(pm.claims.runs(exp, 4), ["conf"])
    total, training, _ = pm.claims.effect_claims(table, "conf")

    assert total.verdict == pm.claims.SUPPORTED
    assert training.verdict == pm.claims.SUPPORTED
    assert total.effect.value > 0.03
