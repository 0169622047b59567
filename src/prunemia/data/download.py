"""Published archives: looked up in the reader's folders, else downloaded; verified either way."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import filelock
import platformdirs

from prunemia.data.dataset import DataError
from prunemia.errors import RunError
from prunemia.files import atomic_write
from prunemia.registry import Archive


def folders() -> list[Path]:
    """Return where archives are looked up: $PRUNEMIA_DATA if set, then the user's cache."""
    chosen = os.environ.get("PRUNEMIA_DATA")
    cache = Path(platformdirs.user_cache_dir("prunemia")) / "data"
    return [Path(chosen).expanduser(), cache] if chosen else [cache]


def find(archive: Archive, progress: bool = True) -> Path:
    """Return the path of a verified copy; download it where there is none.

    A download goes to the first folder that can be written, under another name until it is complete
    and verified.

    Raises
    ------
    DataError
        The copy, or the download, is not what was published; the server or the disk failed. Nothing
        is left behind by a failed download; a copy of the reader's is left as it is.
    """
    for folder in folders():
        if (path := folder / archive.file).is_file():
            if wrong := _wrong(path, archive.checksum):
                raise DataError(
                    f"{path} cannot be used: {wrong}; remove it, and it is downloaded again"
                )
            return path
    if archive.installed and (system := Path(archive.installed, Path(archive.file).name)).is_file():
        return system
    target = _writable() / archive.file
    lock = target.with_name(f".{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock):
            try:
                if not target.is_file():
                    for killed in target.parent.glob(f".{target.name[:50]}.*.partial"):
                        killed.unlink()
                    with atomic_write(target) as aside:
                        _download(archive, aside, progress)
            finally:
                lock.unlink()  # who waits for it notices, and opens it anew
    except DataError:
        raise
    except (OSError, RunError) as error:
        free = shutil.disk_usage(target.parent).free if target.parent.is_dir() else 0
        raise DataError(f"{error} ({free:,} bytes are free)") from None
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


def _download(archive: Archive, path: Path, progress: bool) -> None:
    import pooch

    with _explained(archive):
        pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16)(archive.url, str(path), None)
    if wrong := _wrong(path, archive.checksum):
        raise DataError(f"{archive.url} was downloaded, but {wrong}; nothing was kept")


def _wrong(path: Path, checksum: str) -> str:
    """Return in what a file differs from what was published; "": in nothing."""
    algorithm, expected = checksum.split(":")
    start = b"blob %d\0" % path.stat().st_size  # of Git's own checksum
    with path.open("rb") as file:
        found = hashlib.file_digest(
            file,
            (lambda: hashlib.sha1(start, usedforsecurity=False))
            if algorithm == "gitblob"
            else algorithm,
        ).hexdigest()
    if found == expected:
        return ""
    return f"its {algorithm} checksum is {found}, not {expected} as published"


@contextlib.contextmanager
def _explained(archive: Archive) -> Iterator[None]:
    """Turn what a transfer raises into one sentence that says what else can be done."""
    import requests

    try:
        yield
        return
    except requests.HTTPError as error:
        answer: Any = error.response
        reason = f"the server answered {answer.status_code} {answer.reason}"
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
        reason = "the connection broke before the file was complete"
    except (requests.ConnectionError, requests.Timeout):
        reason = f"no connection to {urlsplit(archive.url).hostname}"
    except requests.RequestException as error:
        reason = str(error)
    raise DataError(
        f"{archive.url} cannot be downloaded: {reason}; "
        f"a copy of {Path(archive.file).name} in $PRUNEMIA_DATA is used as well"
    )
