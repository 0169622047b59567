"""The tables of ``results/``: which grid each is made of, and how."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd

from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.lab import Lab, on_dask
from prunemia.lab.effects import EFFECTS, FIELDS, OVERALL, fields
from prunemia.lab.map import require
from prunemia.lab.steps import attack_step
from prunemia.results import kept, planes, references, releases
from prunemia.results.concentration import concentration
from prunemia.sweep import grid as grids

Made = Callable[[Lab, Sequence[Experiment], Sequence[str]], pd.DataFrame]

RECIPES: Mapping[str, Mapping[str, Any]] = {"fast": {}, "paper": {"recipe": "paper"}}
"""The options of a learned attack by which its recipes are compared."""


def levels(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return each measure on the original, dense and pruned network: the three effects' source."""
    table = lab.effects(experiments, attacks)
    overall = table[(table["label"] == OVERALL) & (table["effect"] == "total")]
    return overall.drop(columns=["label", "effect", "value"])


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
            "accuracy": evaluation.accuracy.value,
            "auc": evaluation.auc.value,
        }
        for exp in experiments
        for name in attacks
        for recipe, how in RECIPES.items()
        for evaluation in [lab.attack(exp, name, **how).evaluation]
    ]
    return pd.DataFrame(rows)


TABLES: dict[str, Made] = {
    "concentration_mnist1d": concentration,
    "control_digits": levels,
    "control_fashion_mnist": levels,
    "control_letter": levels,
    "control_location": levels,
    "control_mnist1d": levels,
    "capacity_mnist1d": levels,
    "epochs_location": Lab.along_epochs,
    "epochs_mnist1d": Lab.along_epochs,
    "pruners_mnist1d": levels,
    "exposure_location": references.exposed,
    "exposure_mnist1d": references.exposed,
    "references_location": references.compared,
    "references_mnist1d": references.compared,
    "releases_location": releases.released,
    "releases_mnist1d": releases.released,
    "recipes_location": recipes,
    "recipes_mnist1d": recipes,
    "tradeoff_location": planes.tradeoffs,
    "tradeoff_mnist1d": planes.tradeoffs,
}
"""How each table is made of its grid, the file of its name in ``grids/``."""


def make(name: str, lab: Lab, workers: int = 1) -> pd.DataFrame:
    """Make a table anew and write it, with its record, to ``results/``.

    ``workers``: processes on this machine; 1: this one, or the lab's scheduler.

    Raises
    ------
    UsageError
        There is no such table, or its grid is not allowed.
    """
    if name not in TABLES:
        raise UsageError(f"results: {name!r} is not allowed; allowed: {', '.join(TABLES)}")
    file = _grid(name)
    asked = grids.read(file)
    cluster: AbstractContextManager[str | None] = contextlib.nullcontext(lab.scheduler)
    if workers > 1:
        cluster = on_dask.local(workers, lab.store.root)
    with cluster as address:
        at_work = Lab(lab.store.root, address, lab.device, lab.pipeline.progress)
        table = TABLES[name](at_work, asked.experiments, asked.attacks)
    about = kept.record(file, asked.experiments, asked.attacks, lab.device.type)
    kept.write(name, table, about, kept.folder())
    return table


def control(experiments: Iterable[Experiment]) -> tuple[str, pd.DataFrame] | None:
    """Return the name of the table that has the control of all these experiments, and effects.

    The effects are as `Lab.effects` gives them, over all classes; None: no table has them all, or
    this is not the book's repository.
    """
    found = _rows_of(levels, experiments)
    return found and (found[0], as_effects(found[1]))


def effects(
    lab: Lab, experiments: Iterable[Experiment], attacks: Sequence[str]
) -> tuple[str, pd.DataFrame]:
    """Return `control`, or "" and what `Lab.effects` computes where no table has it."""
    todo = list(experiments)
    return control(todo) or ("", lab.effects(todo, attacks))


def compared(
    lab: Lab, experiments: Iterable[Experiment], attacks: Sequence[str], most: int
) -> tuple[str, pd.DataFrame]:
    """Return `references.compared` and the table that has it, or "" where it was computed."""
    return _by_references(references.compared, lab, experiments, attacks, most)


