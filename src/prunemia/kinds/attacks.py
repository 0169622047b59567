"""The table of attacks."""

from __future__ import annotations

from dataclasses import dataclass

from prunemia.kinds.registry import Registry


@dataclass(frozen=True)
class AttackKind:
    """One attack: where its class is, its colour in figures, whether its fit trains a network."""

    place: str
    colour: str
    learned: bool = False


ATTACKS = Registry(
    "attack",
    {
        "conf": AttackKind("prunemia.attacks.threshold:Confidence", "#E69F00"),
        "xent": AttackKind("prunemia.attacks.threshold:Entropy", "#F0E442"),
        "mentr": AttackKind("prunemia.attacks.threshold:ModifiedEntropy", "#D55E00"),
        "top1conf": AttackKind("prunemia.attacks.threshold:TopConfidence", "#CC79A7"),
        "nn": AttackKind("prunemia.attacks.perceptron:Posterior", "#56B4E9", learned=True),
        "top3nn": AttackKind("prunemia.attacks.perceptron:TopThree", "#0072B2", learned=True),
        "nncls": AttackKind(
            "prunemia.attacks.perceptron:PosteriorAndLabel", "#332288", learned=True
        ),
        "blindmi": AttackKind("prunemia.attacks.blindmi:BlindMI", "#999999"),
        "samia": AttackKind("prunemia.attacks.samia:SAMIA", "#009E73", learned=True),
    },
)
"""The paper's nine in the order in which Yuan & Zhang (2022) introduce them, then others."""
