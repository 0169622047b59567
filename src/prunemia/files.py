"""Files: written whole or not at all, refused where that cannot work; YAML, JSON, arrays."""

import contextlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from prunemia.errors import RunError, UsageError


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a path to write to, which takes the place of ``path`` once the block has ended well.

    Readers see the old file or the new one; where it cannot be written, a `RunError` names it.
    """
    # A name of each process's own, so that two who write one file do not write into one another's.
    aside = path.with_name(f".{path.name[:50]}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8; as `atomic_write`."""
    with atomic_write(path) as aside:
        aside.write_text(text, encoding="utf-8")


def require_file(path: Path, option: str = "") -> None:
    """Refuse, with a `UsageError`, a path at which no file can be written; nothing stays behind."""
    shown = f"{option} {path}".strip()
    with _refused(shown, "written"):
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "no ordinary file"
            raise UsageError(f"{shown}: is {what}; name another file to write")
    require_folder(path.parent, shown)


def require_folder(folder: Path, shown: str) -> None:
    """Refuse, with a `UsageError`, a folder that can neither be written nor be made."""
    with _refused(shown, "written"):
        # Trying is the only proof: permissions, read-only mounts and full disks differ by system.
        nearest = next(place for place in (folder, *folder.resolve().parents) if place.exists())
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".prunemia-") as probe:
            probe.write(b"x" * 4096)


@contextlib.contextmanager
def _refused(shown: object, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{shown}: cannot be {done}: {error.strerror or error}") from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: PyYAML lets the last one win, in silence."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                said = f"{key.value[:60]}: given twice"
                raise yaml.composer.ComposerError(None, None, said, key.start_mark)
            seen.add(key.value)
        return node


def load_yaml(text: str, source: str) -> Any:
    """Return the value of a YAML text of ``source``; UsageError: it is none, or has a key twice."""
    try:
        return yaml.load(text, _Loader)
    except Exception as error:  # of 2024-99-99, !!bool maybe and the like PyYAML raises its own
        raise UsageError(f"{source}: is not YAML: {' '.join(str(error).split())[:300]}") from error


def read_yaml(path: Path) -> Any:
    """Return what `load_yaml` makes of a file in UTF-8, or refuses; a UsageError."""
    with _refused(path, "read"):
        data = path.read_bytes()
    try:
        return load_yaml(data.decode(), str(path))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not YAML: byte {error.start} is not UTF-8") from error


def pack_arrays(arrays: Mapping[str, ArrayLike]) -> bytes:
    """Return an uncompressed .npz; equal arrays, equal bytes; ValueError for Python objects."""
    # not by `numpy.savez`: since Python 3.14 its zip members may carry the time of day
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            array = np.asarray(arrays[name], order="C")
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


def unpack_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of `pack_arrays`, by name."""
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def pack_json(value: Any) -> bytes:
    """Return the canonical JSON of a value: keys sorted, no spaces; ValueError for a NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def unpack_json(data: bytes) -> Any:
    """Return the value of `pack_json`; ValueError where the bytes are no JSON."""
    return json.loads(data)


def read_npz(file: Any) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz (path or binary file); UsageError: one is damaged or pickled."""
    name = ""
    arrays = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError("it is there twice")
                # Read whole, so that its checksum is compared: `numpy.load` may stop before.
                member = io.BytesIO(archive.read(info))
                arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
                if more := len(member.read()):
                    raise ValueError(f"{more:,} bytes more than its header declares")
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # zipfile, zlib, struct and NumPy raise a dozen kinds of it
        reason = str(error).partition("\n")[0] or type(error).__name__
        if not name:
            raise UsageError(f"{file}: is no .npz archive, or is truncated ({reason})") from None
        if "Object arrays" in reason:
            raise UsageError(f"{file}: field {name!r} is pickled, which is not read") from None
        raise UsageError(f"{file}: field {name!r} is damaged: {reason}") from None
    return arrays
