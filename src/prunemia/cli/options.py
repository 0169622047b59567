"""What several commands share: their options, and how they speak."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prunemia.errors import UsageError

if TYPE_CHECKING:
    from prunemia.store import Store

Given = Annotated[
    list[str],
    typer.Option(
        "-p",
        metavar="NAME VALUE",
        help="A parameter; VALUE is YAML: 0.9, null, '[0.5, 0.7]'. Repeatable.",
    ),
]
Where = Annotated[
    Path | None,
    typer.Option("--store", metavar="FOLDER", help="Default: $PRUNEMIA_STORE, or .prunemia/ here."),
]


def open_store(where: Path | None) -> Store:
    """Return the store in a folder; None: where the pages keep theirs."""
    from prunemia.store import Store, default_root

    try:
        if where is not None and not where.is_dir():
            raise UsageError(f"--store {where}: there is no such folder")
    except OSError as error:
        raise UsageError(f"--store {where}: {error.strerror}") from error
    return Store(where or default_root())


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)
