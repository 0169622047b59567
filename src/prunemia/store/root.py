"""Where the store is when nobody names it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import platformdirs


def default_root(start: Path | None = None) -> Path:
    """Return the store's folder where none is named.

    $PRUNEMIA_STORE; else ``.prunemia`` at the root of the book's repository
    around ``start`` (None: the current folder); else the user's cache folder.
    """
    if named := os.environ.get("PRUNEMIA_STORE"):
        return Path(named).expanduser()
    if root := repository(start):
        return root / ".prunemia"
    return Path(platformdirs.user_cache_dir("prunemia")) / "store"


def repository(start: Path | None = None) -> Path | None:
    """Return the root of the book's repository around ``start`` (None: the current folder)."""
    here = (start or Path.cwd()).resolve()
    return next((folder for folder in (here, *here.parents) if _is_repository(folder)), None)


def _is_repository(folder: Path) -> bool:
    project = folder / "pyproject.toml"
    if not ((folder / "_config.yml").is_file() and project.is_file()):
        return False
    try:
        content = tomllib.loads(project.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(content.get("project", {}).get("name") == "prunemia")
