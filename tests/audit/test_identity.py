"""What identifies a user's functions: all that they refer to, however they refer to it."""

import dataclasses
import enum
import functools
import logging
import os
import re
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import prunemia as pm
from prunemia.audit.identity import identity
from prunemia.errors import UsageError

SPARSITY = 0.5
TABLE = {"sparsity": 0.5}
LOG: list[int] = []
COUNTS = {"calls": 0}
OWN = types.ModuleType("own_settings")
OWN.inner = types.ModuleType("own_settings.inner")
OWN.inner.deep = 0.5


def of(function):
    return identity(train=function)


def closed(value):
    return lambda module, rows, seed: (module, value, rows, seed)


class Pruner:
    rounds = 1

    def __init__(self, sparsity):
        self.sparsity = sparsity

    def __call__(self, module):
        return module, self.sparsity

    def prune(self, module):
        return module, self.sparsity, self.rounds, SPARSITY

    @functools.cached_property
    def twice(self):
        return 2 * self.sparsity


def with_defaults(value, keyword):
    def prune(module, sparsity=value, *, other=keyword):
        return module, sparsity, other

    return prune


def apply(module, sparsity):
    return module, sparsity


def wrapped(value):
    @functools.wraps(apply)
    def prune(module):
        return module, value

    return prune


def of_class(value):
    class Model(nn.Module):
        width = value

    return lambda rows: Model(rows)


def lambdas(value):
    pair = lambda m: (m, 0.5), lambda m: (m, 0.9)
    return pair[value > 0.5]


@dataclasses.dataclass(frozen=True)
class Settings:
    sparsity: float
    layers: list = dataclasses.field(default_factory=list)


class Kind(enum.Enum):
    LOW = 0.5
    HIGH = 0.9


VALUES = {
    "a dict": lambda v: {"a": {"b": [v]}},
    "a set": lambda v: {"x", v},
    "an array of objects": lambda v: np.array([1, v, None], dtype=object),
    "half precision": lambda v: torch.tensor([1, v]).bfloat16(),
    "a parameter": lambda v: nn.Parameter(torch.tensor([v])),
    "a table": lambda v: pd.DataFrame({"a": [v]}),
    "a random generator": lambda v: np.random.default_rng(int(10 * v)),
    "torch's generator": lambda v: torch.Generator().manual_seed(int(10 * v)),
    "a pattern": lambda v: re.compile(str(v)),
    "a namespace": lambda v: types.SimpleNamespace(sparsity=v),
    "settings": Settings,
    "an enumeration": Kind,
    "a logger's level": lambda v: (logging.getLogger("own"), v),
    "a type of numbers": lambda v: torch.float32 if v > 0.5 else torch.float64,
    "a function": closed,
}
WAYS = {
    "a closure": closed,
    "a default": lambda v: with_defaults(v, 1),
    "a keyword's default": lambda v: with_defaults(1, v),
    "partial": lambda v: functools.partial(apply, sparsity=v),
    "a bound method": lambda v: Pruner(v).prune,
    "an object that is called": Pruner,
    "a cached function": lambda v: functools.lru_cache(wrapped(v)),
    "a class in a closure": of_class,
    "a network": lambda v: closed(nn.BatchNorm1d(2, momentum=v)),
    "two lambdas on a line": lambdas,
} | {name: lambda v, make=make: closed(make(v)) for name, make in VALUES.items()}


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_another_value_is_another_function_and_the_same_is_the_same(make):
    assert of(make(0.5)) == of(make(0.5))
    assert of(make(0.5)) != of(make(0.9))


def test_every_process_finds_the_same():
    code = "import test_identity as t; print(*[t.of(make(0.5)) for make in t.WAYS.values()])"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": paths}
    call = [sys.executable, "-c", code]
    said = subprocess.run(call, env=environment, capture_output=True, check=True, text=True).stdout
    assert said.split() == [of(make(0.5)) for make in WAYS.values()]


def reads_global(module):
    return module, SPARSITY


def reads_entry(module):
    return module, TABLE["sparsity"]


def reads_module(module):
    return module, OWN.inner.deep


def calls_another(module):
    return [reads_global(each) for each in module]


def inner_reads(module):
    return [(lambda m: (m, SPARSITY))(each) for each in module]


HERE = sys.modules[__name__]


@pytest.mark.parametrize(
    ("function", "place", "name", "other"),
    [
        (reads_global, HERE, "SPARSITY", 0.9),
        (reads_global, HERE, "SPARSITY", torch.ones(3)),
        (reads_entry, HERE, "TABLE", {"sparsity": 0.9}),
        (calls_another, HERE, "SPARSITY", 0.9),
        (inner_reads, HERE, "SPARSITY", 0.9),
        (reads_module, OWN.inner, "deep", 0.9),
        (Pruner(0.5).prune, HERE, "SPARSITY", 0.9),
        (Pruner(0.5).prune, Pruner, "rounds", 3),
    ],
)
def test_what_a_function_reads_belongs_to_it(monkeypatch, function, place, name, other):
    before = of(function)
    monkeypatch.setattr(place, name, other)
    assert of(function) != before


def logs(module):
    LOG.append(1)
    COUNTS["calls"] += 1
    return module


def test_a_log_that_is_only_written_to_does_not(monkeypatch):
    before = of(logs)
    monkeypatch.setitem(globals(), "LOG", [1, 2, 3])
    monkeypatch.setitem(globals(), "COUNTS", {"calls": 7})
    assert of(logs) == before


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def test_functions_that_call_themselves_and_lists_that_hold_themselves_end():
    ring: list = []
    ring.append(ring)
    assert of(fibonacci) == of(fibonacci)
    assert of(closed(ring)) == of(closed(ring))


@pytest.mark.parametrize("value", [threading.Lock(), (n for n in range(3))])
def test_what_has_no_content_asks_for_a_name(value):
    with pytest.raises(UsageError, match=r"name: closed\.<locals>.* refers to a .*name="):
        of(closed(value))


def test_a_second_audit_with_another_closure_is_another(tmp_path):
    """The answers of 0.5 were once given for 0.95."""

    def sparse(sparsity):
        def prune(module, rows, seed):
            del rows, seed
            with torch.no_grad():
                module.weight.mul_(torch.rand(2, 4) > sparsity)
            return module

        return prune

    def posteriors(value):
        audit = pm.audit.network(
            lambda rows, seed: nn.Linear(4, 2),  # noqa: ARG005
            sparse(value),
            torch.linspace(0, 1, 480).reshape(120, 4),
            np.arange(120) % 2,
            shadows=1,
            attacks=["conf"],
            store=tmp_path,
            progress=False,
        )
        return audit.target.signals.posteriors

    first = posteriors(0.5)
    assert not np.array_equal(posteriors(0.95), first)
    assert np.array_equal(posteriors(0.5), first)
