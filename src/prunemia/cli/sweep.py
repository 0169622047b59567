"""`prunemia sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prunemia.cli.options import Where, open_store, say
from prunemia.errors import RunError, UsageError


def sweep(
    grid: Annotated[
        Path, typer.Argument(metavar="GRID.yml", help="Fields of an experiment; lists are crossed.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE", help="A .csv or .parquet; default: the grid's name, .csv, here."
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what there is to do; do nothing."),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Processes on this machine; default: this one alone."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="A Dask scheduler whose workers share the store's folder."
        ),
    ] = None,
    where: Where = None,
) -> None:
    """Carry out many experiments, and write one table of their attacks.

    Interrupted, it resumes with what the store has. An experiment that fails
    does not stop the others; it is listed at the end, with exit code 1.
    """
    from prunemia.lab import grid as grids

    if workers is not None and scheduler is not None:
        raise UsageError(
            "--workers starts a cluster here, --scheduler names one that runs: give one of the two"
        )
    asked = grids.read(grid)
    table = output or Path(f"{grid.stem}.csv")
    if not plan:
        grids.check_output(table)
    root = open_store(where).root
    from prunemia.lab import Lab
    from prunemia.lab.sweep import SweepError

    try:
        grids.run(asked, Lab(root, scheduler), None if plan else table, workers, say)
    except SweepError as error:
        raise RunError(str(error)) from error
