"""The defenses: what fine-tuning does besides cross-entropy, so that members and non-members look alike.

A new one is a `Defense` here and its line in ``_DEFENSES`` and in `experiment.DEFENSES`.
"""

from __future__ import annotations

from prunemia.defenses.adversarial import AdversarialRegularization
from prunemia.defenses.earlystop import EarlyStopping
from prunemia.defenses.ppb import PosteriorAlignment, ppb_divergence
from prunemia.defenses.private import PrivateTraining
from prunemia.experiment import DEFENSES
from prunemia.training import Defense, TrainingError

__all__ = ["Defense", "TrainingError", "get", "names", "ppb_divergence"]

_DEFENSES: dict[str, type[Defense]] = {
    "none": Defense,
    "earlystop": EarlyStopping,
    "ppb": PosteriorAlignment,
    "adv": AdversarialRegularization,
    "dp": PrivateTraining,
}


def names() -> tuple[str, ...]:
    """Return the names of all defenses."""
    return tuple(_DEFENSES)


def get(name: str, strength: float | None = None) -> Defense:
    """Return a defense for one call of `training.fit`; ``strength`` None: its default.

    Raises
    ------
    ValueError
        There is no such defense, or it has no such strength.
    """
    if name not in _DEFENSES:
        raise ValueError(f"defense: {name!r} is not allowed; allowed: {', '.join(names())}")
    if refusal := DEFENSES[name].refusal(strength):
        raise ValueError(f"strength: {refusal}")
    chosen = DEFENSES[name].default if strength is None else strength
    return _DEFENSES[name](0.0 if chosen is None else chosen)
