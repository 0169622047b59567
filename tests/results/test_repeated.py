"""One cell of each table in results/ is computed anew, and has to be what the table says."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import prunemia as pm
from prunemia import data, results
from prunemia.data import DataError, victims_half
from prunemia.lab import grid as grids
from prunemia.lab import lengths
from prunemia.results import kept, tables

LEVELS = ["original", "dense", "pruned"]
CONF = {"attack": ["", "conf"]}
VICTIM = {"attack": [""]}  # without shadow networks, which take minutes
OURS = {"pruner": "l1unstructured", "sparsity": 0.7, "stopping": "warm-up"}
FEW = {"network": "pruned", "by": "attack", "references": 5, "setting": ["shadows", "offline"]}
FEW |= {"measure": "AUC", "attack": ["conf", "lira", "rmia"]}
CELLS = {
    "control": (OURS | CONF, LEVELS),
    "control_fashion_mnist": (OURS | VICTIM, LEVELS),
    "capacity": (CONF | {"width": 8, "sparsity": 0.5}, LEVELS),
    "pruners": (VICTIM | {"pruner": "l1structured", "sparsity": 0.5}, LEVELS),
    "epochs": (CONF | {"role": "training", "epochs": 1, "sparsity": 0.5}, ["value"]),
    "recipes": ({"recipe": "fast"}, ["accuracy", "auc"]),
    "paper": ({"statistic": "accuracy", "name": "conf", "stopping": "warm-up"}, ["value"]),
    "curve": ({"role": "training", "epochs": 1}, ["train_accuracy", "test_accuracy", "value"]),
    "references": (OURS | FEW, ["value"]),
    "releases": (OURS | CONF | {"release": "pruned"}, ["value"]),
    "tradeoff": (CONF | {"pruner": "dense", "defense": "none"}, ["test_accuracy", *tables.WIDE]),
}
"""Of each kind of table, or of one, what is repeated with its lowest seed: rows, and columns."""
REPEATED = [name for name in results.TABLES if name.split("_", 1)[0] in CELLS]
"""Not the tables of sixty-four networks: they take minutes."""
LARGEST, TYPICAL = 3, 1.75
"""By how many deviations between runs a repeated number, and all together (root mean square), may
differ from a table of another processor: training magnifies its rounding. Tables of an EPYC were
off by at most 2.6 in one number on a Xeon, and by 1.4 in all; one wrong by four is off by more."""
FLOOR = 0.01
"""The smallest deviation taken: some numbers hardly vary, and rates hang on one or two samples."""
DOWNLOADED = ("location",)
"""Data sets of so few bytes (287 kB) that this test may download them."""


@pytest.mark.parametrize("name", REPEATED)
def test_a_cell_repeated_is_as_the_table_says(name, lab, monkeypatch):
    dataset = name.split("_", 1)[1]
    table, record = results.read(name), results.record(name)
    runs, seeds = read_runs(table, name)
    exp = of_the_grid(name, seeds[0], {**cell(name)[0], "seed": seeds[0]})
    part = record["parts"][record["cells"][kept.cell(exp)]]
    if made_of := part.get("data"):
        pytest.skip(f"{name} was made of {made_of}")
    require_data(lab, exp, dataset)
    along = lengths.networks  # of all lengths, the shortest alone is repeated
    monkeypatch.setattr(lengths, "networks", lambda e: itertools.islice(along(e), 1))
    now = again(lab, exp, name)

    if part["processor"]["probe"] == kept.probe():
        assert now == pytest.approx(runs[0], abs=2e-6)
    else:
        assert differs(runs, now) == ""


@pytest.mark.parametrize("name", [n for n in results.TABLES if n.startswith("exposure")])
def test_exposure_is_that_of_all_samples_of_the_half(name, lab):
    # sixty-four networks take minutes: here the samples, which draw the networks' parts, and labels
    table = results.read(name)
    exp = of_the_grid(name, 0, {"seed": 0})
    require_data(lab, exp, exp.dataset)
    half = np.sort(victims_half(lab.dataset(exp), exp.seed))

    rows = table[table["network"] == "pruned"]
    assert rows["lira online"].between(0, 1).mean() > 0.99
    assert rows["sample"].tolist() == half.tolist()
    assert rows["label"].tolist() == lab.dataset(exp).labels[half].tolist()


def differs(runs, now):
    """Say how a run computed anew on another processor differs from a table, "" if it is the same.

    runs : shape (runs, measures, networks), what the table says; the first run is repeated.
    now : shape (measures, networks), the first run computed anew.
    """
    # of the other runs and the new one: a wrong number in the table must not widen its own measure
    z = (now - runs[0]) / deviations(np.concatenate([runs[1:], now[None]]))
    largest, typical = np.abs(z).max(), np.sqrt((z**2).mean())
    if largest <= LARGEST and typical <= TYPICAL:
        return ""
    place = np.unravel_index(np.abs(z).argmax(), z.shape)
    return (
        f"number {place[0]} of network {place[1]} is {now[place]:.4f}, in the table "
        f"{runs[0][place]:.4f}: {largest:.1f} deviations between runs, allowed {LARGEST}; "
        f"typically {typical:.1f}, allowed {TYPICAL}"
    )


def deviations(runs):
    """Return the deviation between runs of each number: its own, or its measure's if larger.

    The measure's is pooled over the three networks; a deviation of five numbers alone is too small
    by half now and then.
    """
    own = runs.var(axis=0, ddof=1)
    pooled = own.mean(axis=1, keepdims=True)
    return np.maximum(np.sqrt(np.maximum(own, pooled)), FLOOR)


def test_many_numbers_that_are_a_little_off_are_told():
    # four runs 1 below and 1 above, and the new one, d above their middle, in hundredths: the
    # variance is (4 + d² · 4/5) / 4, so d = 2.5 is 1.67 deviations off and d = 2.8 is 1.75
    runs = 0.5 + 0.01 * np.tile(np.array([0, 1, -1, 1, -1])[:, None, None], (1, 10, 3))
    assert differs(runs, runs[0] + 0.025) == ""
    assert "1.8 deviations between runs, allowed 3" in differs(runs, runs[0] + 0.029)


@pytest.mark.parametrize("name", REPEATED)
def test_a_number_of_a_table_moved_by_four_deviations_is_told(name):
    runs, _ = read_runs(results.read(name), name)
    deviation = deviations(runs)

    assert differs(runs, runs[0]) == ""
    for place in np.ndindex(*deviation.shape):
        moved = runs.copy()
        moved[0][place] += 4 * deviation[place]
        assert f"number {place[0]} of network {place[1]} is" in differs(moved, runs[0])


def cell(name):
    return CELLS.get(name) or CELLS[name.split("_", 1)[0]]


def read_runs(table, name):
    """Return what a table says of each run, shape (runs, measures, networks), and their seeds."""
    seeds = sorted(set(table["seed"].tolist()))
    return np.array([numbers(table[table["seed"] == seed], name) for seed in seeds]), seeds


def numbers(rows, name):
    """Return the numbers of one run, shape (measures, networks), or (numbers, 1)."""
    where, columns = cell(name)
    for field, values in where.items():
        rows = rows[rows[field].isin(np.atleast_1d(values))]
    if name.startswith(("recipes", "tradeoff")):
        rows = rows[:1]
    # a rate too low for so few non-members to resolve is -1
    if columns == LEVELS:
        rows = rows.sort_values(["measure", "attack"])
    found = rows[columns].astype(float).fillna(-1).to_numpy()
    return found if columns == LEVELS else found.reshape(-1, 1)


def again(lab, exp, name):
    """Return the same numbers, computed anew."""
    kind = name.split("_", 1)[0]
    if kind in ("paper", "recipes", "references"):  # their tables take much more than a cell
        first = ["nn" if exp.dataset == "mnist1d" else "samia"]
        names = {"paper": ["conf"], "references": FEW["attack"], "recipes": first}
        columns = {"paper": ["accuracy"], "references": ["auc"], "recipes": ["accuracy", "auc"]}
        found = [lab.attack(exp, each).evaluation.row() for each in names[kind]]
        return np.array([row[column] for row in found for column in columns[kind]])[:, None]
    own = {"only": ["pruned"]} if kind == "releases" else {}
    attacks = [] if cell(name)[0].get("attack") == [""] else ["conf"]
    return numbers(results.kept.KINDS[kind][0](lab, [exp], attacks, **own), name)


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
