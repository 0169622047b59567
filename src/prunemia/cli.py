"""`prunemia`: the command line. Exit code 1: something failed while it ran; 2: what was asked for is refused."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prunemia.book.execute import execute, own_kernel
from prunemia.book.pages import find_page, find_root
from prunemia.errors import RunError, UsageError

if TYPE_CHECKING:
    from prunemia.store import Store

app = typer.Typer(
    help="Membership inference in pruned networks: build the book, run its pages, look after data and results.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Given = Annotated[
    list[str],
    typer.Option(
        "-p",
        metavar="NAME VALUE",
        help="A parameter; VALUE is YAML: 0.9, null, '[0.5, 0.7]'. Repeatable.",
    ),
]


@app.command()
def book(
    profile: Annotated[
        str, typer.Option(help="The book's parameters: a file of notebooks/profiles/.")
    ] = "default",
    jobs: Annotated[int, typer.Option(min=1, help="Pages executed at a time.")] = min(
        2, os.cpu_count() or 1
    ),
    only: Annotated[
        list[str], typer.Option(metavar="PAGE", help="Execute this page alone. Repeatable.")
    ] = [],  # noqa: B006
    given: Given = [],  # noqa: B006
    force: Annotated[
        bool, typer.Option("--force", help="Execute and build even what has not changed.")
    ] = False,
    html: Annotated[
        bool, typer.Option("--build/--no-build", help="Build the book after executing.")
    ] = True,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to build; default: build/.")
    ] = None,
) -> None:
    """Execute the pages that changed, and build the book.

    A page is executed again when its source, its parameters, the package or
    the libraries changed. With --only, the other pages stay as they were last executed on the
    profile; one that never was appears without results. A page gets of the
    given parameters those that it has.
    """
    from prunemia.book import parameters
    from prunemia.book.build import Book

    root = find_root()
    made = Book(root, (to or root / "build").resolve(), profile, say)
    made.make(only, parameters.parse(given), jobs=jobs, force=force, html=html)


@app.command()
def run(
    notebook: Annotated[
        str, typer.Argument(help="A page, as in attacks/conf, or a notebook's path.")
    ],
    output: Annotated[Path, typer.Argument(help="Where to write the executed notebook.")],
    given: Given = [],  # noqa: B006
) -> None:
    """Execute one notebook with other parameters.

    Names and values are checked before anything runs; where a cell fails,
    no output is written.
    """
    from prunemia.book import parameters

    page = find_page(notebook)
    values = parameters.check(page, parameters.parse(given))
    if output.is_dir() or output.resolve() == page.path.resolve():
        raise UsageError(
            f"{output}: is {'a folder' if output.is_dir() else 'the source'}; name another file to write"
        )
    started = time.monotonic()
    say(f"Executing {page.path} …")
    with own_kernel():
        execute(page.path, output, values, sys.stderr)
    say(f"Written in {time.monotonic() - started:.0f} s: {output}")


Where = Annotated[
    Path | None,
    typer.Option("--store", metavar="FOLDER", help="Default: $PRUNEMIA_STORE, or .prunemia/ here."),
]


@app.command()
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
        typer.Option("--plan", help="Say what there is to do and how long it takes; do nothing."),
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
    from prunemia.sweep import grid as grids

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
    from prunemia.lab.map import SweepError
    from prunemia.sweep import run as sweeps

    try:
        sweeps.run(asked, Lab(root, scheduler), None if plan else table, workers, say)
    except SweepError as error:
        raise RunError(str(error)) from error


data_app = typer.Typer(no_args_is_help=True, help="The data sets.")
app.add_typer(data_app, name="data")


@data_app.command("list")
def data_list() -> None:
    """List the data sets: size, license, source, checksum."""
    from prunemia.data import folders, sheets

    for name, sheet in sheets().iterrows():
        say(f"{name}: {sheet['about']}")
        say(
            f"    {sheet['rows']:,} rows of {sheet['features']}, {sheet['classes']} classes; {sheet['used for']}"
        )
        say(f"    {sheet['source']}; license: {sheet['license']}; {sheet['integrity']}")
    say(f"Downloads are looked up in, and go to: {', '.join(map(str, folders()))}")


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A data set of `prunemia data list`.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Default: $PRUNEMIA_DATA, else the cache.")
    ] = None,
) -> None:
    """Download a data set, verified."""
    from prunemia import data

    if name not in data.SOURCES:
        raise UsageError(f"{name}: there is no such data set; allowed: {', '.join(data.SOURCES)}")
    if to is not None:
        try:
            to.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--to {to}: cannot be written: {error.strerror}") from error
        os.environ["PRUNEMIA_DATA"] = str(to)
    try:
        files = data.fetch(name)
    except data.DataError as error:
        raise RunError(str(error)) from error
    if to is not None:
        files = [_copied(file, to) for file in files]
    say("\n".join(map(str, files)) if files else f"{name} needs no download")


def _copied(file: Path, folder: Path) -> Path:
    """Return the file in the folder, copied there where it was found elsewhere."""
    target = folder / file.name
    if not file.is_relative_to(folder):
        aside = target.with_name(f".{target.name}.partial")
        shutil.copyfile(file, aside)
        aside.replace(target)
        return target
    return file


store_app = typer.Typer(no_args_is_help=True, help="The results on disk.")
app.add_typer(store_app, name="store")


@store_app.command("list")
def store_list(where: Where = None) -> None:
    """List the results: stage, key, size, time."""
    store = open_store(where)
    total = count = 0
    for entry in store.entries():
        say(
            f"{entry.stage:<10} {entry.key}  {_size(entry.bytes):>9}  {entry.created:%Y-%m-%d %H:%M}"
        )
        total, count = total + entry.bytes, count + 1
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
            f"{len(problems)} problems in {store.root}; `prunemia store prune` removes them"
        )
    say(f"Every result is sound: {store.root}")


@store_app.command("prune")
def store_prune(
    where: Where = None,
    stage: Annotated[
        str | None, typer.Option(help="Also remove the results of this stage.")
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS", min=0, help="Also remove what is older; with --stage, of that."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and leave it.")
    ] = False,
) -> None:
    """Remove what is damaged or left over, or asked for."""
    store = open_store(where)
    gone = store.prune(stage=stage, older_than_days=older_than, dry_run=dry_run)
    for entry in gone:
        say(f"{entry.stage:<10} {entry.key}  {_size(entry.bytes):>9}  {entry.problem}".rstrip())
    freed = _size(sum(entry.bytes for entry in gone))
    say(
        f"{'Would remove' if dry_run else 'Removed'} {len(gone)} results, {freed}, from {store.root}"
    )


def open_store(where: Path | None) -> Store:
    """Return the store in a folder; None: where the pages keep theirs."""
    from prunemia.store import Store, default_root

    if where is not None and not where.is_dir():
        raise UsageError(f"--store {where}: there is no such folder")
    return Store(where or default_root())


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def pair_up(arguments: Sequence[str]) -> list[str]:
    """Join each ``-p NAME VALUE`` to ``-p NAME=VALUE``: typer has no repeatable option of two values."""
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        head = rest.pop(0)
        if head == "--":
            return [*joined, head, *rest]
        joined.append(head)
        if head == "-p" and rest:
            name = rest.pop(0)
            joined.append(f"{name}={rest.pop(0)}" if rest and "=" not in name else name)
    return joined


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what is refused ends in one sentence, not in a traceback."""
    try:
        app(pair_up(sys.argv[1:] if arguments is None else arguments), prog_name="prunemia")
    except UsageError as error:
        _end(error, 2)
    except KeyboardInterrupt:
        _end("stopped", 130)
    except (RunError, OSError) as error:
        _end(error, 1)


def _end(message: object, code: int) -> None:
    print(f"prunemia: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
