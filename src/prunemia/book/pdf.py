"""The whole book as one PDF: each built page printed by a browser, the prints joined."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from prunemia.book.pages import in_order
from prunemia.errors import RunError, UsageError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
JOINER = "pdfunite"
SECONDS = 120
"""How long a page may take to print."""


def print_book(root: Path, site: Path, out: Path, say: Callable[[str], None]) -> None:
    """Print every page of the built book, in its order, into one PDF.

    Parameters
    ----------
    root : the repository, whose table of contents gives the order.
    site : the folder of the built book, which holds index.html.
    out : the file to write; it is written whole or not at all.

    Raises
    ------
    UsageError
        There is no built book, or a program that prints or joins is missing.
    RunError
        A page could not be printed.
    """
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None or shutil.which(JOINER) is None:
        missing = JOINER if browser else "chromium"
        raise UsageError(
            f"pdf: {missing} is not installed; Debian's packages: chromium, poppler-utils"
        )
    pages = [site / f"{name}.html" for name in in_order(root)]
    if not all(page.is_file() for page in pages):
        raise UsageError(f"pdf: no whole book in {site}; build it first, with 'make book'")
    with tempfile.TemporaryDirectory() as folder:
        prints = []
        for number, page in enumerate(pages, start=1):
            say(f"{number} of {len(pages)}: {page.relative_to(site)}")
            prints.append(_printed(browser, page, Path(folder) / f"{number:03}.pdf"))
        joined = Path(folder) / "book.pdf"
        _run([JOINER, *map(str, prints), str(joined)], "the pages could not be joined")
        shutil.copy(joined, out.with_name(f".{out.name}.part"))
    out.with_name(f".{out.name}.part").replace(out)


def _printed(browser: str, page: Path, out: Path) -> Path:
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
        command += [f"--user-data-dir={profile}", "--virtual-time-budget=10000"]
        command += [f"--print-to-pdf={out}", page.resolve().as_uri()]
        _run(command, f"{page} could not be printed")
    if not out.is_file():
        raise RunError(f"{page} could not be printed: the browser wrote nothing")
    return out


def _run(command: list[str], failed: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise RunError(f"{failed} within {SECONDS} s") from error
    if done.returncode:
        raise RunError(f"{failed}: {done.stderr.strip()[-500:]}")
