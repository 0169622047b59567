"""Results on disk: found by what they depend on, written whole or not at all, verified when read.

An artefact is a folder ``ROOT/STAGE/KEY[:2]/KEY`` (`prunemia.artefact`). A
writer fills a folder aside, in ``ROOT/.partial``, and renames it into place: a
reader sees all of it or none, whenever the writer is killed. ``ROOT/.locks``
holds one lock file an artefact; the kernel frees the lock of a killed process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tomllib
import uuid
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from prunemia.store import artefact

PARTIAL, LOCKS = ".partial", ".locks"
_PART = re.compile(r"[a-z0-9][a-z0-9_-]{1,127}")


class StoreError(OSError):
    """The store's folder cannot be read or written; the text names it and says why."""

    def __str__(self) -> str:
        return str(self.strerror)


class DamagedArtefactWarning(UserWarning):
    """A stored artefact is incomplete or changed; it was removed and will be computed again."""


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
    """What `Store.verify` found: which artefact, or leftover, and what is wrong with it."""

    stage: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.stage}/{self.key}: {self.message}"


@dataclass(frozen=True)
class Store:
    """A folder of artefacts, created when the first is put. Knows nothing of what they mean.

    Any number of processes may use one store, also over a network file system
    that supports ``flock``. A stage and a key are lower-case names of at least
    two characters: letters, digits, ``-``, ``_``.

    Raises
    ------
    StoreError
        From every method: the folder is full, read-only, or not permitted.
    ValueError
        From every method: a stage, key or file name that could leave the folder.
    """

    root: Path

    def has(self, stage: str, key: str) -> bool:
        """Say whether the artefact is there; its contents are not read."""
        with self._explained():
            return (self._folder(stage, key) / artefact.MANIFEST).is_file()

    def get(
        self, stage: str, key: str, only: Collection[str] | None = None
    ) -> dict[str, bytes] | None:
        """Return the artefact's files by name (None: all), each checksum verified; None where there is none.

        A damaged artefact is reported by a `DamagedArtefactWarning` and removed:
        None again, and the caller computes it anew.
        """
        folder = self._folder(stage, key)
        with self._explained():
            identity = _identity(folder)
            if identity is None:
                return None
            try:
                return artefact.read(folder, only)
            except artefact.DamageError as damage:
                if (
                    _identity(folder) == identity
                ):  # else: removed or replaced by another process meanwhile
                    self._discard(folder)
                    text = f"stored artefact {stage}/{key} is damaged ({damage}); removed, it will be computed again"
                    warnings.warn(text, DamagedArtefactWarning, stacklevel=2)
                return None

    def put(
        self,
        stage: str,
        key: str,
        files: Mapping[str, bytes],
        note: Mapping[str, Any] | None = None,
    ) -> None:
        """Store the files whole or not at all; an artefact that is there already stays as it is.

        ``note``: a JSON record for people and cost models; no part of the content.
        """
        folder = self._folder(stage, key)
        with self._explained(), self._aside() as aside:
            artefact.fill(aside, stage, key, files, note or {})
            if folder.exists() and not self.has(stage, key):
                self._discard(folder)
            _move(aside, folder)

    @contextlib.contextmanager
    def lock(
        self, stage: str, key: str, on_wait: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Hold the artefact's lock, so that nobody else computes it; not reentrant.

        ``on_wait`` is called once where another process or thread holds it.
        """
        lock = self._lock_file(stage, key)
        with self._explained():
            (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                if on_wait is not None:
                    on_wait()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def busy(self, stage: str, key: str) -> bool:
        """Return whether somebody holds the artefact's lock just now."""
        lock = self._lock_file(stage, key)
        if not Path(lock.lock_file).exists():
            return False
        with self._explained():
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                return True
        lock.release()
        return False

    def _lock_file(self, stage: str, key: str) -> filelock.BaseFileLock:
        self._folder(stage, key)  # refuses names that are none
        return filelock.FileLock(self.root / LOCKS / f"{stage}.{key}")

    def entries(self) -> Iterator[Entry]:
        """Yield every artefact in order of stage and key; contents are not read."""
        for folder in self._folders():
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                yield _entry(folder)

    def verify(self) -> list[Problem]:
        """Read everything; return what is damaged or left over. Nothing is changed."""
        with self._explained():
            return [
                Problem(_stage(folder), folder.name, text)
                for folder, text in self._surveyed()
                if text
            ]

    def prune(
        self,
        *,
        stage: str | None = None,
        older_than_days: float | None = None,
        dry_run: bool = False,
    ) -> list[Entry]:
        """Remove what is damaged, leftovers, free lock files, and the artefacts asked for; return these entries.

        With ``stage``, those of that stage; with ``older_than_days``, those put
        before; with both, those of which both is true. Lock files are not listed.
        """
        asked = stage is not None or older_than_days is not None
        before = datetime.now(UTC) - timedelta(days=older_than_days or 0)
        doomed: dict[Path, Entry] = {}
        with self._explained():
            for folder, problem in self._surveyed():
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    entry = _entry(folder, problem)
                    in_time = older_than_days is None or entry.created <= before
                    if problem or (asked and stage in (None, entry.stage) and in_time):
                        doomed[folder] = entry
            if not dry_run:
                for folder in doomed:
                    self._discard(folder)
                self._sweep_locks()
        return list(doomed.values())

    def _folder(self, stage: str, key: str) -> Path:
        for name in (stage, key):
            if not _PART.fullmatch(name):
                raise ValueError(
                    f"name {name!r} is not allowed: two or more lower-case letters, digits, '-' or '_'"
                )
        return self.root / stage / key[:2] / key

    def _folders(self) -> list[Path]:
        paths = sorted(
            self.root.glob("[a-z0-9]*/??/*"), key=lambda path: (path.parts[-3], path.name)
        )
        return [path for path in paths if path.is_dir()]

    def _surveyed(self) -> Iterator[tuple[Path, str]]:
        """Yield every artefact, read and checked, and every leftover, with what is wrong ("": nothing)."""
        for folder in self._folders():
            yield folder, artefact.damage(folder)
        for folder in sorted((self.root / PARTIAL).glob("*")):
            if folder.is_dir() and not _held(folder.with_name(f"{folder.name}.lock")):
                yield folder, "left over from a killed writer"

    def _sweep_locks(self) -> None:
        for path in [*(self.root / LOCKS).glob("*"), *(self.root / PARTIAL).glob("*.lock")]:
            with contextlib.suppress(filelock.Timeout), filelock.FileLock(path, timeout=0):
                path.unlink(missing_ok=True)  # who waits for it notices, and opens it anew

    @contextlib.contextmanager
    def _aside(self) -> Iterator[Path]:
        """Give an empty folder on the store's file system, locked while its writer lives."""
        folder = self.root / PARTIAL / uuid.uuid4().hex
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f"{folder.name}.lock")
        with filelock.FileLock(lock):
            try:
                folder.mkdir()
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def _discard(self, folder: Path) -> None:
        """Remove a folder: out of the way first, at once, then file by file."""
        aside = self.root / PARTIAL / uuid.uuid4().hex
        aside.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            raise StoreError(
                error.errno, f"the store {self.root} cannot be used: {error.strerror or error}"
            ) from error


