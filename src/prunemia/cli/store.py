"""`prunemia store list|verify|clean`."""

from __future__ import annotations

from typing import Annotated

import typer

from prunemia.cli.options import Where, open_store, say
from prunemia.errors import RunError, UsageError

LONGEST_DAYS = 100_000.0
store_app = typer.Typer(no_args_is_help=True, help="The results on disk.")


@store_app.command("list")
def store_list(where: Where = None) -> None:
    """List the results: stage, key, size, time."""
    store = open_store(where)
    total = count = 0
    for entry in store.entries():
        written = f"{entry.created:%Y-%m-%d %H:%M}"
        say(f"{entry.stage:<10} {entry.key}  {_size(entry.bytes):>9}  {written}")
        total += entry.bytes
        count += 1
    say(f"{count} results, {_size(total)}, in {store.root}")


@store_app.command("verify")
def store_verify(where: Where = None) -> None:
    """Compare every checksum; exit code 1 if one differs."""
    store = open_store(where)
    problems = store.verify()
    for problem in problems:
        say(str(problem))
    if problems:
        raise RunError(
            f"{len(problems)} problems in {store.root}; `prunemia store clean` removes them"
        )
    say(f"Every result is sound: {store.root}")


@store_app.command("prune", hidden=True)  # its name until 0.1
@store_app.command("clean")
def store_clean(
    where: Where = None,
    stage: Annotated[
        str | None, typer.Option(help="Also remove the results of this stage.")
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS", help="Also remove results that are older; with --stage, of it alone."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and leave it.")
    ] = False,
) -> None:
    """Remove damaged and left-over results, and those that the options select."""
    if older_than is not None and not 0 <= older_than <= LONGEST_DAYS:
        raise UsageError(
            f"--older-than {older_than:g}: is not allowed; allowed: 0 to {LONGEST_DAYS:,.0f} days"
        )
    store = open_store(where)
    removed = store.clean(stage=stage, older_than_days=older_than, dry_run=dry_run)
    for entry in removed:
        say(f"{entry.stage:<10} {entry.key}  {_size(entry.bytes):>9}  {entry.problem}".rstrip())
    freed = _size(sum(entry.bytes for entry in removed))
    verb = "Would remove" if dry_run else "Removed"
    say(f"{verb} {len(removed)} results, {freed}, from {store.root}")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
