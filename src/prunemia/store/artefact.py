"""One stored artefact: a folder of files and a manifest with the size and SHA-256 of each."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from prunemia.store.serialize import pack_json, unpack_json

FORMAT = 1
MANIFEST = "manifest.json"
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class DamageError(Exception):
    """An artefact is not what its manifest says; the text says where."""


def fill(
    folder: Path, stage: str, key: str, files: Mapping[str, bytes], note: Mapping[str, Any]
) -> None:
    """Write files and manifest into an empty folder, and wait until they are on the disk.

    Raises
    ------
    ValueError
        A file name could leave the folder, or is the manifest's.
    OSError
        A file could not be written; its ``filename`` is ``STAGE/KEY/NAME``.
    """
    for name in files:
        if not _FILE.fullmatch(name) or name == MANIFEST:
            raise ValueError(f"file name {name!r} is not allowed")
    records = {name: {"bytes": len(data), "sha256": _digest(data)} for name, data in files.items()}
    body = {"format": FORMAT, "stage": stage, "key": key, "files": records, "note": dict(note)}
    manifest = pack_json(body | {"sha256": _digest(pack_json(body))})
    for name, data in {**files, MANIFEST: manifest}.items():
        try:
            _write(folder / name, data)
        except OSError as error:  # the folder's temporary name would tell a reader nothing
            raise OSError(error.errno, error.strerror, f"{stage}/{key}/{name}") from error
    sync(folder)


def sync(folder: Path) -> None:
    """Wait until the folder's list of names is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of ``STAGE/KEY[:2]/KEY``, verified against its checksum and its place."""
    if not is_folder(folder):
        raise DamageError("something else is in its folder's place")
    data = _read(folder / MANIFEST)
    place = (folder.parent.parent.name, folder.parent.name, folder.name)
    try:
        manifest: dict[str, Any] = unpack_json(data)
        digest = manifest.pop("sha256")
        key = manifest["key"]
        written_to = (manifest["stage"], key[:2], key)
        agrees = digest == _digest(pack_json(manifest)) and written_to == place
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        agrees = False
    if not agrees:
        raise DamageError(f"{MANIFEST} does not agree with its checksum or its place")
    if manifest["format"] != FORMAT:
        raise DamageError(f"{MANIFEST} has format {manifest['format']}, not {FORMAT}")
    return manifest


def read(folder: Path, only: Collection[str] | None = None) -> dict[str, bytes]:
    """Return the artefact's files by name (None: all), each verified.

    Raises
    ------
    DamageError
        A file is missing, or differs from what was written.
    """
    files = {}
    for name, record in read_manifest(folder)["files"].items():
        if only is not None and name not in only:
            continue
        files[name] = _read(folder / name)
        if len(files[name]) != record["bytes"] or _digest(files[name]) != record["sha256"]:
            raise DamageError(f"{name} does not agree with its checksum")
    return files


def damage(folder: Path) -> str:
    """Return what is wrong with an artefact, "" where nothing is."""
    try:
        read(folder)
    except DamageError as error:
        return str(error)
    return ""


def is_folder(path: Path) -> bool:
    """Say whether a path leads to a folder; a symlink loop does not, and raises nothing.

    ``Path.is_dir`` is not used: since Python 3.14 it calls a folder that may not
    be looked at none, and what is none gets replaced.
    """
    return _type(path) == stat.S_IFDIR


def _type(path: Path) -> int:
    """Return the type bits of what a path leads to, 0 where it leads nowhere."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return 0


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    if not os.path.lexists(path):
        raise DamageError(f"{path.name} is missing")
    if _type(path) != stat.S_IFREG:  # not only folders: reading a pipe would wait for ever
        raise DamageError(f"{path.name} is not a file")
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):  # removed since the look at it
        raise DamageError(f"{path.name} is missing") from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
