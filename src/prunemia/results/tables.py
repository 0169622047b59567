"""The tables of ``results/``: which grid each is made of, and how."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.lab import Lab, on_dask
from prunemia.lab.effects import EFFECTS, FIELDS, OVERALL
from prunemia.lab.map import require
from prunemia.lab.steps import attack_step
from prunemia.results import kept
from prunemia.sweep import grid as grids

Made = Callable[[Lab, Sequence[Experiment], Sequence[str]], pd.DataFrame]

RECIPES: Mapping[str, Mapping[str, Any]] = {"fast": {}, "paper": {"recipe": "paper"}}
"""The options of a learned attack by which its recipes are compared."""


@dataclass(frozen=True)
class Table:
    """One table: the stem of its grid's name in ``grids/``, and what is asked of the grid."""

    grid: str
    made: Made


def levels(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return each measure on the original, dense and pruned network: the three effects' source."""
    table = lab.effects(experiments, attacks)
    overall = table[(table["label"] == OVERALL) & (table["effect"] == "total")]
    return overall.drop(columns=["label", "effect", "value"])


def epochs(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return test accuracy and leakage along the epochs."""
    return lab.along_epochs(experiments, attacks)


def recipes(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return each learned attack by its fast and by the paper's recipe, on the same victims."""
    wanted = {
        exp: [attack_step(exp, name, "pruned", how) for name in attacks for how in RECIPES.values()]
        for exp in experiments
    }
    require(lab.pipeline, lab.scheduler, wanted)
    rows = [
        {
            "dataset": exp.dataset,
            "model": exp.model,
            "sparsity": exp.sparsity,
            "seed": exp.seed,
            "attack": name,
            "recipe": recipe,
            **_cut(lab.attack(exp, name, **how).evaluation.row()),
        }
        for exp in experiments
        for name in attacks
        for recipe, how in RECIPES.items()
    ]
    return pd.DataFrame(rows)


def _cut(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("accuracy", "auc")}


TABLES = {
    "control_location": Table("control_location", levels),
    "control_mnist1d": Table("control_mnist1d", levels),
    "capacity_mnist1d": Table("capacity_mnist1d", levels),
    "epochs_location": Table("epochs_location", epochs),
    "epochs_mnist1d": Table("epochs_mnist1d", epochs),
    "recipes_location": Table("recipes_location", recipes),
    "recipes_mnist1d": Table("recipes_mnist1d", recipes),
}


def make(name: str, lab: Lab, workers: int = 1, place: Path | None = None) -> pd.DataFrame:
    """Make a table anew and write it, with its record, to ``results/``.

    ``workers``: processes on this machine; 1: this one, or the lab's scheduler.

    Raises
    ------
    UsageError
        There is no such table, or its grid is not allowed.
    """
    if name not in TABLES:
        raise UsageError(f"results: {name!r} is not allowed; allowed: {', '.join(TABLES)}")
    where = place or kept.folder()
    file = where.parent / "grids" / f"{TABLES[name].grid}.yml"
    asked = grids.read(file)
    cluster: AbstractContextManager[str | None] = contextlib.nullcontext(lab.scheduler)
    if workers > 1:
        cluster = on_dask.local(workers, lab.store.root)
    with cluster as address:
        at_work = Lab(lab.store.root, address, lab.device, lab.pipeline.progress)
        table = TABLES[name].made(at_work, asked.experiments, asked.attacks)
    about = kept.record(file, asked.experiments, asked.attacks, lab.device.type)
    kept.write(name, table, about, where)
    return table


def control(experiments: Iterable[Experiment]) -> tuple[str, pd.DataFrame] | None:
    """Return the name of the table that has the control of all these experiments, and effects.

    The effects are as `Lab.effects` gives them, over all classes; None: no table has them all, or
    this is not the book's repository.
    """
    found = _rows_of(levels, experiments)
    return found and (found[0], as_effects(found[1]))


def points(experiments: Iterable[Experiment]) -> tuple[str, pd.DataFrame] | None:
    """Return the same of `Lab.along_epochs`."""
    return _rows_of(epochs, experiments)


def _rows_of(made: Made, experiments: Iterable[Experiment]) -> tuple[str, pd.DataFrame] | None:
    try:
        there = kept.folder()
    except UsageError:
        return None
    asked = list(dict.fromkeys(experiments))
    for name, table in TABLES.items():
        is_there = (there / f"{name}.csv").is_file()
        if is_there and table.made is made and set(asked) <= set(_grid(table).experiments):
            found = kept.read(name)
            wanted = {_fields(exp) for exp in asked}
            rows = [tuple(row) in wanted for row in found[list(FIELDS)].itertuples(index=False)]
            return name, found[rows].reset_index(drop=True)
    return None


def as_effects(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `levels` with one row per effect, as `Lab.effects` gives it."""
    parts = [
        table.assign(label=OVERALL, effect=name, value=table[end] - table[start])
        for name, (end, start) in EFFECTS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _grid(table: Table) -> grids.Grid:
    return grids.read(kept.folder().parent / "grids" / f"{table.grid}.yml")


def _fields(exp: Experiment) -> tuple[Any, ...]:
    fields = exp.model_dump(mode="json", include=set(FIELDS)) | {"width": exp.channels}
    return tuple(fields[name] for name in FIELDS)
