"""The defenses, by their names in `registry.DEFENSES`: members and others shall look alike."""

from prunemia.defenses.losses import ppb_divergence
from prunemia.registry import DEFENSES, load
from prunemia.training import Defense, TrainingError


def names() -> tuple[str, ...]:
    """Return the names of all defenses."""
    return tuple(DEFENSES)


def get(name: str, strength: float | None = None) -> Defense:
    """Return a defense for one `fit`, ``strength`` None: its default; ValueError: none such."""
    kind = DEFENSES.find(name)
    if refusal := kind.strength.refusal(strength):
        raise ValueError(f"strength: {refusal}")
    chosen = kind.strength.default if strength is None else strength
    defense: Defense = load(kind.import_path)(chosen or 0.0)
    return defense
