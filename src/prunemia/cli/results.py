"""`prunemia results`."""

from __future__ import annotations

from typing import Annotated

import typer

from prunemia.cli.options import Where, open_store, say
from prunemia.errors import RunError


def results(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Tables of results/; none: all."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes on this machine.")] = 1,
    anew: Annotated[bool, typer.Option("--anew", help="Compute all, not what is missing.")] = False,
    where: Where = None,
) -> None:
    """Compute what the tables of results/ lack of their grids, which can take hours.

    Pages read what is too long to compute while the book is built from these
    tables. Interrupted, it resumes with what the store has. Rows of a grid that
    has not changed are kept; --anew computes them, too.
    """
    root = open_store(where).root
    from prunemia import results as tables
    from prunemia.lab import Lab
    from prunemia.lab.sweep import SweepError

    for name in names or tables.TABLES:
        try:
            table = tables.make(name, Lab(root), workers, anew)
        except SweepError as error:
            raise RunError(f"results/{name}.csv: not written: {error}") from error
        say(f"results/{name}.csv: {len(table):,} rows")
