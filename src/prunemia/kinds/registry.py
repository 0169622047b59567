"""A registry: what there is of one kind, by name, in order; each entry on one line of one table."""

from __future__ import annotations

import contextlib
import difflib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

K = TypeVar("K")


class Registry(Mapping[str, K]):
    """Entries of one kind by name, in the order in which tables and figures show them.

    Parameters
    ----------
    what : what one entry is called in messages, as in ``"attack"``.
    entries : the table.
    """

    def __init__(self, what: str, entries: Mapping[str, K]) -> None:
        self.what = what
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> K:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> tuple[str, ...]:
        """Return the names, in order."""
        return tuple(self._entries)

    def find(self, name: str) -> K:
        """Return the entry; ValueError where there is none, with what is allowed."""
        if name not in self._entries:
            raise ValueError(f"{self.what}: {name!r} is not allowed; allowed: {self.allowed(name)}")
        return self._entries[name]

    def allowed(self, name: object) -> str:
        """Return the names as text, with the one that ``name`` may have meant."""
        return ", ".join(self._entries) + meant(name, self._entries)

    def register(self, name: str, entry: K) -> None:
        """Add an entry; ValueError where the name is taken."""
        if name in self._entries:
            raise ValueError(f"{self.what}: {name!r} is taken; choose another name")
        self._entries[name] = entry

    @contextlib.contextmanager
    def registered(self, name: str, entry: K) -> Iterator[None]:
        """Add an entry for the duration of a block: to try something out, and for tests."""
        self.register(name, entry)
        try:
            yield
        finally:
            del self._entries[name]


def meant(name: object, names: Mapping[str, Any]) -> str:
    """Return " (did you mean …?)" where a name is close to ``name``, else ""."""
    near = difflib.get_close_matches(str(name).lower(), names, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def load(place: str) -> Any:
    """Import what ``"package.module:attribute"`` names, when it is first needed.

    A table of such places can stand below the rooms that it names: it imports none of them.
    """
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)
