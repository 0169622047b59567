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
from prunemia.kinds import Archive


def folders() -> list[Path]:
    """Return where archives are looked up: $PRUNEMIA_DATA where set, then the user's cache folder."""
    named = os.environ.get("PRUNEMIA_DATA")
    cache = Path(platformdirs.user_cache_dir("prunemia")) / "data"
    return [Path(named).expanduser(), cache] if named else [cache]


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
    aside = target.with_name(
        f".{target.name}.partial"
    )  # whatever a killed download left is overwritten
    try:
        with _explained_network(archive):
            _transfer(archive.url, aside, progress)
        try:
            digest = _check(aside, archive.checksum)
        except ValueError as error:
            raise DataError(
                f"{archive.url} was downloaded, but {error}; nothing was kept"
            ) from None
        aside.replace(target)
        _record(target, archive, digest)
    finally:
        aside.unlink(missing_ok=True)


def _transfer(url: str, path: Path, progress: bool) -> None:
    import pooch

    pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16)(url, str(path), None)


def _verified(path: Path, archive: Archive) -> Path:
    recorded = _beside(path)
    try:
        if archive.checksum.startswith("gitblob:") and recorded.is_file():
            _check(path, f"sha256:{recorded.read_text(encoding='utf-8').split()[0]}")
        else:
            _record(path, archive, _check(path, archive.checksum))
    except (ValueError, IndexError, OSError) as error:
        raise DataError(
            f"{path} cannot be used: {error}; remove it, and it is downloaded again"
        ) from None
    return path


def _check(path: Path, checksum: str) -> str:
    """Return the file's SHA-256; raise ValueError where the checksum differs."""
    algorithm, expected = checksum.split(":")
    published = hashlib.new("sha1" if algorithm == "gitblob" else algorithm, usedforsecurity=False)
    if algorithm == "gitblob":
        published.update(b"blob %d\0" % path.stat().st_size)
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            published.update(block)
            sha256.update(block)
    if published.hexdigest() != expected:
        raise ValueError(
            f"its {algorithm} checksum is {published.hexdigest()}, not {expected} as published"
        )
    return sha256.hexdigest()


def _record(path: Path, archive: Archive, sha256: str) -> None:
    """Keep the SHA-256 beside a file that is published with a git blob id only."""
    if archive.checksum.startswith("gitblob:"):
        with contextlib.suppress(
            OSError
        ):  # a folder that cannot be written: checked by its blob id each time
            _beside(path).write_text(f"{sha256}  {path.name}\n", encoding="utf-8")


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


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
        f"{archive.url} cannot be downloaded: {reason}; a copy of {name} in $PRUNEMIA_DATA is used as well"
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
