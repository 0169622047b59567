"""Tables made, and extended: rows that are there stay as they are, what is missing is computed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pandas as pd

from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.lab import Lab, on_dask
from prunemia.results import kept, tables
from prunemia.sweep import grid as grids


def make(
    name: str,
    lab: Lab,
    workers: int = 1,
    anew: bool = False,
    wanted: Callable[[Experiment], bool] | None = None,
) -> pd.DataFrame:
    """Compute what a table lacks of its grid, and write it, with its record, to ``results/``.

    Rows of experiments that say what they said are kept bit for bit, those of experiments that left
    the grid are dropped. If the versions of stages or attacks are others, or the columns are, all
    is computed.

    ``workers``: processes on this machine; 1: this one, or the lab's scheduler. ``anew``: compute
    all. ``wanted``: which of the experiments that it lacks are computed now; None: all.

    Raises
    ------
    UsageError
        There is no such table, or its grid is not allowed.
    """
    if name not in tables.TABLES:
        raise UsageError(f"results: {name!r} is not allowed; allowed: {', '.join(tables.TABLES)}")
    file = tables.grid_of(name)
    asked = grids.read(file)
    before = None if anew else kept.reusable(name, asked)
    rows, cells = known(before, asked.experiments)
    todo = [exp for exp in asked.experiments if kept.cell(exp) not in cells]
    todo = [exp for exp in todo if wanted is None or wanted(exp)]
    parts = [] if rows is None else [rows]
    if todo:
        new = kept.as_text(_computed(name, lab, workers, todo, asked.attacks))
        if rows is not None and not set(rows) <= set(new):
            return make(name, lab, workers, anew=True)
        # columns that came later are empty in rows that were made before
        parts = [*(part.reindex(columns=new.columns, fill_value="") for part in parts), new]
    made = [exp for exp in asked.experiments if exp in set(todo) or kept.cell(exp) in cells]
    fresh = kept.part(lab.device.type)
    about = kept.record(file, asked.attacks, made, fresh, cells, before and before[1])
    kept.write(name, together(parts, made), about)
    return kept.read(name)


def _computed(
    name: str, lab: Lab, workers: int, experiments: Sequence[Experiment], attacks: Sequence[str]
) -> pd.DataFrame:
    cluster: AbstractContextManager[str | None] = contextlib.nullcontext(lab.scheduler)
    if workers > 1:
        cluster = on_dask.local(workers, lab.store.root)
    with cluster as address:
        at_work = Lab(lab.store.root, address, lab.device, lab.pipeline.progress)
        return tables.TABLES[name](at_work, experiments, attacks)


def known(
    before: tuple[pd.DataFrame, dict[str, Any]] | None, experiments: Sequence[Experiment]
) -> tuple[pd.DataFrame | None, dict[str, int]]:
    """Return the rows that are kept of a table, and which part made each cell that they are of.

    ``before``: `kept.reusable`. Kept are rows of experiments that say the same as when they were
    made (`kept.cell`).
    """
    if before is None:
        return None, {}
    table, record = before
    same = [exp for exp in experiments if kept.cell(exp) in record["cells"]]
    owner = kept.owners(table, same)
    there = {kept.cell(same[index]) for index in set(owner[owner >= 0])}
    return table[owner >= 0], {name: record["cells"][name] for name in there}


def together(parts: Sequence[pd.DataFrame], experiments: Sequence[Experiment]) -> pd.DataFrame:
    """Return tables of the same columns as one, its rows in the order of their experiments."""
    table = pd.concat(parts, ignore_index=True)
    return table.iloc[np.argsort(kept.owners(table, experiments), kind="stable")]
