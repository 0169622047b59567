"""Read published archives as streams: named members only, nothing goes where a member says."""

from __future__ import annotations

import contextlib
import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from prunemia.data.dataset import DataError

LARGEST = 4 << 30
"""Bytes of all members together that are unpacked; the largest archive, Texas, has 1.7 GiB."""


def tar_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and content of every regular file in a tar archive.

    The archive is a stream: read one file before the next is taken.

    Raises
    ------
    DataError
        The archive is damaged, or holds an unsafe member or too many bytes.
    """
    with explained(path), tarfile.open(path, "r|*") as archive:
        total = 0
        for member in archive:
            total += member.size  # members that are passed over are decompressed as well
            name = _safe(path, member.name, total)
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None:
                yield name, content


def zip_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and content of every file in a zip archive; as `tar_members`."""
    with explained(path), zipfile.ZipFile(path) as archive:
        total = 0
        for info in archive.infolist():
            total += info.file_size
            name = _safe(path, info.filename, total)
            if not info.is_dir():
                with archive.open(info) as content:
                    yield name, content


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a published file is read into one sentence that names it."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is truncated or damaged: {error}") from None
    except DataError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
        raise DataError(
            f"{path} does not hold what was published under this name: {error}"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _safe(path: Path, name: str, total: int) -> str:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name:
        raise DataError(f"{path} holds the unsafe member {name!r}; it is not used")
    if total > LARGEST:
        raise DataError(
            f"{path} unpacks to {total:,} bytes up to member {name!r}; at most {LARGEST:,} are read"
        )
    return str(parts)
