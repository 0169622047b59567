"""Files of the book: written whole or not at all, and refused beforehand where that cannot work."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from prunemia.errors import RunError, UsageError


def write_whole(path: Path, text: str) -> None:
    """Write a file aside and move it into place, so that half of it is never seen.

    Raises
    ------
    RunError
        The disk is full, or the folder does not take the file; the text names it.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = tempfile.NamedTemporaryFile(  # noqa: SIM115  closed before it is moved
            "w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False
        )
        try:
            with aside as file:
                file.write(text)
            Path(aside.name).chmod(0o644)
            Path(aside.name).replace(path)
        finally:
            Path(aside.name).unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a RunError that names the file; a write's does not."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


def require_file(path: Path, option: str = "") -> None:
    """Refuse a path at which no file can be written; nothing stays behind.

    Raises
    ------
    UsageError
        It is a folder, its name is too long, or its folder cannot be written.
    """
    shown = f"{option} {path}".strip()
    try:
        if path.is_dir():
            raise UsageError(f"{shown}: is a folder; name another file to write")
        if path.exists() and not path.is_file():
            raise UsageError(f"{shown}: is no ordinary file; name another to write")
        require_folder(path.parent, shown)
    except OSError as error:
        raise UsageError(f"{shown}: cannot be written: {error.strerror}") from error


def require_folder(folder: Path, shown: str) -> None:
    """Refuse a folder that can neither be written nor be made.

    Raises
    ------
    UsageError
        Its nearest ancestor that exists takes no files.
    """
    try:
        # Trying is the only proof: permissions, read-only mounts and full disks differ by system.
        nearest = next(place for place in (folder, *folder.resolve().parents) if place.exists())
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".prunemia-") as probe:
            probe.write(b"x" * 4096)
    except OSError as error:
        raise UsageError(f"{shown}: cannot be written: {error.strerror}") from error
