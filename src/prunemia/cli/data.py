"""`prunemia data list|fetch`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from prunemia.cli.options import say
from prunemia.errors import UsageError
from prunemia.files import atomic_write

data_app = typer.Typer(no_args_is_help=True, help="The data sets.")


@data_app.command("list")
def data_list() -> None:
    """List the data sets: size, license, source, checksum."""
    from prunemia.data import folders, sheets

    for name, sheet in sheets().iterrows():
        say(f"{name}: {sheet['about']}")
        say(
            f"    {sheet['rows']:,} samples of {sheet['features']}, {sheet['classes']} classes; "
            f"{sheet['used for']}"
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
    files = data.fetch(name)
    if to is not None:
        files = [_copied(file, to) for file in files]
    say("\n".join(map(str, files)) if files else f"{name} needs no download")


def _copied(file: Path, folder: Path) -> Path:
    """Return the file in the folder, copied there where it was found elsewhere."""
    target = folder / file.name
    if not file.is_relative_to(folder):
        with atomic_write(target) as aside:
            shutil.copyfile(file, aside)
        return target
    return file
