"""The table of pruners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prunemia.kinds.registry import Registry

Ranked = Literal["weights", "convolution filters", "BatchNorm scales"]


@dataclass(frozen=True)
class PrunerKind:
    """One pruner: where its function is, what it ranks, its colour in all figures.

    ``control``: it removes nothing, at sparsity 0; it shows what fine-tuning alone does.

    The function takes (module, sparsity) and returns parameter name → bool tensor, True where the
    parameter stays; an empty mapping says that the network has nothing to rank.
    """

    place: str
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
