"""`prunemia book`, `prunemia pdf` and `prunemia run`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from prunemia.book.pages import Page, find_page, find_root, parse
from prunemia.cli.options import Given, say
from prunemia.errors import UsageError
from prunemia.files import require_file, require_folder, write_text


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
    profile; one that never was appears without results. Each page
    uses the given parameters that it has.
    """
    from prunemia.book.build import Book

    root = find_root()
    whole = Book(root, (to or root / "build").resolve(), profile, say)
    whole.make(only, parse(given), jobs=jobs, force=force, html=html)


def pdf(
    out: Annotated[
        Path | None, typer.Argument(help="The file to write; default: build/book.pdf.")
    ] = None,
) -> None:
    """Print the built book as one PDF.

    Needs a browser (chromium) and pdfunite (poppler-utils), and a book that `prunemia book` built.
    """
    from prunemia.book.pdf import print_book

    root = find_root()
    target = (out or root / "build" / "book.pdf").resolve()
    if target.suffix != ".pdf" or not target.parent.is_dir():
        raise UsageError(f"{target}: allowed: a name that ends in .pdf, in a folder that exists")
    print_book(root, root / "build" / "_build" / "html", target, say)
    say(f"The book: {target.as_uri()}")


def run(
    notebook: Annotated[
        str, typer.Argument(help="A page, as in attacks/conf, or a notebook's path.")
    ],
    output: Annotated[Path, typer.Argument(help="Where to write the executed notebook.")],
    given: Given = [],  # noqa: B006
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write a page for any browser; it needs no network."
        ),
    ] = None,
) -> None:
    """Execute one notebook with other parameters, and print its answer.

    Names and values are checked before anything runs; where a cell fails, no output is written.
    """
    from prunemia.book import run as running
    from prunemia.store import default_root

    page = find_page(notebook)
    values = page.check(parse(given))
    outputs = _outputs(page, output, html)
    require_folder(default_root(), f"the store {default_root()}")
    started = time.monotonic()
    say(f"Executing {page.path} …")
    result = running.execute(page.path, values, sys.stderr)
    running.write_notebook(output, result)
    if html is not None:
        write_text(html, running.standalone(result, page.path))
    written = " and ".join(map(str, outputs))
    say(f"Written in {time.monotonic() - started:.0f} s: {written}")
    if text := running.answer_of(result):
        say(f"\n{text}")


def _outputs(page: Page, output: Path, html: Path | None) -> list[Path]:
    """Return the files to write; refused where one cannot be, or would replace another."""
    outputs = [output] if html is None else [output, html]
    for path, option in zip(outputs, ("", "--html"), strict=False):
        require_file(path, option)
        if path.resolve() == page.path.resolve():
            raise UsageError(f"{path}: is the source; name another file to write")
    if html is not None and html.resolve() == output.resolve():
        raise UsageError(f"--html {html}: is the executed notebook's name; name another file")
    return outputs
