"""Results on disk: found by what they depend on, written whole or not at all, verified when read.

An artefact is a folder ``ROOT/STAGE/KEY[:2]/KEY`` (`prunemia.store.artefact`). A
writer fills a folder aside, in ``ROOT/.partial``, and renames it into place: a
reader sees all of it or none, whenever the writer is killed. ``ROOT/.locks``
holds one lock file per artefact; the kernel frees the lock of a killed process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from prunemia.store import artefact, partial
from prunemia.store.errors import DamagedArtefactWarning, explained
from prunemia.store.partial import LOCKS
from prunemia.store.survey import (
    NAME,
    Entry,
    Place,
    Problem,
    artefacts,
    blocking,
    identity,
    obstacles,
    survey,
)

_DAY = 86400  # seconds


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
    # Holds an item once this object has looked for what killed writers left.
    _swept: list[bool] = field(default_factory=list, init=False, repr=False, compare=False)

    def require_usable(self) -> None:
        """Raise the `StoreError` that the first writer would meet; a store that can be used stays.

        Cheap, to be called once before a long computation: it creates a folder
        where writers create theirs, and removes it.
        """
        with explained(self.root):
            locks = partial.make_folder(self.root / LOCKS)
            if not os.access(locks, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(locks))
            with partial.aside(self.root):
                pass

    def has(self, stage: str, key: str) -> bool:
        """Say whether the artefact exists; its contents are not read."""
        with explained(self.root):
            return (self._folder(stage, key) / artefact.MANIFEST).is_file()

    def get(
        self, stage: str, key: str, only: Collection[str] | None = None
    ) -> dict[str, bytes] | None:
        """Return the artefact's files by name (``only``: these), verified; None where it is not.

        A damaged artefact is reported by a `DamagedArtefactWarning` and removed:
        None again, and the caller computes it anew.
        """
        folder = self._folder(stage, key)
        with explained(self.root):
            place = blocking(folder)
            before = identity(place)
            if before is None:
                return None
            try:
                return artefact.read(folder, only)
            except artefact.DamageError as damage:
                if identity(place) == before:  # else another process has removed or replaced it
                    partial.discard(self.root, place)
                    text = f"stored artefact {stage}/{key} is damaged ({damage}); "
                    text += "removed, it will be computed again"
                    warnings.warn(text, DamagedArtefactWarning, stacklevel=2)
                return None

    def put(
        self,
        stage: str,
        key: str,
        files: Mapping[str, bytes],
        note: Mapping[str, Any] | None = None,
    ) -> None:
        """Store the files whole or not at all; an artefact that exists stays as it is.

        ``note``: a JSON record for people and cost models; no part of the content.
        """
        folder = self._folder(stage, key)
        with explained(self.root):
            self._sweep_once()
            with partial.aside(self.root) as aside:
                artefact.fill(aside, stage, key, files, note or {})
                if not self.has(stage, key) and os.path.lexists(place := blocking(folder)):
                    partial.discard(self.root, place)
                _move(aside, folder)

    @contextlib.contextmanager
    def lock(
        self, stage: str, key: str, on_wait: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Hold the artefact's lock, so that nobody else computes it; not reentrant.

        ``on_wait`` is called once where another process or thread holds it.
        """
        lock = self._lock_file(stage, key)
        with explained(self.root):
            partial.make_folder(self.root / LOCKS)
            partial.clear_lock(Path(lock.lock_file))
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
        if not Path(lock.lock_file).is_file():
            return False
        with explained(self.root):
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                return True
        lock.release()
        return False

    def entries(self) -> Iterator[Entry]:
        """Yield every artefact in order of stage and key; contents are not read."""
        with explained(self.root):
            for place in artefacts(self.root):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    if artefact.is_folder(place.path):
                        yield place.entry()

    def verify(self) -> list[Problem]:
        """Read everything; return what is damaged or left over. Nothing is changed."""
        with explained(self.root):
            surveyed = [
                Problem(place.stage, place.key, problem)
                for place, problem in survey(self.root)
                if problem
            ]
            return [*obstacles(self.root), *surveyed]

    def clean(
        self,
        *,
        stage: str | None = None,
        older_than_days: float | None = None,
        dry_run: bool = False,
    ) -> list[Entry]:
        """Remove what is damaged or left over, and the artefacts that are selected; return these.

        With ``stage``, those of that stage; with ``older_than_days``, those put
        before; with both, those of which both is true. Free lock files are
        removed too, and not listed.
        """

        def selected(entry: Entry) -> bool:
            if stage is None and older_than_days is None:
                return False
            days = (datetime.now(UTC) - entry.created).total_seconds() / _DAY
            return stage in (None, entry.stage) and days >= (older_than_days or 0)

        doomed: list[tuple[Place, Entry]] = []
        with explained(self.root):
            for place, problem in survey(self.root):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    entry = place.entry(problem)
                    if problem or selected(entry):
                        doomed.append((place, entry))
            if not dry_run:
                self._remove([place for place, _ in doomed])
        return [entry for _, entry in doomed]

    prune = clean  # the name of earlier versions

    def _remove(self, places: list[Place]) -> None:
        for place in places:
            partial.discard(self.root, place.path)
        partial.sweep_locks(self.root)
        partial.sweep_writers_locks(self.root)

    def _sweep_once(self) -> None:
        """Remove what killed writers left, when this object writes for the first time."""
        if not self._swept:
            self._swept.append(True)
            partial.sweep_leftovers(self.root)

    def _lock_file(self, stage: str, key: str) -> filelock.BaseFileLock:
        self._folder(stage, key)  # refuses names that could leave the folder
        return filelock.FileLock(self.root / LOCKS / f"{stage}.{key}")

    def _folder(self, stage: str, key: str) -> Path:
        for name in (stage, key):
            if not NAME.fullmatch(name):
                raise ValueError(
                    f"name {name!r} is not allowed: "
                    "two or more lower-case letters, digits, '-' or '_'"
                )
        return self.root / stage / key[:2] / key


def _move(aside: Path, folder: Path) -> None:
    """Rename the folder into place; where another writer was first, leave that one's."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        aside.rename(folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    artefact.sync(folder.parent)
