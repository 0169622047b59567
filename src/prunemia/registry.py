"""What there is of each kind, in registry.yml: data sets, networks, pruners, defenses, attacks.

An entry names its class or function as ``"package.module:attribute"``, which is imported when it is
first used: the tables stand below the rooms that carry their entries out, so that a wrong name is
refused in a second, without torch, and figures and messages know every entry.
"""

from __future__ import annotations

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
Holds = Literal["features", "series", "images"]
"""What one sample is: numbers (n,), channels × length, or channels × height × width."""

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
    """Import what ``"package.module:attribute"`` names."""
    module, _, attribute = import_path.partition(":")
    return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True, config=KNOWN)
class Archive:
    """One published file: its path inside a data folder, where it is published, its checksum.

    The checksum is ``algorithm:hex``; algorithm ``gitblob`` is a git blob id. In the folder
    ``installed`` the system's package manager puts a file of the same name. It has verified it, and
    its packager may have compressed it anew: it is read as it is.
    """

    file: str
    url: str
    checksum: str
    installed: str | None = None


@dataclass(frozen=True, config=KNOWN)
class Source:
    """A data set's sheet, and where its reader is.

    Attributes
    ----------
    rows, shape, classes : what the published data hold; checked on reading.
    about, used_for, origin, license, citation : the sheet's text; an anchor of references.md.
    read : where a function is from the verified archives, in order, to features and labels.
    generate : instead, where one is from a number of rows and a seed (None: the published rows).
    archives : the published files.
    label : what tables and figures call it; where results/ was made of other files, it says so.
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

    @property
    def integrity(self) -> str:
        """How the contents are verified, in words."""
        checksums = ", ".join(archive.checksum.replace(":", " ") for archive in self.archives)
        return checksums.replace("gitblob", "git blob") or "no download"


@dataclass(frozen=True, config=KNOWN)
class PrunerKind:
    """One pruner; ``control``: it removes nothing, and shows what fine-tuning alone does.

    The function takes (module, sparsity) and returns parameter name → bool tensor, True where the
    parameter stays; an empty mapping says that the network has nothing to rank.
    """

    import_path: str
    ranks: Ranked
    colour: str
    control: bool = False


@dataclass(frozen=True, config=KNOWN)
class TrainingConfig:
    """How a network is trained and fine-tuned unless an experiment says otherwise.

    ``epochs``: the most of training; fine-tuning takes at most half as many, of which patience does
    not count the first ``warmup``. ``learning_rate``: Adam's step size. The defaults are the
    published code's, but for the warm-up, which is ours.
    """

    epochs: int = 100
    warmup: int = 15
    batch_size: int = 128
    learning_rate: float = 1e-3


@dataclass(frozen=True, config=KNOWN)
class PrivateConfig:
    """What DP-SGD changes of a network's training; a change raises the version of ``dp``.

    ``clip``: the largest L2 norm of a sample's gradient; ``rate``: what the learning rate is
    multiplied by. Chosen by `bench/dp_tuning.py` on validation samples of shadow networks, at σ = 1
    and a sparsity of 0.7: columnfc on Location, fine-tuning, .562 against .535 with the defaults
    (five shadows that had no part in the choice); of cnn1d no other choice beats them. The other
    networks were not tried.
    """

    clip: float = 1.0
    rate: float = 1.0


@dataclass(frozen=True, config=KNOWN)
class NetworkKind:
    """One network.

    Attributes
    ----------
    import_path : where its builder is: (input shape, classes, width) → module.
    takes, has : what samples it takes (None: any), and what a pruner can rank in it.
    width : channels of its first block where that can be chosen, else None.
    smallest : the smallest height and width of an image that it takes.
    stacks : whether several train faster as one stack; 2-D convolutions do not.
    version : raised when the builder builds something else, so that stored networks are not taken.
    recipe, private : how it is trained, and what DP-SGD changes of that.
    """

    import_path: str
    takes: Holds | None = None
    recipe: TrainingConfig = TrainingConfig()
    has: tuple[Ranked, ...] = ("weights", "convolution filters", "BatchNorm scales")
    width: int | None = None
    smallest: int = 1
    stacks: bool = False
    version: int = 1
    private: PrivateConfig = PrivateConfig()


@dataclass(frozen=True, config=KNOWN)
class Strength:
    """A defense's strength: what it is, its default, and its range, ends included.

    A defense whose default is None has no strength.
    """

    meaning: str
    default: float | None = None
    low: float = 0.0
    high: float = math.inf

    def refusal(self, strength: float | None) -> str:
        """Return why ``strength`` is not allowed, "" where it is; None stands for the default."""
        if strength is None or (self.default is not None and self.low <= strength <= self.high):
            return ""
        if self.default is None:
            return f"{strength} needs a defense that has one; {self.meaning}"
        return f"{strength} is not allowed: {self.meaning} is {self.low:g} to {self.high:g}"


@dataclass(frozen=True, config=KNOWN)
class DefenseKind:
    """One defense: where its class is, its strength, its colour and label in all figures.

    ``version`` is raised when the defense computes something else; ``whole``: whether it can train
    the original network as well; ``uses_validation``: whether it trains on the validation samples,
    so that these leak as well.
    """

    import_path: str
    strength: Strength
    colour: str
    label: str
    version: int = 1
    whole: bool = False
    uses_validation: bool = False


@dataclass(frozen=True, config=KNOWN)
class AttackKind:
    """One attack: where its class is, and a colour that no other attack has.

    ``learned``: whether its fit trains a network; ``needs_sensitivity``: whether it looks at
    sensitivities, unless its options say otherwise; ``needs_references``: at other networks'
    answers to the same samples; ``together``: where its class on several releases is, "" for none.
    """

    import_path: str
    colour: str
    learned: bool = False
    needs_sensitivity: bool = False
    needs_references: bool = False
    together: str = ""


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C, where PyYAML was built so
_TABLES = yaml.load(Path(__file__).with_name("registry.yml").read_bytes(), _LOADER)
PRUNERS = Registry("pruner", {n: PrunerKind(**kind) for n, kind in _TABLES["pruners"].items()})
NETWORKS = Registry("model", {n: NetworkKind(**kind) for n, kind in _TABLES["networks"].items()})
DEFENSES = Registry("defense", {n: DefenseKind(**kind) for n, kind in _TABLES["defenses"].items()})
ATTACKS = Registry("attack", {n: AttackKind(**kind) for n, kind in _TABLES["attacks"].items()})
SOURCES = Registry(
    "data set", {n: Source(**{"name": n, "label": n} | s) for n, s in _TABLES["datasets"].items()}
)
LABELS = {name: source.label for name, source in SOURCES.items()}


def removing() -> tuple[str, ...]:
    """Return the pruners that remove something: all but the controls."""
    return tuple(name for name, kind in PRUNERS.items() if not kind.control)


def allowed_pruners(model: str) -> tuple[str, ...]:
    """Return the pruners that find in this network what they rank."""
    return tuple(name for name, kind in PRUNERS.items() if kind.ranks in NETWORKS[model].has)
