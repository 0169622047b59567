"""A folder for the files of one sweep's workers, which is its own while the sweep lives."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunemia.store import Store

PREFIX = ".dask-"


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """Give a new folder in the store's, and remove it at the end; first remove those of the dead.

    The folder's owner holds a lock of the store, which the kernel frees when the owner is killed.
    """
    store = Store(root)
    _remove_abandoned(store)
    name = uuid.uuid4().hex
    folder = root / f"{PREFIX}{name}"
    with store.lock("dask", name):  # before the folder is there: it is never seen without its lock
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(store: Store) -> None:
    for folder in store.root.glob(f"{PREFIX}{'[0-9a-f]' * 32}"):
        if not store.busy("dask", folder.name.removeprefix(PREFIX)):
            shutil.rmtree(folder, ignore_errors=True)