def default_root(start: Path | None = None) -> Path:
    """Return the store's folder where none is named.

    $PRUNEMIA_STORE; else ``.prunemia`` at the root of the book's repository
    around ``start`` (None: the current folder); else the user's cache folder.
    """
    if named := os.environ.get("PRUNEMIA_STORE"):
        return Path(named).expanduser()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if _is_repository(folder):
            return folder / ".prunemia"
    return Path(platformdirs.user_cache_dir("prunemia")) / "store"


def _is_repository(folder: Path) -> bool:
    project = folder / "pyproject.toml"
    if not ((folder / "_config.yml").is_file() and project.is_file()):
        return False
    try:
        named = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("name")
    except (OSError, ValueError):
        return False
    return bool(named == "prunemia")


def _entry(folder: Path, problem: str = "") -> Entry:
    sizes = {path.name: path.stat() for path in folder.iterdir() if path.is_file()}
    created = sizes.get(artefact.MANIFEST, folder.stat()).st_mtime
    note: Mapping[str, Any] = {}
    with contextlib.suppress(artefact.DamageError):
        note = artefact.read_manifest(folder)["note"]
    total = sum(stat.st_size for stat in sizes.values())
    return Entry(
        _stage(folder), folder.name, total, datetime.fromtimestamp(created, UTC), note, problem
    )


def _stage(folder: Path) -> str:
    return PARTIAL if folder.parent.name == PARTIAL else folder.parent.parent.name


def _move(aside: Path, folder: Path) -> None:
    """Rename the folder into place; where another writer was first, leave that one's."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        aside.rename(folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    artefact.sync(folder.parent)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_mtime_ns


def _held(lock: Path) -> bool:
    if not lock.exists():
        return False
    try:
        with filelock.FileLock(lock, timeout=0):
            return False
    except filelock.Timeout:
        return True
