"""What there is of each kind, one table each: pruners, networks, defenses, attacks.

An entry names its class or function as ``"package.module:attribute"``, which is imported when it is
first used: the tables stand below the rooms that carry their entries out, so that a wrong name is
refused in a second, without torch, and figures and messages know every entry.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Ranked = Literal["weights", "convolution filters", "BatchNorm scales"]
Holds = Literal["features", "series", "images"]
"""What one sample is: numbers (n,), channels × length, or channels × height × width."""

K = TypeVar("K")


class Registry(dict[str, K]):
    """Entries of one kind by name, in the order in which tables and figures show them.

    Parameters
    ----------
    what : what one entry is called in messages, as in ``"attack"``.
    entries : the table.
    """

    def __init__(self, what: str, entries: Mapping[str, K]) -> None:
        super().__init__(entries)
        self.what = what

    def names(self) -> tuple[str, ...]:
        """Return the names, in order."""
        return tuple(self)

    def find(self, name: str) -> K:
        """Return the entry; ValueError where there is none, with what is allowed."""
        if name not in self:
            allowed = ", ".join(self) + suggest(name, self)
            raise ValueError(f"{self.what}: {name!r} is not allowed; allowed: {allowed}")
        return self[name]

    def register(self, name: str, entry: K) -> None:
        """Add an entry; ValueError where the name is taken."""
        if name in self:
            raise ValueError(f"{self.what}: {name!r} is taken; choose another name")
        self[name] = entry

    @contextlib.contextmanager
    def registered(self, name: str, entry: K) -> Iterator[None]:
        """Add an entry for the duration of a block: to try something out, and for tests."""
        self.register(name, entry)
        try:
            yield
        finally:
            del self[name]


def suggest(name: object, names: Mapping[str, Any]) -> str:
    """Return " (did you mean …?)" where a name is close to ``name``, else ""."""
    near = difflib.get_close_matches(str(name).lower(), names, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def load(import_path: str) -> Any:
    """Import what ``"package.module:attribute"`` names."""
    module, _, attribute = import_path.partition(":")
    return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True)
class PrunerKind:
    """One pruner: where its function is, what it ranks, its colour in all figures.

    ``control``: it removes nothing, at sparsity 0; it shows what fine-tuning alone does.

    The function takes (module, sparsity) and returns parameter name → bool tensor, True where the
    parameter stays; an empty mapping says that the network has nothing to rank.
    """

    import_path: str
    ranks: Ranked
    colour: str
    control: bool = False


PRUNERS = Registry(
    "pruner",
    {
        "l1unstructured": PrunerKind("prunemia.pruning.masks:unstructured", "weights", "#0072B2"),
        "l1structured": PrunerKind(
            "prunemia.pruning.masks:l1_filters", "convolution filters", "#E69F00"
        ),
        "l2structured": PrunerKind(
            "prunemia.pruning.masks:l2_filters", "convolution filters", "#CC79A7"
        ),
        "slim": PrunerKind("prunemia.pruning.masks:slim", "BatchNorm scales", "#009E73"),
        "dense": PrunerKind("prunemia.pruning.masks:nothing", "weights", "#7F7F7F", control=True),
    },
)


def removing() -> tuple[str, ...]:
    """Return the pruners that remove something: all but the controls."""
    return tuple(name for name, kind in PRUNERS.items() if not kind.control)


_EVERYTHING: tuple[Ranked, ...] = ("weights", "convolution filters", "BatchNorm scales")


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained and fine-tuned unless an experiment says otherwise.

    The defaults are the published code's, but for the warm-up, which is ours.

    Attributes
    ----------
    epochs : the most training epochs; fine-tuning takes at most half as many.
    warmup : the first epochs of fine-tuning, which patience does not count.
    batch_size : samples per step.
    learning_rate : Adam's step size.
    """

    epochs: int = 100
    warmup: int = 15
    batch_size: int = 128
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class PrivateConfig:
    """What DP-SGD changes of a network's training; a change raises the version of ``dp``.

    Chosen by `bench/dp_tuning.py` on validation samples of shadow networks, at σ = 1 and a sparsity
    of 0.7. columnfc on Location, fine-tuning: .582 against .548 with the defaults (three shadows;
    the best of the choices tried, so flattered), .562 against .535 on five others; training from
    the start: .448 at ε = 19.2 against .211 at 16.9 (two of the three, other stops). cnn1d on
    MNIST-1D, its own batch: .669 with the defaults, which no other choice beats. The other
    networks were not tried.

    Attributes
    ----------
    clip : the largest L2 norm of a sample's gradient.
    rate : what the learning rate is multiplied by.
    """

    clip: float = 1.0
    rate: float = 1.0


@dataclass(frozen=True)
class NetworkKind:
    """One network.

    Attributes
    ----------
    import_path : where its builder is: (input shape, classes, width) → module.
    takes : what samples it takes; None: any.
    recipe : how it is trained.
    has : what a pruner can rank in it.
    width : channels of its first block where that can be chosen, else None.
    smallest : the smallest height and width of an image that it takes.
    stacks : whether several train faster as one stack; 2-D convolutions do not.
    version : raised when the builder builds something else, so that stored networks are not taken.
    private : what DP-SGD changes of the recipe.
    """

    import_path: str
    takes: Holds | None
    recipe: TrainingConfig = TrainingConfig()
    has: tuple[Ranked, ...] = _EVERYTHING
    width: int | None = None
    smallest: int = 1
    stacks: bool = False
    version: int = 1
    private: PrivateConfig = PrivateConfig()


def _published(name: str, smallest: int) -> NetworkKind:
    place = f"prunemia.models.networks:{name}"
    return NetworkKind(place, "images", width=64, smallest=smallest)