def exposed(
    lab: Lab, experiments: Iterable[Experiment], attacks: Sequence[str], most: int
) -> tuple[str, pd.DataFrame]:
    """Return `references.exposed` and the table that has it, or "" where it was computed."""
    return _by_references(references.exposed, lab, experiments, attacks, most)


def _by_references(
    made: Callable[..., pd.DataFrame],
    lab: Lab,
    experiments: Iterable[Experiment],
    attacks: Sequence[str],
    most: int,
) -> tuple[str, pd.DataFrame]:
    todo = list(experiments)
    return kept_by_references(made, todo, most) or ("", made(lab, todo, attacks, most))


def kept_by_references(
    made: Made, experiments: Iterable[Experiment], most: int
) -> tuple[str, pd.DataFrame] | None:
    """Return the table that has what ``made`` makes of these, by so many references, if one has."""
    return _rows_of(made, experiments) if most == references.MOST else None


def released(
    lab: Lab,
    experiments: Iterable[Experiment],
    attacks: Sequence[str],
    only: Collection[str] = (),
) -> tuple[str, pd.DataFrame]:
    """Return `releases.released` and the table that has it, or "" where it was computed.

    ``only``: the releases wanted; none: all that the table has, or those of `releases.SHORT`.
    """
    todo = list(experiments)
    if (found := kept_releases(todo)) is None:
        return "", releases.released(lab, todo, attacks, only or releases.SHORT)
    name, table = found
    return name, (table[table["release"].isin(only)] if only else table).reset_index(drop=True)


def kept_releases(experiments: Iterable[Experiment]) -> tuple[str, pd.DataFrame] | None:
    """Return the table that has what releases of these give away, with all its runs, or None."""
    name = _holding(releases.released, set(experiments))
    return (name, kept.read(name)) if name else None


def points(experiments: Iterable[Experiment]) -> tuple[str, pd.DataFrame] | None:
    """Return the same of `Lab.along_epochs`."""
    return _rows_of(Lab.along_epochs, experiments)


def tradeoff(
    lab: Lab, experiments: Iterable[Experiment], attacks: Sequence[str]
) -> tuple[str, pd.DataFrame]:
    """Return test accuracy against the leak, and the table that has it; "" where it is computed.

    ``experiments``: pruning without a defense, one per run. A table that has them has more ways,
    and more runs; else `prunemia.results.planes.ways` are compared.
    """
    todo = list(experiments)
    if name := kept_tradeoff(todo):
        return name, kept.read(name)
    return "", planes.tradeoffs(lab, [way for exp in todo for way in planes.ways(exp)], attacks)


def other_tradeoffs(besides: str) -> dict[str, pd.DataFrame]:
    """Return the tables of trade-offs that are there, by data set, but for the one of this name."""
    names = [name for name, how in TABLES.items() if how is planes.tradeoffs and name != besides]
    tables = [kept.read(name) for name in names if kept.there(name)]
    return {str(table["dataset"].iloc[0]): table for table in tables}


def concentrated(experiments: Iterable[Experiment]) -> str:
    """Return the name of the table of `concentration` that has these experiments, or ""."""
    return _holding(concentration, set(experiments))


def kept_tradeoff(experiments: Iterable[Experiment]) -> str:
    """Return the name of the table of trade-offs that has these experiments, "" where none has."""
    return _holding(planes.tradeoffs, set(experiments))


def _holding(made: Made, asked: set[Experiment]) -> str:
    """Return the name of a table that is so made and whose grid has these experiments, or ""."""
    for name in (name for name, how in TABLES.items() if how is made):
        if kept.there(name) and asked <= set(grids.read(_grid(name)).experiments):
            return name
    return ""


def _rows_of(made: Made, experiments: Iterable[Experiment]) -> tuple[str, pd.DataFrame] | None:
    asked = set(experiments)
    name = _holding(made, asked)
    if not name:
        return None
    found = kept.read(name)
    wanted = {tuple(fields(exp).values()) for exp in asked}
    rows = [tuple(row) in wanted for row in found[list(FIELDS)].itertuples(index=False)]
    return name, found[rows].reset_index(drop=True)


def as_effects(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `levels` with one row per effect, as `Lab.effects` gives it."""
    parts = [
        table.assign(label=OVERALL, effect=name, value=table[end] - table[start])
        for name, (end, start) in EFFECTS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _grid(name: str) -> Path:
    return kept.folder().parent / "grids" / f"{name}.yml"
