"""The table of networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prunemia.kinds.pruners import PRUNERS, Ranked
from prunemia.kinds.registry import Registry

Holds = Literal["features", "series", "images"]
"""What one sample is: numbers (n,), channels × length, or channels × height × width."""

_EVERYTHING: tuple[Ranked, ...] = ("weights", "convolution filters", "BatchNorm scales")


@dataclass(frozen=True)
class NetworkKind:
    """One network.

    Attributes
    ----------
    place : where its builder is: (input shape, classes, width) → module.
    takes : what samples it takes; None: any.
    epochs : the most training epochs unless an experiment says otherwise.
    has : what a pruner can rank in it.
    width : channels of its first block where that can be chosen, else None.
    smallest : the smallest height and width of an image that it takes.
    stacks : whether several train faster as one stack; 2-D convolutions do not.
    """

    place: str
    takes: Holds | None
    epochs: int = 100
    has: tuple[Ranked, ...] = _EVERYTHING
    width: int | None = None
    smallest: int = 1
    stacks: bool = False


NETWORKS = Registry(
    "model",
    {
        "columnfc": NetworkKind(
            "prunemia.models.networks:columnfc", None, epochs=50, has=("weights",), stacks=True
        ),
        "cnn1d": NetworkKind("prunemia.models.networks:cnn1d", "series", width=32, stacks=True),
        "cnn2d": NetworkKind("prunemia.models.networks:cnn2d", "images", width=16),
        "resnet18": NetworkKind("prunemia.models.networks:resnet18", "images", smallest=8),
        "vgg16": NetworkKind("prunemia.models.networks:vgg16", "images", smallest=32),
        "densenet121": NetworkKind("prunemia.models.networks:densenet121", "images", smallest=8),
    },
)


def allowed_pruners(model: str) -> tuple[str, ...]:
    """Return the pruners that find in this network what they rank."""
    return tuple(name for name, kind in PRUNERS.items() if kind.ranks in NETWORKS[model].has)
