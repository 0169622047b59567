"""What lies in a store: its artefacts, what is damaged, and what killed writers left over."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prunemia.store import artefact
from prunemia.store.partial import LOCKS, PARTIAL, leftovers

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{1,127}")
_NO_FOLDER = "something else is in a folder's place"


@dataclass(frozen=True)
class Entry:
    """One artefact, or (with a ``problem``) something that is to be removed.

    bytes: size of its files; created: when it was put, UTC; note: what its writer said of it.
    """

    stage: str
    key: str
    bytes: int
    created: datetime
    note: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Problem:
    """What `Store.verify` reports: which artefact, or leftover, and what is wrong with it.

    key: "" where a whole stage is concerned; two characters where all keys are that start so.
    """

    stage: str
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.stage}/{self.key}" if self.key else self.stage
        return f"{place}: {self.message}"


@dataclass(frozen=True)
class Place:
    """A path in a store, and the stage and the key (or the start of it) that it belongs to."""

    path: Path
    stage: str
    key: str

    def entry(self, problem: str = "") -> Entry:
        """Return the size, the time and the note of what is at the path.

        Raises
        ------
        FileNotFoundError
            It has been removed meanwhile.
        """
        sizes = {}
        note: Mapping[str, Any] = {}
        if artefact.is_folder(self.path):
            sizes = {path.name: path.stat() for path in self.path.iterdir() if path.is_file()}
            with contextlib.suppress(artefact.DamageError):
                note = artefact.read_manifest(self.path)["note"]
        written = sizes.get(artefact.MANIFEST, self.path.lstat()).st_mtime
        created = datetime.fromtimestamp(written, UTC)
        total = sum(status.st_size for status in sizes.values())
        return Entry(self.stage, self.key, total, created, note, problem)


def artefacts(root: Path) -> Iterator[Place]:
    """Yield the place of every artefact, damaged or not, in order of stage and key."""
    for stage in _stages(root):
        paths = (path for prefix in _prefixes(stage) for path in _listed(prefix))
        for path in sorted(filter(_is_artefact, paths), key=lambda path: path.name):
            yield Place(path, stage.name, path.name)


def survey(root: Path) -> Iterator[tuple[Place, str]]:
    """Yield every artefact, read and checked, and every leftover, with its problem ("": none)."""
    for place in artefacts(root):
        yield place, artefact.damage(place.path)
    for stage in _stages(root):
        for prefix in _prefixes(stage):
            if not artefact.is_folder(prefix):
                yield Place(prefix, stage.name, prefix.name), _NO_FOLDER
    for path in leftovers(root):
        yield Place(path, PARTIAL, path.name), "left over from a killed writer"


def obstacles(root: Path) -> list[Problem]:
    """Return what is in the place of a stage's folder, or of a service folder.

    Its next use replaces it, `Store.clean` does not: it may be a person's file in a folder that is
    a store by mistake only.
    """
    paths = [*_stages(root), root / PARTIAL, root / LOCKS]
    blocked = [path for path in paths if os.path.lexists(path) and not artefact.is_folder(path)]
    return [Problem(path.name, "", f"{_NO_FOLDER}; its next use replaces it") for path in blocked]


def blocking(folder: Path) -> Path:
    """Return what blocks the way to an artefact's folder, else the folder itself."""
    for path in (folder.parent.parent, folder.parent):
        if os.path.lexists(path) and not artefact.is_folder(path):
            return path
    return folder


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells whether the same thing is at a path as before; None: nothing is."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns


def _stages(root: Path) -> list[Path]:
    return [path for path in _listed(root) if NAME.fullmatch(path.name)]


def _prefixes(stage: Path) -> list[Path]:
    return [path for path in _listed(stage) if len(path.name) == 2 and NAME.fullmatch(path.name)]


def _listed(folder: Path) -> list[Path]:
    """Return what is in a folder, nothing where none is.

    ``Path.glob`` is not used: a folder that may not be read would pass for an empty one.
    """
    if not artefact.is_folder(folder):
        return []
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:  # removed since the look at it
        return []


def _is_artefact(path: Path) -> bool:
    """Say whether a path is one where the store reads, or an artefact that was moved elsewhere."""
    fits = path.name.startswith(path.parent.name) and NAME.fullmatch(path.name)
    return bool(fits) or os.path.lexists(path / artefact.MANIFEST)
