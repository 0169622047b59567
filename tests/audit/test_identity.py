"""What identifies a user's functions: all that they refer to, however they refer to it."""

import dataclasses
import enum
import functools
import logging
import re
import threading
import types

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import prunemia as pm
from prunemia.audit.identity import identity
from prunemia.errors import UsageError

SPARSITY = 0.5
WEIGHTS = torch.zeros(3)
TABLE = {"sparsity": 0.5}
LOG: list[int] = []
COUNTS = {"calls": 0}
OWN = types.ModuleType("own_settings")
OWN.SPARSITY = 0.5
OWN.inner = types.ModuleType("own_settings.inner")
OWN.inner.deep = 0.5


def of(function):
    return identity(train=function)


def closed(value):
    def prune(module, rows, seed):
        return module, value, rows, seed

    return prune


class Pruner:
    rounds = 1

    def __init__(self, sparsity):
        self.sparsity = sparsity

    def __call__(self, module):
        return module, self.sparsity

    def prune(self, module):
        return module, self.sparsity, self.rounds


def with_default(value):
    def prune(module, sparsity=value, *, mode="l1"):
        return module, sparsity, mode

    return prune


def with_keyword(value):
    def prune(module, *, sparsity=value):
        return module, sparsity

    return prune


def apply(module, sparsity):
    return module, sparsity


def deeper(value):
    helper = closed(value)

    def prune(module):
        return helper(module, None, 0)

    return prune


def wrapped(value):
    @functools.wraps(apply)
    def prune(module):
        return module, value

    return prune


def cached(value):
    @functools.lru_cache
    def prune(module):
        return module, value

    return prune


def of_class(value):
    class Model(nn.Module):
        width = value

    return lambda rows: Model(rows)


def network_of(value):
    torch.manual_seed(0)
    teacher = nn.Linear(2, 2)
    teacher.weight.data[0, 0] = value
    return closed(teacher)


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


class Lazy(Settings):
    @functools.cached_property
    def twice(self):
        return 2 * self.sparsity


WAYS = {
    "a closure": closed,
    "a default": with_default,
    "a keyword's default": with_keyword,
    "partial": lambda v: functools.partial(apply, sparsity=v),
    "partial, by place": lambda v: functools.partial(apply, v),
    "a bound method": lambda v: Pruner(v).prune,
    "an object that is called": Pruner,
    "a function in a closure": deeper,
    "a decorated function": wrapped,
    "a cached function": cached,
    "a class in a closure": of_class,
    "a network": network_of,
    "two lambdas on a line": lambdas,
    "a list": lambda v: closed([1, [v]]),
    "a dict": lambda v: closed({"a": {"b": v}}),
    "a set": lambda v: closed({"x", v}),
    "an array": lambda v: closed(np.array([1, v])),
    "an array of objects": lambda v: closed(np.array([1, v, None], dtype=object)),
    "a tensor": lambda v: closed(torch.tensor([1, v])),
    "half precision": lambda v: closed(torch.tensor([1, v]).bfloat16()),
    "a parameter": lambda v: closed(nn.Parameter(torch.tensor([v]))),
    "a table": lambda v: closed(pd.DataFrame({"a": [v]})),
    "a random generator": lambda v: closed(np.random.default_rng(int(10 * v))),
    "torch's generator": lambda v: closed(torch.Generator().manual_seed(int(10 * v))),
    "a pattern": lambda v: closed(re.compile(str(v))),
    "a namespace": lambda v: closed(types.SimpleNamespace(sparsity=v)),
    "settings": lambda v: closed(Settings(v)),
    "an enumeration": lambda v: closed(Kind(v)),
    "a lazy property": lambda v: closed(Lazy(v)),
    "a logger's level": lambda v: closed((logging.getLogger("own"), v)),
    "a type of numbers": lambda v: closed(torch.float32 if v > 0.5 else torch.float64),
}


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_another_value_is_another_function_and_the_same_is_the_same(make):
    assert of(make(0.5)) == of(make(0.5))
    assert of(make(0.5)) != of(make(0.9))


def reads_global(module):
    return module, SPARSITY


def reads_tensor(module):
    return module, WEIGHTS.sum()


def reads_entry(module):
    return module, TABLE["sparsity"]


def reads_module(module):
    return module, OWN.SPARSITY, OWN.inner.deep


def calls_another(module):
    return [reads_global(each) for each in module]


def inner_reads(module):
    return [(lambda m: (m, SPARSITY))(each) for each in module]


class Reader:
    def prune(self, module):
        return module, SPARSITY


GLOBALS = {
    "a global": (reads_global, "SPARSITY"),
    "a tensor": (reads_tensor, "WEIGHTS"),
    "an entry": (reads_entry, "TABLE"),
    "through a function": (calls_another, "SPARSITY"),
    "in a lambda inside": (inner_reads, "SPARSITY"),
    "in a method": (Reader().prune, "SPARSITY"),
}


@pytest.mark.parametrize(("function", "name"), GLOBALS.values(), ids=GLOBALS)
def test_globals_that_a_function_reads_belong_to_it(monkeypatch, function, name):
    before = of(function)
    other = {"SPARSITY": 0.9, "WEIGHTS": torch.ones(3), "TABLE": {"sparsity": 0.9}}[name]
    monkeypatch.setitem(globals(), name, other)
    assert of(function) != before


@pytest.mark.parametrize(("place", "name"), [(OWN, "SPARSITY"), (OWN.inner, "deep")])
def test_settings_in_a_module_of_the_users_own_belong_to_it(monkeypatch, place, name):
    before = of(reads_module)
    monkeypatch.setattr(place, name, 0.9)
    assert of(reads_module) != before


def logs(module):
    LOG.append(1)
    COUNTS["calls"] += 1
    return module


def test_a_log_that_is_only_written_to_does_not(monkeypatch):
    before = of(logs)
    monkeypatch.setitem(globals(), "LOG", [1, 2, 3])
    monkeypatch.setitem(globals(), "COUNTS", {"calls": 7})
    assert of(logs) == before


def test_a_changed_class_attribute_counts(monkeypatch):
    before = of(Pruner(0.5).prune)
    monkeypatch.setattr(Pruner, "rounds", 3)
    assert of(Pruner(0.5).prune) != before


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def test_functions_that_call_themselves_and_lists_that_hold_themselves_end():
    ring: list = []
    ring.append(ring)
    assert of(fibonacci) == of(fibonacci)
    assert of(closed(ring)) == of(closed(ring))


@pytest.mark.parametrize("value", [threading.Lock(), (n for n in range(3))])
def test_what_has_no_content_asks_for_a_name(value):
    with pytest.raises(UsageError, match=r"name: closed\.<locals>\.prune refers to a .*name="):
        of(closed(value))


def test_a_second_audit_with_another_closure_is_another(tmp_path):
    """The answers of 0.5 were once given for 0.95."""
    x, y = torch.rand(120, 4), np.arange(120) % 2

    def train(rows, seed):
        del rows, seed
        return nn.Linear(4, 2)

    def sparse(sparsity):
        def prune(module, rows, seed):
            del rows, seed
            with torch.no_grad():
                module.weight.mul_(torch.rand(2, 4) > sparsity)
            return module

        return prune

    def audited(value):
        options = {"attacks": ["conf"], "store": tmp_path, "progress": False}
        return pm.audit.network(train, sparse(value), x, y, 1, **options).target.signals

    first = audited(0.5).posteriors
    assert not np.array_equal(audited(0.95).posteriors, first)
    assert np.array_equal(audited(0.5).posteriors, first)
