"""What identifies a user's functions: their code, and all that it refers to."""

import ast
import dis
import functools
import inspect
import sys
import sysconfig
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from joblib.hashing import NumpyHasher

from prunemia.errors import UsageError

PASSED_OVER = {"__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "_abc_impl"}
"""What a class holds beside what it does."""


def identity(**functions: Callable[..., Any]) -> str:
    """Return a hash of functions and of all that they refer to, equal in every process.

    A function is its code, its defaults, what it closes over, and the globals that it reads (not
    those it only appends to or counts in): by their content; what is installed, by its name.
    UsageError where something has no content that could be told apart, such as a lock.
    """
    if any(map(inspect.isbuiltin, functions.values())):
        raise UsageError("name: the functions' source cannot be read; give name='…'")
    return str(_Hasher(hash_name="sha256").hash(functions))


def _content(*name: object) -> None:
    """Stand in the hash for what is known by its name, and has its content as the state."""


class _Hasher(NumpyHasher):  # type: ignore[misc]
    """joblib's hash of what a pickle would hold, with functions, classes and tensors in full."""

    reached = ""

    def save(self, value: Any) -> None:
        """Save a value, or refuse one that has no content."""
        try:
            super().save(value)
        except UsageError:
            raise
        except Exception:  # whatever a type says that cannot be pickled
            raise UsageError(
                f"name: {self.reached} refers to a {type(value).__name__}, whose content cannot be "
                "told apart; give name='…', and another one whenever the functions change"
            ) from None

    def reducer_override(self, value: Any) -> Any:
        """Return what stands for a value: a name, and a content that may refer back to it."""
        if isinstance(value, torch.Tensor):
            flat = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            return _content, ("tensor", str(value.dtype), tuple(value.shape), flat)
        if isinstance(value, types.ModuleType):
            return _content, ("module", value.__name__)
        if isinstance(value, types.FunctionType | type) and value is not _content:
            name = value.__module__, value.__qualname__
            if _installed(value.__module__):
                return _content, name
            if isinstance(value, type):
                held = {k: v for k, v in vars(value).items() if k not in PASSED_OVER}
                slots = types.GetSetDescriptorType | types.MemberDescriptorType
                held = {k: None if isinstance(v, slots) else v for k, v in held.items()}
                return _content, name, [value.__bases__, held]
            return _content, name, self._of_function(value)
        if isinstance(value, types.CodeType):
            names = value.co_names, value.co_varnames, value.co_freevars
            return _content, ("code",), [value.co_code, *names, value.co_consts]
        if isinstance(value, set | frozenset):
            return _content, ("set",), sorted(value, key=lambda each: (str(type(each)), repr(each)))
        if isinstance(value, types.MappingProxyType):
            return _content, ("mapping",), dict(value)
        if isinstance(value, staticmethod | classmethod | functools._lru_cache_wrapper):
            return _content, ("wrapper",), value.__wrapped__
        if isinstance(value, property):
            return _content, ("property",), [value.fget, value.fset]
        if isinstance(value, functools.cached_property):
            return _content, ("property",), value.func
        return NotImplemented

    def _of_function(self, function: types.FunctionType) -> list[Any]:
        code, known, reads = function.__code__, function.__globals__, set[str]()
        self.reached = function.__qualname__
        written = _only_written(function)
        codes = [code]
        for each in codes:
            codes += [const for const in each.co_consts if isinstance(const, types.CodeType)]
            reads |= {i.argval for i in dis.get_instructions(each) if "GLOBAL" in i.opname}
        content = {name: known[name] for name in (reads - written) & known.keys()}
        words = {word for each in codes for word in each.co_names}
        for module in list(content.values()):
            content |= _attributes(module, words)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if name not in written and cell != types.CellType():  # one not yet bound is empty
                content[f"{name} closed over"] = cell.cell_contents
        return [code, function.__defaults__, function.__kwdefaults__, content]


def _attributes(module: Any, words: set[str]) -> dict[str, Any]:
    """Return what a function may read of a module of the user's own, and of those in it."""
    if not isinstance(module, types.ModuleType) or _installed(module.__name__):
        return {}
    found = {f"{module.__name__}.{w}": vars(module)[w] for w in words & vars(module).keys()}
    for value in list(found.values()):
        found |= _attributes(value, words)
    return found


def _only_written(function: types.FunctionType) -> set[str]:
    """Return the names that a function only appends to or counts in: its logs."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return set()
    logs: set[ast.AST] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(ast.Call(ast.Attribute(ast.Name() as log, "append" | "add" | "extend"))):
                logs.add(log)
            case ast.AugAssign(ast.Subscript(value) | ast.Attribute(value) | (ast.Name() as value)):
                logs.add(value)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return {node.id for node in names if node in logs} - {n.id for n in names if n not in logs}


def _installed(module: str | None) -> bool:
    """Return whether a module belongs to Python or to an installed package."""
    top = (module or "").partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None)
    if top in ("builtins", "prunemia") or top in sys.builtin_module_names:
        return True
    if top == "__main__" or file is None:
        return False
    packages = {"site-packages", "dist-packages"} & set(Path(file).parts)
    return bool(packages) or Path(file).is_relative_to(sysconfig.get_path("stdlib"))
