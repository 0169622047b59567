"""What identifies a user's functions: all that they refer to, however they refer to it."""

import dataclasses
import enum
import functools
import logging
import os
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


def apply(module, sparsity):
    return module, sparsity


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


@dataclasses.dataclass(frozen=True)
class Settings:
    sparsity: float
    layers: list = dataclasses.field(default_factory=list)


class Kind(enum.Enum):
    LOW = 0.5
    HIGH = 0.9


def ways(v):
    """Return functions that refer to a value in as many ways, by name."""

    class Model(nn.Module):
        width = v

    values = {
        "a number": v,
        "a dict": {"a": {"b": [v]}},
        "a set": {"x", v},
        "an array of objects": np.array([1, v, None], dtype=object),
        "a parameter": nn.Parameter(torch.tensor([v])),
        "a network": nn.BatchNorm1d(2, momentum=v),
        "a table": pd.DataFrame({"a": [v]}),
        "a random generator": np.random.default_rng(int(10 * v)),
        "settings": Settings(v),
        "an enumeration": Kind(v),
        "a logger's level": (logging.getLogger("own"), v),
        "a function": closed(v),
        "a class": Model,
    }
    return {name: closed(value) for name, value in values.items()} | {
        "a default": lambda module, sparsity=v: (module, sparsity),
        "a keyword's default": lambda module, *, sparsity=v: (module, sparsity),
        "partial": functools.partial(apply, sparsity=v),
        "a bound method": Pruner(v).prune,
        "an object that is called": Pruner(v),
        "decorated and cached": functools.lru_cache(functools.wraps(apply)(lambda m: (m, v))),
        "two lambdas on a line": (lambda m: (m, 0.5), lambda m: (m, 0.9))[v > 0.5],
    }


@pytest.mark.parametrize("name", ways(0.5))
def test_another_value_is_another_function_and_the_same_is_the_same(name):
    assert of(ways(0.5)[name]) == of(ways(0.5)[name])
    assert of(ways(0.5)[name]) != of(ways(0.9)[name])


def test_every_process_finds_the_same():
    code = "import test_identity as t; print(*map(t.of, t.ways(0.5).values()))"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": paths}
    call = [sys.executable, "-c", code]
    said = subprocess.run(call, env=environment, capture_output=True, check=True, text=True).stdout
    assert said.split() == list(map(of, ways(0.5).values()))


def reads_global(module):
    return module, SPARSITY


HERE = sys.modules[__name__]


@pytest.mark.parametrize(
    ("function", "place", "name", "other"),
    [
        (reads_global, HERE, "SPARSITY", 0.9),
        (reads_global, HERE, "SPARSITY", torch.ones(3)),
        (lambda module: (module, TABLE["sparsity"]), HERE, "TABLE", {"sparsity": 0.9}),
        (lambda modules: list(map(reads_global, modules)), HERE, "SPARSITY", 0.9),
        (lambda modules: [(lambda m: (m, SPARSITY))(m) for m in modules], HERE, "SPARSITY", 0.9),
        (lambda module: (module, OWN.inner.deep), OWN.inner, "deep", 0.9),
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
