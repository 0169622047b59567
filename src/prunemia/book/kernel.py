"""The kernel that pages run in: this interpreter, described in a folder of the run's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "prunemia-kernel-"
LOCK = "held"
UNLOCKED_FOR = 600.0
"""Seconds after which a folder without a lock file is left over: its run was killed in between."""


@contextlib.contextmanager
def own_kernel() -> Iterator[None]:
    """Make ``python3`` mean this interpreter, one thread a process, for kernels started inside.

    The folder that says so is held by a lock for that long. The operating system frees the lock of
    a killed run, and the next run removes such folders.
    """
    from ipykernel.kernelspec import write_kernel_spec  # slow to import, and a refusal is quick

    sweep_kernels()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, FileLock(Path(folder) / LOCK):
        write_kernel_spec(Path(folder) / "kernels" / "python3", extra_arguments=["--log-level=50"])
        changes = {
            "JUPYTER_PATH": folder,
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        before = {name: os.environ.get(name) for name in changes}
        os.environ.update(changes)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def sweep_kernels() -> None:
    """Remove the kernel folders of runs that were killed: those that nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Another user's folder, or one that another run removes just now, is not ours to remove.
        with contextlib.suppress(OSError, Timeout):
            _sweep(folder)


def _sweep(folder: Path) -> None:
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return
    if (folder / LOCK).exists():
        with FileLock(folder / LOCK, timeout=0):
            shutil.rmtree(folder)
    elif time.time() - folder.stat().st_mtime > UNLOCKED_FOR:
        shutil.rmtree(folder)
