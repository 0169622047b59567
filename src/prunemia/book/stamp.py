"""What an executed page was made from: where its stamp differs, it is executed again."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prunemia.book.execute import Task

PACKAGE = Path(__file__).parents[1]
NOT_SEEN_BY_PAGES = re.compile(
    r"cli/.*|book/(ahead|annotations|appendix|build|carry_out|citations|docstrings|execute|files|html"
    r"|kernel|needs|pages|parallel|parameters|pdf|progress|readable|sphinx|stamp|warm)\.py"
)
"""Files that no page imports, by their paths in the package. Whatever else it holds counts."""


SOURCES = ("py", "html", "css")
"""What a source's name ends in: code, and the templates that it fills."""


def stamp_of(task: Task, root: Path) -> dict[str, Any]:
    """Return all that an executed page depends on, by kind."""
    arrays = [value for value in task.parameters.values() if str(value).endswith(".npz")]
    return {
        "notebook": digest([task.notebook], task.notebook.parent),
        "parameters": dict(task.parameters),
        "data": [digest([Path(file)], Path(file).parent) for file in arrays],
        "results": digest(sorted(root.glob("results/*.csv")), root),
        "package": digest(package_files(seen_by_a_page), PACKAGE),
        "versions": versions(root),
    }


def stamp_path(output: Path) -> Path:
    """Return where it is noted what an executed page was made from."""
    return output.with_suffix(".json")


def changed(output: Path, stamp: Mapping[str, Any]) -> str:
    """Say why a page is to be executed (again); "" if it is not."""
    if not output.is_file():
        return "not executed yet"
    try:
        before = json.loads(stamp_path(output).read_text(encoding="utf-8"))
        different = [name for name in stamp if before.get(name) != stamp[name]]
    except (OSError, ValueError, AttributeError, RecursionError):
        return "not executed completely"
    return f"changed: {', '.join(different)}" if different else ""


def seen_by_a_page(path: str) -> bool:
    """Say whether a page can import a file of the package, named by its path inside it."""
    return not NOT_SEEN_BY_PAGES.fullmatch(path)


def package_files(wanted: Callable[[str], bool] = lambda _: True) -> list[Path]:
    """Return the package's sources, templates included, whose path inside it is wanted."""
    files = sorted(file for kind in SOURCES for file in PACKAGE.rglob(f"*.{kind}"))
    return [file for file in files if wanted(file.relative_to(PACKAGE).as_posix())]


def digest(files: Iterable[Path], folder: Path) -> str:
    """Hash files with their names inside the folder."""
    total = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return total.hexdigest()


def versions(root: Path) -> dict[str, str]:
    """Return the versions of Python and of what requirements.txt lists."""
    installed = {"python": sys.version.split()[0]}
    listing = root / "requirements.txt"
    for line in listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else ():
        if name := re.match(r"[A-Za-z0-9][\w.-]*", line):
            try:
                installed[name[0]] = version(name[0])
            except PackageNotFoundError:
                installed[name[0]] = "none"
    return installed
