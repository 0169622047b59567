"""One cell of each table in results/ is computed anew, and has to be what the table says."""

from pathlib import Path

import numpy as np
import pytest
import torch

import prunemia as pm
from prunemia import data, results
from prunemia.data import DataError, victims_half
from prunemia.results import kept, planes, releases
from prunemia.sweep import grid as grids

CELLS = {
    "control": {"pruner": "l1unstructured", "sparsity": 0.7, "stopping": "warm-up"},
    "capacity": {"width": 8, "sparsity": 0.5},
    "pruners": {"pruner": "l1structured", "sparsity": 0.5},
    "epochs": {"role": "training", "epochs": 1, "sparsity": 0.7},
    "recipes": {},
    "references": {"network": "pruned", "sparsity": 0.7, "by": "attack"},
    "exposure": {"network": "pruned"},
    "releases": {"release": "pruned", "attack": "conf"},
    "tradeoff": {"pruner": "dense", "defense": "none", "attack": "conf"},
}
"""What is repeated of each kind of table, with its lowest seed."""
DOWNLOADED = ("location",)
"""Data sets of so few bytes (287 kB) that this test may download them."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Return a lab whose store is empty at first: tables of the same networks share them."""
    return pm.Lab(tmp_path_factory.mktemp("store"), device="cpu", progress=False)


def by_dataset(name):
    """Return the parameter of a table; tables of one data set are repeated by one process."""
    return pytest.param(name, marks=pytest.mark.xdist_group(name.split("_", 1)[1]))


@pytest.mark.parametrize("name", [by_dataset(name) for name in results.TABLES])
def test_a_cell_repeated_is_as_the_table_says(name, lab):
    kind, dataset = name.split("_", 1)
    if kind not in CELLS:
        pytest.skip(f"{kind}: its networks take minutes; test_concentration.py has its numbers")
    table = results.read(name)
    seed = int(table["seed"].min())
    rows = table[table["seed"] == seed]
    for field, value in CELLS[kind].items():
        rows = rows[rows[field] == value]
    exp = of_the_grid(name, seed, {**CELLS[kind], "seed": seed})
    require_data(lab, exp, dataset)
    then, now = AGAIN.get(kind, of_levels)(lab, exp, rows)

    processor = table.attrs["record"]["processor"]
    same = processor == torch.backends.cpu.get_cpu_capability()
    # another kind of processor rounds otherwise, and training magnifies that
    assert now == pytest.approx(then, abs=2e-6 if same else 0.05)


def of_the_grid(name, seed, cell):
    """Return the first experiment of a table's grid that has the cell's values.

    Its number of samples, its epochs and so on are those of the grid; the table does not have them.
    """
    file = kept.folder().parent / "grids" / f"{name}.yml"
    fields = pm.Experiment.model_fields.keys() & cell.keys() - {"epochs"}
    for exp in grids.read(file).experiments:
        if all(getattr(exp, field) == cell[field] for field in fields):
            return exp
    pytest.fail(f"{file} has no experiment of seed {seed} with {cell}")


def require_data(lab, exp, dataset):
    """Skip where the published files are not on this machine; small ones are downloaded."""
    for archive in data.SOURCES[dataset].archives if dataset not in DOWNLOADED else ():
        places = [folder / archive.file for folder in data.folders()]
        places += [Path(archive.installed, Path(archive.file).name)] if archive.installed else []
        if not any(place.is_file() for place in places):
            pytest.skip(f"{archive.file} is not on this machine: prunemia data fetch {dataset}")
    try:
        lab.dataset(exp)
    except (DataError, OSError) as error:
        if dataset not in DOWNLOADED:
            raise
        pytest.skip(f"{dataset} cannot be had here: {error}")


def of_levels(lab, exp, rows):
    found = lab.effects([exp], ["conf"]).query("effect == 'total' and label == -1")
    keys, columns = ["measure", "attack"], ["original", "dense", "pruned"]
    kept_rows = rows[rows["attack"].isin(["", "conf"])].set_index(keys)[columns].sort_index()
    again = found.set_index(keys)[columns].sort_index()
    assert list(kept_rows.index) == list(again.index)
    return number_or_absent(kept_rows), number_or_absent(again)


def number_or_absent(levels):
    """Return the levels; a rate too low for so few non-members to resolve is -1."""
    return levels.astype(float).fillna(-1).to_numpy()


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


def of_references(lab, exp, rows):
    rows = rows[rows["setting"] != "offline, sensitivity"]
    of_auc = rows.query("measure == 'AUC' and references == 5").set_index("attack")["value"]
    again = {name: lab.attack(exp, name).evaluation.auc.value for name in ("conf", "lira", "rmia")}
    return of_auc.loc[list(again)].to_numpy(), list(again.values())


def of_exposure(lab, exp, rows):
    # sixty-four networks take minutes: here the samples, which draw the networks' parts, and labels
    half = np.sort(victims_half(lab.dataset(exp), exp.seed))
    labels = lab.dataset(exp).labels[half]
    assert rows["lira online"].between(0, 1).mean() > 0.99
    return rows[["sample", "label"]].to_numpy(), np.stack([half, labels], axis=1)


def of_releases(lab, exp, rows):
    again = releases.released(lab, [exp], ["conf"], only=("pruned",))
    columns = ["value", "test_accuracy"]
    assert list(again["measure"]) == list(rows["measure"])
    return rows[columns].to_numpy(), again[columns].to_numpy()


def of_tradeoff(lab, exp, rows):
    again = planes.tradeoffs(lab, [exp], ["conf"]).query("pruner == 'dense'")
    columns = ["test_accuracy", *planes.MEASURES]
    return rows[columns].to_numpy(), again[columns].to_numpy()


AGAIN = {
    "epochs": of_epochs,
    "recipes": of_recipes,
    "references": of_references,
    "exposure": of_exposure,
    "releases": of_releases,
    "tradeoff": of_tradeoff,
}
"""How a cell is computed anew, by the kind of its table; of all others by `of_levels`."""
