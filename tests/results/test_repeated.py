"""One cell of each table in results/ is computed anew, and has to be what the table says."""

import numpy as np
import pytest
import torch

import prunemia as pm
from prunemia import results
from prunemia.data import DataError, victims_half

CELLS = {
    "control": {"pruner": "l1unstructured", "sparsity": 0.7, "stopping": "warm-up"},
    "capacity": {"width": 8, "sparsity": 0.5},
    "pruners": {"pruner": "l1structured", "sparsity": 0.5},
    "epochs": {"role": "training", "epochs": 1, "sparsity": 0.7},
    "recipes": {},
    "references": {"network": "pruned", "sparsity": 0.7, "by": "attack"},
    "exposure": {"network": "pruned"},
}
"""What is repeated of each kind of table, with its lowest seed."""


@pytest.mark.parametrize("name", results.TABLES)
def test_a_cell_repeated_is_as_the_table_says(name, tmp_path):
    kind, dataset = name.split("_")
    table = results.read(name)
    seed = int(table["seed"].min())
    model = table["model"].iloc[0]
    exp = pm.Experiment(dataset=dataset, model=model, seed=seed)
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    try:
        lab.dataset(exp)
    except (DataError, OSError):
        pytest.skip(f"{dataset} cannot be had here")
    rows = table[table["seed"] == seed]
    for field, value in CELLS[kind].items():
        rows = rows[rows[field] == value]
    functions = {"epochs": of_epochs, "recipes": of_recipes, "references": of_references}
    again = (functions | {"exposure": of_exposure}).get(kind, of_levels)
    then, now = again(lab, exp, rows)

    processor = table.attrs["record"]["processor"]
    same = processor == torch.backends.cpu.get_cpu_capability()
    # another kind of processor rounds otherwise, and training magnifies that
    assert now == pytest.approx(then, abs=2e-6 if same else 0.05)


def of_levels(lab, exp, rows):
    first = rows.iloc[0]
    at = exp.replace(pruner=first["pruner"], sparsity=float(first["sparsity"]), width=width(rows))
    found = lab.effects([at], ["conf"]).query("effect == 'total' and label == -1")
    keys, columns = ["measure", "attack"], ["original", "dense", "pruned"]
    kept = rows[rows["attack"].isin(["", "conf"])].set_index(keys)[columns].sort_index()
    again = found.set_index(keys)[columns].sort_index()
    assert list(kept.index) == list(again.index)
    return kept.to_numpy(dtype=float), again.to_numpy()


def of_epochs(lab, exp, rows):
    conf = rows[rows["attack"] == "conf"].set_index("measure")
    result = lab.attack(exp.replace(stopping="last", epochs=1), "conf", of="original").evaluation
    then = [conf.loc["accuracy", "value"], conf.loc["AUC", "value"]]
    return then, [result.accuracy.value, result.auc.value]


def of_recipes(lab, exp, rows):
    quick = rows[rows["recipe"] == "fast"]
    name = "nn" if "nn" in set(quick["attack"]) else "samia"
    line = quick[quick["attack"] == name].iloc[0]
    result = lab.attack(exp, name).evaluation
    return [line["accuracy"], line["auc"]], [result.accuracy.value, result.auc.value]


def width(rows):
    value = rows["width"].iloc[0]
    return None if value == "" or value != value else int(value)


def of_references(lab, exp, rows):
    kept = rows.query("measure == 'AUC' and references == 5").set_index("attack")["value"]
    again = {
        name: lab.attack(exp.replace(sparsity=0.7), name).evaluation.auc.value
        for name in ("conf", "lira", "rmia")
    }
    return kept.loc[list(again)].to_numpy(), list(again.values())


def of_exposure(lab, exp, rows):
    # sixty-four networks take minutes: here the samples, which draw the networks' parts, and labels
    half = np.sort(victims_half(lab.dataset(exp), exp.seed))
    labels = lab.dataset(exp).labels[half]
    assert rows["lira online"].between(0, 1).mean() > 0.99
    return rows[["sample", "label"]].to_numpy(), np.stack([half, labels], axis=1)
