"""Published archives: looked up in the reader's folders, else downloaded; verified either way."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import filelock
import platformdirs

from prunemia.data.dataset import DataError
from prunemia.registry import Archive


def folders() -> list[Path]:
    """Return where archives are looked up: $PRUNEMIA_DATA if set, then the user's cache."""
    chosen = os.environ.get("PRUNEMIA_DATA")
    cache = Path(platformdirs.user_cache_dir("prunemia")) / "data"
    return [Path(chosen).expanduser(), cache] if chosen else [cache]


def find(archive: Archive, progress: bool = True) -> Path:
    """Return the path of a verified copy; download it where there is none.

    A download goes to the first folder that can be written, under another name
    until it is complete and verified.

    Raises
    ------
    DataError
        The copy, or the download, is not what was published; the server or the
        disk failed. Nothing is left behind by a failed download; a copy of the
        reader's is left as it is.
    """
    for folder in folders():
        if (folder / archive.file).is_file():
            return _verified(folder / archive.file, archive)
    if archive.installed and (system := Path(archive.installed, Path(archive.file).name)).is_file():
        return system
    target = _writable() / archive.file
    with _explained_writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f".{target.name}.lock")
        with filelock.FileLock(lock):
            try:
                if not target.is_file():
                    _download(archive, target, progress)
            finally:
                lock.unlink()  # who waits for it notices, and opens it anew
    return target


def _writable() -> Path:
    for folder in folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    raise DataError(
        f"no data can be downloaded: {' and '.join(map(str, folders()))} cannot be written"
    )


def _download(archive: Archive, target: Path, progress: bool) -> None:
    # Whatever a killed download left under this name is overwritten.
    aside = target.with_name(f".{target.name}.partial")
    try:
        with _explained_network(archive):
            _transfer(archive.url, aside, progress)
        try:
            _check(aside, archive.checksum)
        except ValueError as error:
            raise DataError(
                f"{archive.url} was downloaded, but {error}; nothing was kept"
            ) from None
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _transfer(url: str, path: Path, progress: bool) -> None:
    import pooch

    pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16)(url, str(path), None)


def _verified(path: Path, archive: Archive) -> Path:
    try:
        _check(path, archive.checksum)
    except (ValueError, OSError) as error:
        raise DataError(
            f"{path} cannot be used: {error}; remove it, and it is downloaded again"
        ) from None
    return path


def _check(path: Path, checksum: str) -> None:
    """Raise ValueError where a file has not the published checksum; nothing else vouches for it."""
    algorithm, expected = checksum.split(":")
    digest = hashlib.new("sha1" if algorithm == "gitblob" else algorithm, usedforsecurity=False)
    if algorithm == "gitblob":
        digest.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != expected:
        raise ValueError(
            f"its {algorithm} checksum is {digest.hexdigest()}, not {expected} as published"
        )


@contextlib.contextmanager
def _explained_network(archive: Archive) -> Iterator[None]:
    import requests

    try:
        yield
    except requests.HTTPError as error:
        answer = error.response
        reason = (
            str(error)
            if answer is None
            else f"the server answered {answer.status_code} {answer.reason}"
        )
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
        reason = "the connection broke before the file was complete"
    except requests.Timeout:
        reason = f"{urlsplit(archive.url).hostname} does not answer"
    except requests.ConnectionError as error:
        broken = "Read timed out" in str(error) or "Connection broken" in str(error)
        reason = (
            "the connection broke"
            if broken
            else f"no connection to {urlsplit(archive.url).hostname}"
        )
    except requests.RequestException as error:
        reason = str(error)
    else:
        return
    name = Path(archive.file).name
    raise DataError(
        f"{archive.url} cannot be downloaded: {reason}; "
        f"a copy of {name} in $PRUNEMIA_DATA is used as well"
    )


@contextlib.contextmanager
def _explained_writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        free = shutil.disk_usage(folder).free if folder.is_dir() else 0
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error} ({free:,} bytes are free)"
        ) from None