NETWORKS = Registry(
    "model",
    {
        "columnfc": NetworkKind(
            "prunemia.models.networks:columnfc",
            None,
            TrainingConfig(epochs=50),
            has=("weights",),
            stacks=True,
            private=PrivateConfig(clip=3.0, rate=3.0),
        ),
        # On MNIST-1D it fits its members, and pruned to 0.7 it still does and loses one or two
        # points of test accuracy, as the paper's networks do (the page on the setting). Batches of
        # 32 take as many steps in a sixth of the epochs.
        "cnn1d": NetworkKind(
            "prunemia.models.networks:cnn1d",
            "series",
            TrainingConfig(epochs=14, warmup=2, batch_size=32, learning_rate=4e-3),
            width=80,
            stacks=True,
            version=2,
        ),
        "cnn2d": NetworkKind("prunemia.models.networks:cnn2d", "images", width=16),
        "resnet18": _published("resnet18", smallest=8),
        "vgg16": _published("vgg16", smallest=32),
        "densenet121": _published("densenet121", smallest=8),
    },
)


def allowed_pruners(model: str) -> tuple[str, ...]:
    """Return the pruners that find in this network what they rank."""
    return tuple(name for name, kind in PRUNERS.items() if kind.ranks in NETWORKS[model].has)


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


DEFENSES = Registry(
    "defense",
    {
        "none": DefenseKind(
            "prunemia.training.defense:Defense",
            Strength("defense is 'none'"),
            "#999999",
            "no defense",
        ),
        "earlystop": DefenseKind(
            "prunemia.defenses.earlystop:EarlyStopping",
            Strength("defense 'earlystop' has none"),
            "#E69F00",
            "early stopping",
        ),
        "ppb": DefenseKind(
            "prunemia.defenses.ppb:PosteriorAlignment",
            Strength("the weight λ of PPB's divergence", 4.0, 0.0, 1000.0),
            "#0072B2",
            "PPB",
        ),
        "adv": DefenseKind(
            "prunemia.defenses.adversarial:AdversarialRegularization",
            Strength("the weight α of the inference network's gain", 1.0, 0.0, 1000.0),
            "#009E73",
            "adversarial regularization",
            uses_validation=True,
        ),
        "dp": DefenseKind(
            "prunemia.defenses.private:PrivateTraining",
            Strength("the noise multiplier σ of DP-SGD", 1.0, 0.1, 1000.0),
            "#CC79A7",
            "DP-SGD",
            version=2,  # removed weights leave a gradient before it is clipped; tuned clip and rate
            whole=True,
        ),
        "relaxloss": DefenseKind(
            "prunemia.defenses.relaxloss:RelaxLoss",
            Strength("the target ω (nats) of RelaxLoss", 0.5, 0.0, 10.0),
            "#D55E00",
            "RelaxLoss",
        ),
        "distill": DefenseKind(
            "prunemia.defenses.distillation:Distillation",
            Strength("the temperature T of distillation", 1.0, 0.1, 100.0),
            "#56B4E9",
            "distillation",
            uses_validation=True,
        ),
        "wemem": DefenseKind(
            "prunemia.defenses.wemem:MemorizationWeighting",
            Strength("the slope s of the weights over memorization", 2.0, 0.0, 100.0),
            "#A6761D",
            "memorization weighting",
        ),
    },
)
"""PPB: Yuan & Zhang (2022) sweep 1 … 16. Adversarial regularization: Nasr et al. (2018) take 2 … 6
on far larger data sets; here 3 leaves Location less than half of its test accuracy, so the default
is 1."""


@dataclass(frozen=True)
class AttackKind:
    """One attack: where its class is, its colour in figures, what it takes.

    Attributes
    ----------
    import_path, colour : where its class is, and a colour that no other attack has.
    learned : whether its fit trains a network.
    needs_sensitivity : whether it looks at sensitivities, unless its options say otherwise.
    needs_references : whether it looks at other networks' answers to the same samples.
    together : where its class on several releases of a network is; empty: there is none.
    """

    import_path: str
    colour: str
    learned: bool = False
    needs_sensitivity: bool = False
    needs_references: bool = False
    together: str = ""


ATTACKS = Registry(
    "attack",
    {
        "conf": AttackKind(
            "prunemia.attacks.threshold:Confidence",
            "#E69F00",
            together="prunemia.attacks.joint:JointConfidence",
        ),
        "xent": AttackKind("prunemia.attacks.threshold:Entropy", "#F0E442"),
        "mentr": AttackKind("prunemia.attacks.threshold:ModifiedEntropy", "#D55E00"),
        "top1conf": AttackKind("prunemia.attacks.threshold:TopConfidence", "#CC79A7"),
        "nn": AttackKind("prunemia.attacks.neural:Posterior", "#56B4E9", learned=True),
        "top3nn": AttackKind("prunemia.attacks.neural:TopThree", "#0072B2", learned=True),
        "nncls": AttackKind(
            "prunemia.attacks.neural:PosteriorAndLabel",
            "#332288",
            learned=True,
            together="prunemia.attacks.joint:JointPerceptron",
        ),
        "blindmi": AttackKind("prunemia.attacks.blindmi:BlindMI", "#999999"),
        "samia": AttackKind(
            "prunemia.attacks.samia:SAMIA",
            "#009E73",
            learned=True,
            needs_sensitivity=True,
            together="prunemia.attacks.joint:JointSAMIA",
        ),
        "lira": AttackKind("prunemia.attacks.referenced:LiRA", "#882255", needs_references=True),
        "rmia": AttackKind("prunemia.attacks.referenced:RMIA", "#44AA99", needs_references=True),
    },
)
"""The paper's nine in the order in which Yuan & Zhang (2022) introduce them, then others."""
