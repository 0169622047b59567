"""The attacks: each a scikit-learn estimator over `Signals`; found by name."""

from prunemia.attacks.base import Attack
from prunemia.attacks.likelihood import lira_scores, log_odds, rmia_scores
from prunemia.attacks.neural import NeuralAttack
from prunemia.attacks.threshold import ThresholdAttack
from prunemia.registry import ATTACKS, load


def names() -> tuple[str, ...]:
    """Return the attacks' names, in the order in which the paper introduces them."""
    return tuple(ATTACKS)


def get(name: str) -> type[Attack]:
    """Return the class of the attack called ``name``; ValueError where there is none."""
    return load(ATTACKS.find(name).import_path)


def together(name: str) -> type[Attack]:
    """Return the class of an attack on several releases; ValueError where it takes one alone."""
    if not (place := ATTACKS.find(name).together):
        able = ", ".join(known for known, kind in ATTACKS.items() if kind.together)
        raise ValueError(f"attack: {name!r} takes one release alone; allowed with several: {able}")
    return load(place)
