"""What there is of each kind, in registry.yml: data sets, networks, pruners, defenses, attacks."""

import difflib
import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

Ranked = Literal["weights", "convolution filters", "BatchNorm scales"]
Holds = Literal["features", "series", "images"]  # one sample: (n,), (c, length), (c, height, width)

K = TypeVar("K")
KNOWN = ConfigDict(extra="forbid")  # a misspelt field of the tables is refused


class Registry(dict[str, K]):
    """Entries by name, in the order of tables and figures; ``what`` one is called in messages."""

    def __init__(self, what: str, entries: Mapping[str, K]) -> None:
        super().__init__(entries)
        self.what = what

    def find(self, name: str) -> K:
        """Return the entry; ValueError where there is none, with what is allowed."""
        if name not in self:
            allowed = ", ".join(self) + suggest(name, self)
            raise ValueError(f"{self.what}: {name!r} is not allowed; allowed: {allowed}")
        return self[name]


def suggest(name: object, names: Mapping[str, Any]) -> str:
    """Return " (did you mean …?)" where a name is close to ``name``, else ""."""
    near = difflib.get_close_matches(str(name).lower(), names, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def load(import_path: str) -> Any:
    """Import what ``"package.module:attribute"`` names; on first use, so names need no torch."""
    module, _, attribute = import_path.partition(":")
    return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True, config=KNOWN)
class Archive:
    """One published file: its path inside a data folder, its address and ``algorithm:hex``.

    ``gitblob`` is a git blob id; the folder ``installed`` has the system's own copy, as it is.
    """

    file: str
    url: str
    checksum: str
    installed: str | None = None


@dataclass(frozen=True, config=KNOWN)
class Source:
    """A data set's sheet: what the published data hold, what tables call it (``label``), its text.

    ``citation``: an anchor of references.md. ``read``: a function from the verified ``archives`` to
    features and labels; or ``generate``: from rows and a seed (None: as published).
    """

    name: str
    rows: int
    shape: tuple[int, ...]
    classes: int
    about: str
    used_for: str
    origin: str
    license: str
    citation: str
    read: str | None = None
    generate: str | None = None
    archives: tuple[Archive, ...] = ()
    label: str = ""

    @property
    def holds(self) -> Holds:
        """What one sample is, by its dimensions."""
        dimensions: tuple[Holds, ...] = ("features", "series", "images")
        return dimensions[len(self.shape) - 1]


@dataclass(frozen=True, config=KNOWN)
class PrunerKind:
    """One pruner: (module, sparsity) → parameter name → bool, True where it stays; or nothing."""

    import_path: str
    ranks: Ranked
    colour: str
    control: bool = False  # it removes nothing, and shows what fine-tuning alone does


@dataclass(frozen=True, config=KNOWN)
class TrainingConfig:
    """How a network is trained, as published; half as long when fine-tuned, ``warmup`` is ours."""

    epochs: int = 100
    warmup: int = 15
    batch_size: int = 128
    learning_rate: float = 1e-3


@dataclass(frozen=True, config=KNOWN)
class PrivateConfig:
    """What DP-SGD changes, by `bench/dp_tuning.py`; a change raises the version of ``dp``."""

    clip: float = 1.0  # the largest L2 norm of a sample's gradient
    rate: float = 1.0  # a factor of the learning rate


@dataclass(frozen=True, config=KNOWN)
class NetworkKind:
    """One network: (input shape, classes, width) → module."""

    import_path: str
    takes: Holds | None = None  # None: any samples
    recipe: TrainingConfig = TrainingConfig()
    has: tuple[Ranked, ...] = ("weights", "convolution filters", "BatchNorm scales")
    width: int | None = None  # of the first block
    smallest: int = 1  # height of an image
    stacks: bool = False  # several train as one
    version: int = 1
    private: PrivateConfig = PrivateConfig()


@dataclass(frozen=True, config=KNOWN)
class Strength:
    """A defense's strength: what it is, its default (None: it has none), its range with ends."""

    meaning: str
    default: float | None = None
    low: float = 0.0
    high: float = math.inf

    def refusal(self, strength: float | None) -> str:
        """Return why ``strength`` is not allowed, "" where it is; None: the default."""
        if strength is None or (self.default is not None and self.low <= strength <= self.high):
            return ""
        if self.default is None:
            return f"{strength} needs a defense that has one; {self.meaning}"
        return f"{strength} is not allowed: {self.meaning} is {self.low:g} to {self.high:g}"


@dataclass(frozen=True, config=KNOWN)
class DefenseKind:
    """One defense; ``whole``: the original, too, if asked; ``uses_validation``: these leak, too."""

    import_path: str
    strength: Strength
    colour: str
    label: str
    version: int = 1
    whole: bool = False
    uses_validation: bool = False


@dataclass(frozen=True, config=KNOWN)
class AttackKind:
    """One attack, and a colour that no other has."""

    import_path: str
    colour: str
    learned: bool = False  # it trains a network
    needs_sensitivity: bool = False
    needs_references: bool = False  # answers of other networks
    together: str = ""  # its class on several releases


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C, where PyYAML was built so
_TABLES = yaml.load(Path(__file__).with_name("registry.yml").read_bytes(), _LOADER)
PRUNERS = Registry("pruner", {n: PrunerKind(**kind) for n, kind in _TABLES["pruners"].items()})
NETWORKS = Registry("model", {n: NetworkKind(**kind) for n, kind in _TABLES["networks"].items()})
DEFENSES = Registry("defense", {n: DefenseKind(**kind) for n, kind in _TABLES["defenses"].items()})
ATTACKS = Registry("attack", {n: AttackKind(**kind) for n, kind in _TABLES["attacks"].items()})
_SHEETS = {n: {"name": n, "label": n} | sheet for n, sheet in _TABLES["datasets"].items()}
SOURCES = Registry("data set", {n: Source(**sheet) for n, sheet in _SHEETS.items()})


def label(dataset: str, short: bool = False) -> str:
    """Return how a data set is called, or a file's own name; ``short``: without brackets."""
    named = SOURCES[dataset].label if dataset in SOURCES else dataset
    return named.split(" (")[0] if short else named


def removing() -> tuple[str, ...]:
    """Return the pruners that remove something: all but the controls."""
    return tuple(name for name, kind in PRUNERS.items() if not kind.control)


def allowed_pruners(model: str) -> tuple[str, ...]:
    """Return the pruners that find in this network what they rank."""
    return tuple(name for name, kind in PRUNERS.items() if kind.ranks in NETWORKS[model].has)
