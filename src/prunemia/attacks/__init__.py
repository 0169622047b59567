"""The attacks: each a scikit-learn estimator over `Signals`; found by name.

Light on purpose: naming the attacks imports neither torch nor scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prunemia.registry import ATTACKS, load

if TYPE_CHECKING:
    from prunemia.attacks.base import Attack
    from prunemia.attacks.likelihood import lira_scores, log_odds, rmia_scores

__all__ = [
    "Attack",
    "NeuralAttack",
    "ThresholdAttack",
    "get",
    "lira_scores",
    "log_odds",
    "names",
    "rmia_scores",
    "together",
]

PLACES = {
    "Attack": "base",
    "NeuralAttack": "neural",
    "ThresholdAttack": "threshold",
    "lira_scores": "likelihood",
    "log_odds": "likelihood",
    "rmia_scores": "likelihood",
}
"""Names that live in modules which import more than this one does."""


def names() -> tuple[str, ...]:
    """Return the attacks' names, in the order in which the paper introduces them."""
    return ATTACKS.names()


def get(name: str) -> type[Attack]:
    """Return the class of the attack called ``name``; ValueError where there is none."""
    attack: type[Attack] = load(ATTACKS.find(name).import_path)
    return attack


def together(name: str) -> type[Attack]:
    """Return the class of the attack ``name`` on several releases of a network.

    Raises
    ------
    ValueError
        There is no such attack, or it takes one release alone.
    """
    if not (place := ATTACKS.find(name).together):
        able = ", ".join(known for known, kind in ATTACKS.items() if kind.together)
        raise ValueError(f"attack: {name!r} takes one release alone; allowed with several: {able}")
    attack: type[Attack] = load(place)
    return attack


def __getattr__(name: str) -> Any:
    if name in PLACES:
        return getattr(importlib.import_module(f"{__name__}.{PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
