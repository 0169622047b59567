"""What identifies a user's functions: their code, and all that it refers to."""

from __future__ import annotations

import ast
import copyreg
import dis
import functools
import hashlib
import inspect
import sys
import sysconfig
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prunemia.errors import UsageError

PASSED_OVER = {
    "__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "_abc_impl"
}  # fmt: skip
"""What a class holds beside what it does."""


def identity(**functions: Callable[..., Any]) -> str:
    """Return a hash of functions and of all that they refer to, equal in every process.

    A function is its code, its defaults, what it closes over, and the globals that it reads: values
    by their content, functions, classes and modules of the user's own likewise, those of installed
    packages by their names. A global that it only appends to or counts in is left out.

    Raises
    ------
    UsageError
        Something has no content that could be told apart, such as a lock or an open file.
    """
    found = _Identity()
    for name, function in functions.items():
        if inspect.isbuiltin(function):
            raise UsageError("name: the functions' source cannot be read; give name='…'")
        found.add(function, name)
    return found.digest.hexdigest()


class _Identity:
    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.seen: dict[int, tuple[int, Any]] = {}  # objects stay alive, so that ids stay theirs

    def note(self, *words: object) -> None:
        self.digest.update(repr(words).encode(errors="surrogatepass"))

    def add(self, value: Any, name: str) -> None:
        """Take in a value; ``name`` says in a message how it is reached."""
        kind = type(value)
        if value is None or kind in (bool, int, float, complex, str, bytes, range, type(...)):
            return self.note(kind.__name__, value)
        if id(value) in self.seen:
            return self.note("seen", self.seen[id(value)][0])
        self.seen[id(value)] = len(self.seen), value
        self.note(kind.__module__, kind.__qualname__)
        if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
            self.note(value.dtype.str, value.shape)
            return self.digest.update(np.ascontiguousarray(value).tobytes())
        if isinstance(value, torch.Tensor):
            held = value.detach().cpu().contiguous().flatten()
            self.note(str(value.dtype), tuple(value.shape))
            return self.digest.update(
                held.view(torch.uint8).numpy().tobytes() if len(held) else b""
            )
        if isinstance(value, torch.Generator):
            return self.add(value.get_state(), name)
        if isinstance(value, tuple | list):
            return self._all(value, name)
        if isinstance(value, dict | types.MappingProxyType):
            return self._all([each for pair in value.items() for each in pair], name)
        if isinstance(value, set | frozenset):
            return self._all(sorted(value, key=lambda each: (str(type(each)), repr(each))), name)
        if isinstance(value, functools.partial):
            return self._all([value.func, value.args, value.keywords], name)
        if isinstance(value, types.MethodType):
            return self._all([value.__func__, value.__self__], name)
        if isinstance(value, staticmethod | classmethod | functools._lru_cache_wrapper):
            return self.add(value.__wrapped__, name)
        if isinstance(value, property | functools.cached_property):
            return self.add(getattr(value, "fget", None) or getattr(value, "func", None), name)
        if isinstance(value, types.ModuleType):
            return self.note(value.__name__)
        if isinstance(value, types.CodeType):
            self.note(value.co_code, value.co_names, value.co_varnames, value.co_freevars)
            return self._all(value.co_consts, name)
        if isinstance(value, types.FunctionType | type):
            self.note(value.__module__, value.__qualname__)
            if not _installed(value.__module__):
                self._function(value) if inspect.isfunction(value) else self._class(value)
            return None
        if isinstance(value, types.BuiltinFunctionType | np.ufunc) and hasattr(value, "__name__"):
            return self.note(getattr(value, "__module__", ""), value.__name__)
        try:
            reduce = copyreg.dispatch_table.get(kind)
            reduced = value.__reduce_ex__(2) if reduce is None else reduce(value)
        except Exception:  # whatever a type says that has no content
            raise UsageError(
                f"name: {name} is of type {kind.__name__}, whose content cannot be told apart; "
                "give name='…', and another one whenever the functions change"
            ) from None
        if isinstance(reduced, str):
            return self.note(reduced)
        return self._all([list(e) if isinstance(e, Iterator) else e for e in reduced], name)

    def _all(self, values: Iterable[Any], name: str) -> None:
        for value in values:
            self.add(value, name)
        self.note("end")

    def _function(self, function: types.FunctionType) -> None:
        name, code = function.__qualname__, function.__code__
        self.add(code, name)
        self._all([function.__defaults__, function.__kwdefaults__], f"a default of {name}")
        written = _only_written(function)
        for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if variable not in written and cell != types.CellType():  # one not yet bound is empty
                self.add(cell.cell_contents, f"{variable} in {name}")
        codes = [code]
        for each in codes:
            codes += [const for const in each.co_consts if isinstance(const, types.CodeType)]
        reads = {i.argval for c in codes for i in dis.get_instructions(c) if "GLOBAL" in i.opname}
        for variable in sorted(reads - written):
            if variable in function.__globals__:
                self.note(variable)
                value = function.__globals__[variable]
                self.add(value, f"{variable} in {name}")
                self._attributes(value, {word for c in codes for word in c.co_names}, name)

    def _attributes(self, value: Any, words: set[str], name: str) -> None:
        """Take in what a function may read of a module of the user's own."""
        if isinstance(value, types.ModuleType) and not _installed(value.__name__):
            for word in sorted(words & vars(value).keys()):
                self.note(word)
                self.add(vars(value)[word], f"{value.__name__}.{word} in {name}")
                self._attributes(vars(value)[word], words, name)

    def _class(self, kind: type) -> None:
        self._all(kind.__bases__, kind.__qualname__)
        for word, value in sorted(vars(kind).items()):
            if word not in PASSED_OVER:
                self.note(word)
                if not isinstance(value, types.GetSetDescriptorType | types.MemberDescriptorType):
                    self.add(value, f"{kind.__qualname__}.{word}")


def _only_written(function: types.FunctionType) -> set[str]:
    """Return the names that a function only appends to or counts in: its logs."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return set()
    logs: set[ast.AST] = set()
    for node in ast.walk(tree):
        place: Any = None
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            if isinstance(called, ast.Attribute) and called.attr in ("append", "add", "extend"):
                place = called.value
        elif isinstance(node, ast.AugAssign):
            place = getattr(node.target, "value", node.target)
        if isinstance(place, ast.Name):
            logs.add(place)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    read = {node.id for node in names if node not in logs}
    return {node.id for node in names if node in logs} - read


def _installed(module: str | None) -> bool:
    """Return whether a module belongs to Python or to an installed package."""
    top = (module or "").partition(".")[0]
    found = sys.modules.get(top)
    file = getattr(found, "__file__", None)
    if top in ("builtins", "prunemia") or top in sys.builtin_module_names:
        return True
    if top == "__main__" or file is None:
        return False
    path = Path(file)
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return path.is_relative_to(sysconfig.get_path("stdlib"))
