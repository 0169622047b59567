"""Read YAML that a stranger wrote: in bounded time and memory, with one sentence for each refusal.

PyYAML's ``safe_load`` runs no code, but a few hundred bytes of aliases can expand to billions of
values, a page of brackets ends in a `RecursionError`, and a date such as 2024-99-99 in a bare
`ValueError`. Here each of these is a `UsageError` that names the source.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from prunemia.errors import UsageError

MAX_BYTES = 200_000
"""Longest text; PyYAML reads about 100 kB in a second."""
MAX_DEPTH = 20
"""Deepest value: it lies in fewer than this many lists and mappings."""
MAX_VALUES = 100_000
"""Most values once every alias is expanded."""
MAX_DIGITS = 40
"""Longest number, in characters; no parameter of an experiment needs as many."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_EXCERPT = 60


def load_yaml(text: str, source: str) -> Any:
    """Return the value that a YAML text stands for, as ``yaml.safe_load`` does.

    Parameters
    ----------
    text : one YAML document.
    source : where it comes from (a file, a parameter); every message begins with it.

    Raises
    ------
    UsageError
        It is not YAML, gives a key twice, or exceeds one of this module's limits.
    """
    # A character has up to four bytes, so that the cheap test of the length comes first.
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise UsageError(f"{source}: longer than {MAX_BYTES:,} bytes")
    try:
        loader = _BoundedLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node)
        return loader.construct_document(node)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{source}: is not YAML: {' '.join(str(error).split())[:300]}") from error


def read_yaml(path: Path) -> Any:
    """Return what `load_yaml` makes of a file; the messages begin with its path.

    Raises
    ------
    UsageError
        The file cannot be read, is not UTF-8, or `load_yaml` refuses its text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # never more, however large the file is
        text = content.decode("utf-8") if len(content) <= MAX_BYTES else None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not YAML: byte {error.start} is not UTF-8") from error
    except ValueError as error:  # a NUL in the path
        raise UsageError(f"{str(path)!r}: cannot be read: {error}") from error
    if text is None:
        raise UsageError(f"{path}: longer than {MAX_BYTES:,} bytes")
    return load_yaml(text, str(path))


class _BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader, stopped at `MAX_DEPTH`; it explains values that it cannot construct."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Compose one node; the parser is lazy, so nothing beyond the limit is ever scanned."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UsageError(f"nested more than {MAX_DEPTH} levels deep")
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """Construct one value; PyYAML's own bare errors name neither the value nor its type."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            if isinstance(error, UsageError) or not isinstance(node, ScalarNode):
                raise
            kind = node.tag.rpartition(":")[2]
            raise UsageError(f"{node.value[:_EXCERPT]!r} is no {kind}") from error


def _check(root: Node) -> None:
    """Refuse aliases that expand or that contain themselves, long numbers, and keys given twice."""
    # Each node is counted once and remembered, so that counting the values of a bomb is quick.
    counts: dict[int, int] = {}
    _count(root, counts)


def _count(node: Node, counts: dict[int, int]) -> int:
    """Return how many values a node stands for once its aliases are expanded."""
    key = id(node)
    if key in counts:
        if counts[key] == 0:  # we are still inside it
            raise UsageError("an alias refers to the value that contains it")
        return counts[key]
    counts[key] = 0
    counts[key] = 1 + sum(_count(child, counts) for child in _children(node))
    if counts[key] > MAX_VALUES:
        raise UsageError(f"more than {MAX_VALUES:,} values once aliases are expanded")
    return counts[key]


def _children(node: Node) -> list[Node]:
    if isinstance(node, ScalarNode) and node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
        raise UsageError(
            f"a number of {len(node.value):,} characters ({node.value[:12]}…); "
            f"allowed: at most {MAX_DIGITS}"
        )
    if isinstance(node, MappingNode):
        _refuse_repeated_keys(node)
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, CollectionNode) else []


def _refuse_repeated_keys(node: MappingNode) -> None:
    # PyYAML lets the last one win, so that a value typed above it would be ignored in silence.
    keys = [key.value for key, _ in node.value if isinstance(key, ScalarNode)]
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise UsageError(f"{key[:_EXCERPT]}: given twice")
        seen.add(key)
