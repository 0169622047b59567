"""The table of defenses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prunemia.kinds.registry import Registry


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

    place: str
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
