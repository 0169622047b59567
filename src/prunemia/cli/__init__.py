"""`prunemia`: the command line.

Exit code 1: something failed while it ran; 2: what was asked for is refused; 3: an audit found
more than --fail-above or --require-below allows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from prunemia.cli.audit import audit
from prunemia.cli.data import data_app
from prunemia.cli.pages import book, pdf, run
from prunemia.cli.results import results
from prunemia.cli.store import store_app
from prunemia.cli.sweep import sweep
from prunemia.errors import RunError, UsageError

app = typer.Typer(
    help="Membership inference in pruned networks: build the book, run its pages, look after "
    "data and results.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (book, pdf, run, sweep, results, audit):
    app.command()(command)
app.add_typer(data_app, name="data")
app.add_typer(store_app, name="store")


def pair_up(arguments: Sequence[str]) -> list[str]:
    """Join each ``-p NAME VALUE`` to ``-p NAME=VALUE``.

    Typer has no repeatable option of two values.
    """
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
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        _end(f"{name}{error.strerror or error}", 1)


def _end(message: object, code: int) -> None:
    print(f"prunemia: {message}", file=sys.stderr)
    sys.exit(code)
