"""Results on disk: found by what they depend on, written whole or not at all, verified when read.

An artefact is a folder ``ROOT/STAGE/KEY[:2]/KEY`` of files and a manifest with the size and SHA-256
of each. A writer fills a folder aside, in ``ROOT/.partial``, and renames it into place: a reader
sees all of it or none, whenever the writer is killed. ``ROOT/.locks`` holds one lock file per
artefact; the kernel frees the lock of a killed process.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import uuid
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from prunemia.errors import RunError
from prunemia.files import pack_json, unpack_json

__all__ = [
    "DamagedArtefactWarning",
    "Entry",
    "Store",
    "StoreError",
    "default_root",
    "repository",
]

FORMAT = 1
MANIFEST = "manifest.json"
PARTIAL = ".partial"
LOCKS = ".locks"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{1,127}")
_DAY = 86400  # seconds


class StoreError(RunError):
    """The store's folder cannot be read or written; the text names it and says why."""


class DamagedArtefactWarning(UserWarning):
    """A stored artefact is incomplete or changed; it was removed and will be computed again."""


class _DamageError(Exception):
    """An artefact is not what its manifest says; the text says where."""


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

    def __str__(self) -> str:
        return f"{self.stage}/{self.key}: {self.problem}"


@dataclass(frozen=True)
class Store:
    """A folder of artefacts, created when the first is put. Knows nothing of what they mean.

    Any number of processes may use one store, also over a network file system that supports
    ``flock``. A stage and a key are lower-case names of at least two characters: letters, digits,
    ``-``, ``_``.

    Raises
    ------
    StoreError
        From every method: the folder is full, read-only, or not permitted.
    ValueError
        From every method: a stage or key that could leave the folder.
    """

    root: Path

    def require_usable(self) -> None:
        """Raise the `StoreError` that the first writer would meet; a store that can be used stays.

        Cheap, to be called once before a long computation: it creates a folder where writers create
        theirs, and removes it.
        """
        with self._explained(), self.lock("usable", "probe"), self._aside():
            pass

    def has(self, stage: str, key: str) -> bool:
        """Say whether the artefact exists; its contents are not read."""
        with self._explained():
            return _exists(self._folder(stage, key) / MANIFEST)

    def get(
        self, stage: str, key: str, only: Collection[str] | None = None
    ) -> dict[str, bytes] | None:
        """Return the artefact's files by name (``only``: these), verified; None where it is not.

        A damaged artefact is reported by a `DamagedArtefactWarning` and removed: None again, and
        the caller computes it anew.
        """
        folder = self._folder(stage, key)
        with self._explained():
            try:
                before = folder.stat().st_ino
            except (FileNotFoundError, NotADirectoryError):
                return None
            try:
                return _read(folder, only)
            except _DamageError as damage:
                with contextlib.suppress(FileNotFoundError):
                    if folder.stat().st_ino == before:  # else another process has repaired it
                        self._discard(folder)
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

        ``note``: a JSON record for people; no part of the content.
        """
        folder = self._folder(stage, key)
        with self._explained(f"{stage}/{key}"):
            self._sweep(PARTIAL)
            with self._aside() as aside:
                _fill(aside, stage, key, files, note or {})
                if not self.has(stage, key):
                    self._discard(folder)  # what a person has left of it
                folder.parent.mkdir(parents=True, exist_ok=True)
                try:
                    aside.rename(folder)
                except OSError as error:  # another writer was first: its result stays
                    if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                        raise

    @contextlib.contextmanager
    def lock(
        self, stage: str, key: str, on_wait: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Hold the artefact's lock, so that nobody else computes it; not reentrant.

        ``on_wait`` is called once where another process or thread holds it.
        """
        lock = filelock.FileLock(self._lock_file(stage, key))
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
        with self._explained():
            return _held(self._lock_file(stage, key))

    def entries(self) -> Iterator[Entry]:
        """Yield every artefact in order of stage and key; contents are not read."""
        with self._explained():
            for path in self._artefacts():
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    yield _entry(path)

    def verify(self) -> list[Entry]:
        """Read everything; return what is damaged or left over. Nothing is changed."""
        with self._explained():
            return [entry for _, entry in self._survey() if entry.problem]

    def clean(
        self,
        *,
        stage: str | None = None,
        older_than_days: float | None = None,
        dry_run: bool = False,
    ) -> list[Entry]:
        """Remove what is damaged or left over, and the artefacts that are selected; return these.

        With ``stage``, those of that stage; with ``older_than_days``, those put before; with both,
        those of which both is true. Free lock files are removed too, and not listed.
        """

        def selected(entry: Entry) -> bool:
            if stage is None and older_than_days is None:
                return False
            days = (datetime.now(UTC) - entry.created).total_seconds() / _DAY
            return stage in (None, entry.stage) and days >= (older_than_days or 0)

        with self._explained():
            doomed = [pair for pair in self._survey() if pair[1].problem or selected(pair[1])]
            if not dry_run:
                for path, _ in doomed:
                    self._discard(path)
                self._sweep(LOCKS)
                self._sweep(PARTIAL)
        return [entry for _, entry in doomed]

    def _survey(self) -> Iterator[tuple[Path, Entry]]:
        """Yield every artefact, read and checked, and every leftover, with its problem."""
        for path in self._artefacts():
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                yield path, _entry(path, _damage(path))
        for lock in sorted((self.root / PARTIAL).glob("*.lock")):
            with contextlib.suppress(FileNotFoundError):
                if not _held(lock):
                    path = lock.with_suffix("")
                    yield path, _entry(path, "left over from a killed writer")

    def _artefacts(self) -> Iterator[Path]:
        """Yield the folder of every artefact, damaged or not, in order of stage and key."""
        for stage in _folders(self.root):
            paths = [path for prefix in _folders(stage) for path in _folders(prefix)]
            yield from (path for path in paths if path.name[:2] == path.parent.name)

    @contextlib.contextmanager
    def _aside(self) -> Iterator[Path]:
        """Give an empty folder on the store's file system, locked while its writer lives."""
        folder = self.root / PARTIAL / uuid.uuid4().hex
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_suffix(".lock")
        with filelock.FileLock(lock):  # before the folder exists: nobody sees it without its lock
            try:
                folder.mkdir()
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def _discard(self, path: Path) -> None:
        """Remove a folder: out of the way first, at once, then file by file."""
        with self._aside() as aside, contextlib.suppress(FileNotFoundError):
            path.rename(aside / path.name)

    def _sweep(self, name: str) -> None:
        """Remove the lock files that nobody holds, and what killed writers have left beside them.

        Who waits for a lock file that is removed notices, and opens it anew.
        """
        for lock in (self.root / name).glob("*.lock"):
            # An OSError: it is another user's.
            with contextlib.suppress(filelock.Timeout, OSError), filelock.FileLock(lock, timeout=0):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)

    def _lock_file(self, stage: str, key: str) -> Path:
        self._folder(stage, key)  # refuses names that could leave the folder
        return self.root / LOCKS / f"{stage}.{key}.lock"

    def _folder(self, stage: str, key: str) -> Path:
        for name in (stage, key):
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"name {name!r} is not allowed: "
                    "two or more lower-case letters, digits, '-' or '_'"
                )
        return self.root / stage / key[:2] / key

    @contextlib.contextmanager
    def _explained(self, what: str = "") -> Iterator[None]:
        """Turn the system's errors into one sentence: the store, the reason, the artefact."""
        try:
            yield
        except OSError as error:
            where = what or error.filename or ""
            reason = f"{error.strerror or error}{where and ': '}{where}"
            raise StoreError(f"the store {self.root} cannot be used: {reason}") from error


