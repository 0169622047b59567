"""The types that a parameters cell may name: parsed by a fixed grammar, never evaluated.

A notebook comes from anywhere, and is checked before anything of it runs. So its annotations
must not run either: ``type = NAME | type[type, …] | type "|" type``, with the names of `NAMES`.
"""

from __future__ import annotations

import ast
from typing import Any, Union

NAMES: dict[str, Any] = {
    kind.__name__: kind for kind in (bool, dict, float, int, list, str, tuple)
} | {"None": None}
_GENERIC = {"dict": 2, "list": 1, "tuple": None}
"""How many types stand in the brackets; None: any number."""


def parse_type(annotation: str) -> Any:
    """Return the type that an annotation names.

    Raises
    ------
    ValueError
        It is not of the grammar above.
    """
    try:
        return _type(ast.parse(annotation, mode="eval").body)
    except (SyntaxError, TypeError, IndexError, RecursionError, MemoryError) as error:
        raise ValueError(f"{annotation[:80]!r} is no type") from error


def _type(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Name) and node.id in NAMES:
        return NAMES[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_type(node.left), _type(node.right)]  # noqa: UP007  None | None is an error
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return _generic(node.value.id, node.slice)
    raise ValueError(f"{ast.unparse(node)[:80]!r} is no type; allowed: {', '.join(NAMES)}")


def _generic(name: str, inside: ast.expr) -> Any:
    parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    if name not in _GENERIC or len(parts) != (_GENERIC[name] or len(parts)):
        raise ValueError(f"{name}[…] is no type; allowed: {', '.join(NAMES)}")
    items = tuple(_type(part) for part in parts if not _is_ellipsis(part))
    if len(items) < len(parts):
        if name != "tuple" or len(parts) != 2 or not _is_ellipsis(parts[1]):
            raise ValueError(f"{name}[…] is no type; … stands second, and in a tuple only")
        items = (*items, ...)
    return NAMES[name][items if len(items) > 1 else items[0]]


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...
