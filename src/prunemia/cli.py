"""`prunemia`: the command line. Exit code 1: something failed while it ran; 2: what was asked for is refused."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from prunemia.pages import UsageError, find_page, find_root
from prunemia.runner import RunError, execute, own_kernel

app = typer.Typer(
    help="Membership inference in pruned networks: build the book, run its pages, look after data and results.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Given = Annotated[
    list[str],
    typer.Option("-p", metavar="NAME VALUE", help="A parameter; VALUE is YAML: 0.9, null, '[0.5, 0.7]'. Repeatable."),
]


@app.command()
def book(
    profile: Annotated[str, typer.Option(help="The book's parameters: a file of notebooks/profiles/.")] = "default",
    jobs: Annotated[int, typer.Option(min=1, help="Pages executed at a time.")] = min(2, os.cpu_count() or 1),
    only: Annotated[list[str], typer.Option(metavar="PAGE", help="Execute this page alone. Repeatable.")] = [],  # noqa: B006
    given: Given = [],  # noqa: B006
    force: Annotated[bool, typer.Option("--force", help="Execute and build even what has not changed.")] = False,
    html: Annotated[bool, typer.Option("--build/--no-build", help="Build the book after executing.")] = True,
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to build; default: build/.")] = None,
) -> None:
    """Execute the pages whose source, parameters or package changed, and build the book from them.

    With --only, the other pages stay as they were last executed on the
    profile; one that never was appears without results. A page gets of the
    given parameters those that it has.
    """
    from prunemia import parameters
    from prunemia.book import Book

    root = find_root()
    made = Book(root, (to or root / "build").resolve(), profile, say)
    made.make(only, parameters.parse(given), jobs=jobs, force=force, html=html)


@app.command()
def run(
    notebook: Annotated[str, typer.Argument(help="A page, as in attacks/conf, or a notebook's path.")],
    output: Annotated[Path, typer.Argument(help="Where to write the executed notebook.")],
    given: Given = [],  # noqa: B006
) -> None:
    """Execute one notebook with other parameters; names and values are checked first."""
    from prunemia import parameters

    page = find_page(notebook)
    values = parameters.check(page, parameters.parse(given))
    if output.is_dir() or output.resolve() == page.path.resolve():
        raise UsageError(f"{output}: is {'a folder' if output.is_dir() else 'the source'}; name another file to write")
    started = time.monotonic()
    say(f"Executing {page.path} …")
    with own_kernel():
        execute(page.path, output, values, sys.stderr)
    say(f"Written in {time.monotonic() - started:.0f} s: {output}")


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
    except RunError as error:
        _end(error, 1)


def _end(message: object, code: int) -> None:
    print(f"prunemia: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
