"""A sweep from its grid to its table on disk."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pandas as pd

from prunemia.files import atomic_write
from prunemia.lab import Lab, addresses, on_dask
from prunemia.lab.map import SweepError, carry_out
from prunemia.lab.plan import plan
from prunemia.sweep.grid import Grid


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet, by the name's end; whole or not at all."""
    with atomic_write(path) as aside:
        if path.suffix == ".csv":
            table.to_csv(aside, index=False)
        else:
            table.to_parquet(aside, index=False)


def run(
    grid: Grid,
    lab: Lab,
    output: Path | None,
    workers: int | None,
    say: Callable[[str], None],
) -> None:
    """Carry out a grid, say its plan, and write its table; without ``output``, the plan alone.

    ``workers``: start so many processes here; None: this process, or the lab's scheduler.

    Raises
    ------
    SweepError
        Experiments failed; the others are in the table, which was written.
    UsageError
        The lab's scheduler has no such address, or does not answer.
    """
    if lab.scheduler is not None:
        addresses.check(lab.scheduler)  # before a plan that may take long
        if risk := addresses.risk(lab.scheduler):
            say(f"Warning: {risk}")
    wanted = (grid.experiments, grid.attacks, grid.of)
    unread = lab.pipeline.changed(progress=False, foresees=True)
    foreseen = plan(unread, *wanted)
    say(foreseen.describe())
    if output is None:
        return
    cluster: AbstractContextManager[str | None] = nullcontext(lab.scheduler)
    if workers is not None and foreseen.todo:
        cluster = on_dask.local(workers, lab.store.root)
    with warnings.catch_warnings(), cluster as address:
        warnings.simplefilter("ignore", addresses.OpenSchedulerWarning)  # it was said above
        table, failures = carry_out(plan(lab.pipeline, *wanted), address)
    write(table, output)
    say(f"{len(table):,} rows written: {output}")
    if failures:
        raise SweepError(failures, table)
