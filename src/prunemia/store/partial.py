"""The folder ``.partial`` of a store: where writers fill folders, and where removed ones go first.

A writer holds ``NAME.lock`` beside its folder ``NAME``. The kernel frees the lock of a killed
process, so a folder whose lock nobody holds is left over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import filelock

from prunemia.store import artefact

PARTIAL = ".partial"
LOCKS = ".locks"


@contextlib.contextmanager
def aside(root: Path) -> Iterator[Path]:
    """Give an empty folder on the store's file system, locked while its writer lives."""
    folder = make_folder(root / PARTIAL) / uuid.uuid4().hex
    lock = _lock_of(folder)
    with filelock.FileLock(lock):  # before the folder exists: nobody sees it without its lock
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)


def discard(root: Path, path: Path) -> None:
    """Remove whatever is at a path: out of the way first, at once, then file by file."""
    out_of_the_way = make_folder(root / PARTIAL) / uuid.uuid4().hex
    with contextlib.suppress(FileNotFoundError):
        path.rename(out_of_the_way)
        _remove(out_of_the_way)


def make_folder(path: Path) -> Path:
    """Return one of the store's service folders; create it, if need be in place of a file."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        path.unlink(missing_ok=True)
        path.mkdir(exist_ok=True)
    return path


def leftovers(root: Path) -> list[Path]:
    """Return what killed writers have left in ``.partial``: everything whose lock nobody holds."""
    paths = _swept(root / PARTIAL)
    return [path for path in paths if path.suffix != ".lock" and not _held(_lock_of(path))]


def sweep_leftovers(root: Path) -> None:
    """Remove what killed writers have left; what cannot be removed (another user's) stays."""
    with contextlib.suppress(OSError):
        for path in leftovers(root):
            _remove(path)
        sweep_writers_locks(root)


def sweep_writers_locks(root: Path) -> None:
    """Remove the locks of killed writers; as `sweep_locks`."""
    for path in _swept(root / PARTIAL):
        if path.suffix == ".lock":
            _sweep_lock(path)


def sweep_locks(root: Path) -> None:
    """Remove the lock files that nobody holds; who waits for one notices, and opens it anew."""
    for path in _swept(root / LOCKS):
        _sweep_lock(path)


def _sweep_lock(path: Path) -> None:
    with contextlib.suppress(filelock.Timeout):
        clear_lock(path)
        with filelock.FileLock(path, timeout=0):
            path.unlink(missing_ok=True)


def clear_lock(path: Path) -> None:
    """Remove what is in a lock file's place and cannot be one: a folder, a link, a socket."""
    if os.path.lexists(path) and not _is_lock(path):
        _remove(path)


def _swept(folder: Path) -> list[Path]:
    """Return what a sweep of a service folder looks at; nothing where the folder is a link.

    A link may lead to a person's folder: whatever is there would pass for a killed writer's.
    """
    return [] if folder.is_symlink() else sorted(folder.glob("*"))


def _is_lock(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:  # released since the look at it
        return False


def _remove(path: Path) -> None:
    if artefact.is_folder(path) and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _held(lock: Path) -> bool:
    """Say whether somebody holds a lock; of one that may not be opened nobody can know: yes."""
    if not _is_lock(lock):
        return False
    try:
        with filelock.FileLock(lock, timeout=0):
            return False
    except (filelock.Timeout, PermissionError):
        return True
