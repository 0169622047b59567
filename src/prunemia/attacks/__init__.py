"""The attacks: each a scikit-learn estimator over `Signals`; found by name.

Light on purpose: naming the attacks imports neither torch nor scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prunemia.registry import ATTACKS, load

if TYPE_CHECKING:
    from prunemia.attacks.base import Attack as Attack
    from prunemia.attacks.likelihood import lira_scores as lira_scores
    from prunemia.attacks.likelihood import log_odds as log_odds
    from prunemia.attacks.likelihood import rmia_scores as rmia_scores

_LATER = {
    "Attack": "base",
    "NeuralAttack": "neural",
    "ThresholdAttack": "threshold",
    "lira_scores": "likelihood",
    "log_odds": "likelihood",
    "rmia_scores": "likelihood",
}
"""Names of modules that import more than this one does: imported when first used."""

__all__ = ["get", "names", "together", *_LATER]


def names() -> tuple[str, ...]:
    """Return the attacks' names, in the order in which the paper introduces them."""
    return ATTACKS.names()


def get(name: str) -> type[Attack]:
    """Return the class of the attack called ``name``; ValueError where there is none."""
    return load(ATTACKS.find(name).import_path)


def together(name: str) -> type[Attack]:
    """Return the class of the attack ``name`` on several releases of a network.

    ValueError where there is no such attack, or it takes one release alone.
    """
    if not (place := ATTACKS.find(name).together):
        able = ", ".join(known for known, kind in ATTACKS.items() if kind.together)
        raise ValueError(f"attack: {name!r} takes one release alone; allowed with several: {able}")
    return load(place)


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
