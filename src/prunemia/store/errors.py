"""What a store says when its folder cannot be used, or when an artefact in it is damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


class StoreError(OSError):
    """The store's folder cannot be read or written; the text names it and says why."""

    def __str__(self) -> str:
        return str(self.strerror)


class DamagedArtefactWarning(UserWarning):
    """A stored artefact is incomplete or changed; it was removed and will be computed again."""


@contextlib.contextmanager
def explained(root: Path) -> Iterator[None]:
    """Turn the system's errors into one sentence that names the store, the reason and the file."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        file = f": {error.filename}" if error.filename else ""
        text = f"the store {root} cannot be used: {reason}{file}"
        raise StoreError(error.errno, text) from error
