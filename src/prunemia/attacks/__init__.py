"""The attacks: each a scikit-learn estimator over `Signals`; found by name.

Light on purpose: naming the attacks imports neither torch nor scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunemia.attacks.base import Attack

__all__ = ["Attack", "get", "names"]

_REGISTRY = {
    "conf": ("threshold", "Confidence"),
    "xent": ("threshold", "Entropy"),
    "mentr": ("threshold", "ModifiedEntropy"),
    "top1conf": ("threshold", "TopConfidence"),
    "nn": ("neural", "Posterior"),
    "top3nn": ("neural", "TopThree"),
    "nncls": ("neural", "PosteriorAndLabel"),
    "blindmi": ("blindmi", "BlindMI"),
    "samia": ("samia", "SAMIA"),
}


def names() -> tuple[str, ...]:
    """Return the attacks' names, in the order in which the paper introduces them."""
    return tuple(_REGISTRY)


def get(name: str) -> type[Attack]:
    """Return the class of the attack called ``name``; ValueError where there is none."""
    if name not in _REGISTRY:
        raise ValueError(f"attack: {name!r} is not allowed; allowed: {', '.join(names())}")
    module, attribute = _REGISTRY[name]
    found: type[Attack] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found


def __getattr__(name: str) -> Any:
    if name == "Attack":
        return importlib.import_module(f"{__name__}.base").Attack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