def _fill(
    folder: Path, stage: str, key: str, files: Mapping[str, bytes], note: Mapping[str, Any]
) -> None:
    """Write files and manifest into an empty folder."""
    records = {name: {"bytes": len(data), "sha256": _digest(data)} for name, data in files.items()}
    body = {"format": FORMAT, "stage": stage, "key": key, "files": records, "note": dict(note)}
    manifest = pack_json(body | {"sha256": _digest(pack_json(body))})
    for name, data in {**files, MANIFEST: manifest}.items():
        with (folder / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # some file systems say only now that the disk is full


def _read(folder: Path, only: Collection[str] | None = None) -> dict[str, bytes]:
    """Return the files by name (None: all), each verified; else a `_DamageError`."""
    files = {}
    for name, record in _manifest(folder)["files"].items():
        if only is None or name in only:
            files[name] = _bytes(folder / name)
            if len(files[name]) != record["bytes"] or _digest(files[name]) != record["sha256"]:
                raise _DamageError(f"{name} does not agree with its checksum")
    return files


def _manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder, verified against its checksum and its place."""
    data = _bytes(folder / MANIFEST)
    try:
        manifest: dict[str, Any] = unpack_json(data)
        digest = manifest.pop("sha256")
        written_to = Path(manifest["stage"], manifest["key"][:2], manifest["key"])
        agrees = digest == _digest(pack_json(manifest)) and folder.parts[-3:] == written_to.parts
    except (ValueError, TypeError, KeyError, AttributeError):
        agrees = False
    if not agrees:
        raise _DamageError(f"{MANIFEST} does not agree with its checksum or its place")
    if manifest["format"] != FORMAT:
        raise _DamageError(f"{MANIFEST} has format {manifest['format']}, not {FORMAT}")
    return manifest


def _damage(folder: Path) -> str:
    """Return what is wrong with an artefact, "" where nothing is."""
    try:
        _read(folder)
    except _DamageError as error:
        return str(error)
    return ""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _DamageError(f"{path.name} is missing") from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _entry(path: Path, problem: str = "") -> Entry:
    note: Mapping[str, Any] = {}
    with contextlib.suppress(_DamageError):
        note = _manifest(path)["note"]
    files = {file.name: file.stat() for file in path.iterdir()}
    created = datetime.fromtimestamp(files.get(MANIFEST, path.stat()).st_mtime, UTC)
    size = sum(status.st_size for status in files.values())
    stage = PARTIAL if path.parent.name == PARTIAL else path.parent.parent.name
    return Entry(stage, path.name, size, created, note, problem)


def _exists(path: Path) -> bool:
    """Say whether something is there; what may not be looked at raises, and is not taken for none.

    (`Path.exists` says False since Python 3.14, and what is none gets replaced.)
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _folders(path: Path) -> list[Path]:
    """Return the folders in a folder that may be the store's; nothing where none is."""
    if not _exists(path):
        return []
    return sorted(p for p in path.iterdir() if _NAME.fullmatch(p.name) and p.is_dir())


def _held(lock: Path) -> bool:
    """Say whether somebody holds a lock; of one that may not be opened nobody can know: yes."""
    if not lock.is_file():
        return False
    try:
        with filelock.FileLock(lock, timeout=0):
            return False
    except (filelock.Timeout, PermissionError):
        return True


def default_root(start: Path | None = None) -> Path:
    """Return the store's folder where none is named.

    $PRUNEMIA_STORE; else ``.prunemia`` at the root of the book's repository around ``start`` (None:
    the current folder); else the user's cache folder.
    """
    if named := os.environ.get("PRUNEMIA_STORE"):
        return Path(named).expanduser()
    if root := repository(start):
        return root / ".prunemia"
    return Path(platformdirs.user_cache_dir("prunemia")) / "store"


def repository(start: Path | None = None) -> Path | None:
    """Return the root of the book's repository around ``start`` (None: the current folder)."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        project = folder / "pyproject.toml"
        if not ((folder / "_config.yml").is_file() and project.is_file()):
            continue
        text = project.read_text(encoding="utf-8", errors="ignore")
        if 'name = "prunemia"' in text.splitlines():
            return folder
    return None
