"""Read .npz archives that a stranger wrote: headers first, then bounded arrays, never a pickle.

NumPy unpacks an array before anybody can say that it does not fit the others, and advises to allow
pickles where it meets one. Here every refusal is one sentence, and comes before memory is spent.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

LARGEST = 2 << 30
"""Bytes of all arrays together once unpacked; Texas, the largest of the paper's, has 1.5 GiB."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The compressions that NumPy writes."""
READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class NpzError(ValueError):
    """An archive is refused; the text is the predicate of a sentence whose subject is the file."""


@dataclass(frozen=True)
class Header:
    """What an array's header declares, without the array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def rows(self) -> int:
        """The size of the first dimension; 0 where there is none."""
        return self.shape[0] if self.shape else 0

    @property
    def nbytes(self) -> int:
        """How much memory the array takes."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npz(
    file: Any, choose: Callable[[dict[str, Header]], Iterable[str]]
) -> dict[str, NDArray[Any]]:
    """Return the chosen arrays of an .npz archive by name.

    Parameters
    ----------
    file : a path or an open binary file.
    choose : is given the header of every array, before any is unpacked; returns the names of those
        to read, and raises `NpzError` where the headers are not what it needs.

    Raises
    ------
    NpzError
        It is no such archive, is damaged, encrypted or too large, or holds pickles.
    """
    with _explained("cannot be read"), _opened(file) as archive:
        members = _members(archive)
        headers = {name: _header(archive, name, info) for name, info in members.items()}
        names = list(choose(headers))
        total = sum(headers[name].nbytes for name in names)
        if total > LARGEST:
            raise NpzError(f"unpacks to {total:,} bytes; at most {LARGEST:,} are read")
        return {name: _array(archive, name, members[name]) for name in names}


def _opened(file: Any) -> zipfile.ZipFile:
    """Open an archive; refuse a pipe or a device, which would be read without end."""
    if isinstance(file, str | os.PathLike):
        mode = Path(file).stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a folder the system says so
            raise NpzError("cannot be read: it is a pipe or a device, not a file")
    return zipfile.ZipFile(file)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name == info.filename:
            raise NpzError(f"holds {name!r}, which is no .npy array")
        if name in members:
            raise NpzError(f"holds field {name!r} twice")
        if info.flag_bits & 1:
            raise NpzError(f"holds field {name!r} encrypted; encrypted archives are not read")
        if info.compress_type not in METHODS:
            raise NpzError(f"compresses field {name!r} in a way that NumPy does not write")
        members[name] = info
    return members


def _header(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> Header:
    with _explained(f"field {name!r} is damaged"), archive.open(info) as content:
        version = npy.read_magic(content)
        if version not in READERS:
            raise NpzError(f"field {name!r} has version {version} of the .npy format, not 1 or 2")
        try:
            shape, _, dtype = READERS[version](content)
        except ValueError:  # NumPy's own text advises to trust the file and allow pickles
            raise NpzError(f"field {name!r} is damaged: its header is malformed") from None
        packed = info.file_size - content.tell()
    if dtype.hasobject:
        raise NpzError(f"field {name!r} is pickled, which is not read")
    header = Header(shape, dtype)
    # The size in the archive bounds what is read: the header may not allocate more than that.
    if min(shape, default=0) < 0 or header.nbytes != packed:
        raise NpzError(
            f"field {name!r} is damaged: its header declares shape {shape} of {dtype}, "
            f"but it holds {packed:,} bytes"
        )
    return header


def _array(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> NDArray[Any]:
    with _explained(f"field {name!r} is damaged"), archive.open(info) as content:
        array: NDArray[Any] = npy.read_array(content, allow_pickle=False)
        content.read(1)  # the checksum is compared at the end only
    return array


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn whatever zipfile, zlib and NumPy raise for a bad file into one `NpzError`."""
    try:
        yield
    except NpzError:
        raise
    except zipfile.BadZipFile as error:
        if what == "cannot be read":
            raise NpzError(f"is no .npz archive, or is truncated ({error})") from None
        raise NpzError(f"{what}: {error}") from None
    except OSError as error:
        raise NpzError(f"{what}: {error.strerror or error}") from None
    except (
        *(EOFError, LookupError, MemoryError, OverflowError, RecursionError, RuntimeError),
        *(SyntaxError, TypeError, ValueError, struct.error, tokenize.TokenError, zlib.error),
    ) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise NpzError(f"{what}: {reason}") from None
