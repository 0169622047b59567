"""Results on disk: found by what they depend on, written whole or not at all, verified when read.

An artefact is a folder ``ROOT/STAGE/KEY[:2]/KEY`` of files and a manifest with their SHA-256. It is
filled in ``ROOT/.partial``, then renamed into place; ``ROOT/.locks`` has a lock file for each.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from prunemia.errors import RunError
from prunemia.files import pack_json, unpack_json

FORMAT = 1
MANIFEST = "manifest.json"
PARTIAL = ".partial"
LOCKS = ".locks"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{1,127}")


class StoreError(RunError):
    """The store's folder cannot be read or written; the text names it and says why."""


class DamagedArtefactWarning(UserWarning):
    """A stored artefact is incomplete or changed; it was removed and will be computed again."""


@dataclass(frozen=True)
class Entry:
    """One artefact: the size of its files, when it was put (UTC), and what is wrong with it."""

    stage: str
    key: str
    bytes: int
    created: datetime
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.stage}/{self.key}: {self.problem}"


@dataclass(frozen=True)
class Store:
    """A folder of artefacts, created when the first is put, for any number of processes.

    Stages and keys are two or more lower-case letters, digits, ``-``, ``_``, else a ValueError;
    every method raises a `StoreError` where the folder is full, read-only or not permitted.
    """

    root: Path

    def has(self, stage: str, key: str) -> bool:
        """Say whether the artefact exists; its contents are not read."""
        with self._explained(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            # `exists` says False, since Python 3.14, of what may not be looked at
            (self._folder(stage, key) / MANIFEST).stat()
            return True
        return False

    def get(self, stage: str, key: str) -> dict[str, bytes] | None:
        """Return the artefact's files by name, verified; None where it is not, or is damaged.

        Then it is removed, with a `DamagedArtefactWarning`, and the caller computes it anew.
        """
        folder = self._folder(stage, key)
        with self._explained(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            before = folder.stat().st_ino
            try:
                return _read(folder)
            except ValueError as damage:
                if folder.stat().st_ino == before:  # else another process has repaired it
                    self._discard(folder)
                    text = (
                        f"{stage}/{key} is damaged ({damage}); removed, it will be computed again"
                    )
                    warnings.warn(f"stored artefact {text}", DamagedArtefactWarning, stacklevel=2)
        return None

    def put(self, stage: str, key: str, files: Mapping[str, bytes], **note: Any) -> None:
        """Store the files, and a ``note`` for people; an artefact that exists stays as it is."""
        folder = self._folder(stage, key)
        parts = {n: {"bytes": len(data), "sha256": _digest(data)} for n, data in files.items()}
        body = {"format": FORMAT, "stage": stage, "key": key, "files": parts, "note": note}
        manifest = pack_json(body | {"sha256": _digest(pack_json(body))})
        with self._explained(f"{stage}/{key}"):
            self._sweep(PARTIAL)
            with self._aside() as aside:
                for name, data in {**files, MANIFEST: manifest}.items():
                    with (aside / name).open("wb") as file:
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())  # some say only now that the disk is full
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
        """Hold the artefact's lock, not reentrant; ``on_wait`` is called where another holds it."""
        self._folder(stage, key)  # refuses names that could leave the folder
        lock = filelock.FileLock(self.root / LOCKS / f"{stage}.{key}.lock")
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

    def entries(self) -> list[Entry]:
        """Return every artefact in order of stage and key; contents are not read."""
        with self._explained():
            return list(self._survey(read=False))

    def verify(self) -> list[Entry]:
        """Read everything; return what is damaged. Nothing is changed."""
        with self._explained():
            return [entry for entry in self._survey() if entry.problem]

    def clean(
        self, stage: str | None = None, older_than_days: float | None = None, dry_run: bool = False
    ) -> list[Entry]:
        """Remove, and return, what is damaged, and what stage and age (both, if given) select."""

        def selected(entry: Entry) -> bool:
            age = (datetime.now(UTC) - entry.created) / timedelta(days=1)
            asked = stage is not None or older_than_days is not None
            return asked and stage in (None, entry.stage) and age >= (older_than_days or 0)

        with self._explained():
            doomed = [entry for entry in self._survey() if entry.problem or selected(entry)]
            if not dry_run:
                for entry in doomed:
                    self._discard(self._folder(entry.stage, entry.key))
                self._sweep(LOCKS)
                self._sweep(PARTIAL)
        return doomed

    def _survey(self, read: bool = True) -> Iterator[Entry]:
        """Yield every artefact in order of stage and key, with its problem if all is ``read``."""
        prefixes = [prefix for stage in _folders(self.root) for prefix in _folders(stage)]
        found = [folder for prefix in prefixes for folder in _folders(prefix)]
        for folder in (each for each in found if each.name[:2] == each.parent.name):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                problem = ""
                try:
                    if read:
                        _read(folder)
                except ValueError as damage:
                    problem = str(damage)
                files = {file.name: file.stat() for file in folder.iterdir()}
                size = sum(status.st_size for status in files.values())
                written = files.get(MANIFEST, folder.stat()).st_mtime
                created = datetime.fromtimestamp(written, UTC)
                yield Entry(folder.parts[-3], folder.name, size, created, problem)

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
        """Remove lock files that nobody holds (who waits opens it anew), and what lies beside."""
        for lock in (self.root / name).glob("*.lock"):
            # An OSError: it is another user's.
            with contextlib.suppress(filelock.Timeout, OSError), filelock.FileLock(lock, timeout=0):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)

    def _folder(self, stage: str, key: str) -> Path:
        for name in (stage, key):
            if not _NAME.fullmatch(name):
                allowed = "two or more lower-case letters, digits, '-' or '_'"
                raise ValueError(f"name {name!r} is not allowed: {allowed}")
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


def _read(folder: Path) -> dict[str, bytes]:
    """Return the files by name, each verified; a ValueError says what is damaged."""
    files, name = {}, MANIFEST
    try:
        manifest = unpack_json((folder / MANIFEST).read_bytes())
        digest, key = manifest.pop("sha256"), manifest["key"]
        sound = digest == _digest(pack_json(manifest)) and manifest["format"] == FORMAT
        if not sound or folder.parts[-3:] != (manifest["stage"], key[:2], key):
            raise ValueError("another's, or changed")
        for name, record in manifest["files"].items():
            files[name] = (folder / name).read_bytes()
            if _digest(files[name]) != record["sha256"]:
                raise ValueError("changed")
    except FileNotFoundError:
        raise ValueError(f"{name} is missing") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{name} does not agree with its checksum") from None
    return files


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _folders(path: Path) -> list[Path]:
    """Return the folders in a folder that may be the store's."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(x for x in path.iterdir() if _NAME.fullmatch(x.name) and x.is_dir())
    return []


def default_root() -> Path:
    """Return $PRUNEMIA_STORE, else .prunemia of the repository around us, else the user's cache."""
    if named := os.environ.get("PRUNEMIA_STORE"):
        return Path(named).expanduser()
    root = repository()
    return root / ".prunemia" if root else Path(platformdirs.user_cache_dir("prunemia")) / "store"


def repository() -> Path | None:
    """Return the root of the book's repository around the current folder."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        project = folder / "pyproject.toml"
        if (folder / "_config.yml").is_file() and project.is_file():
            text = project.read_text(encoding="utf-8", errors="ignore")
            if 'name = "prunemia"' in text.splitlines():
                return folder
    return None
