"""The table of attacks."""

from __future__ import annotations

from dataclasses import dataclass

from prunemia.kinds.registry import Registry


@dataclass(frozen=True)
class AttackKind:
    """One attack: where its class is, its colour in figures, what it takes.

    Attributes
    ----------
    place, colour : the class's place, and a colour that no other attack has.
    learned : whether its fit trains a network.
    needs_sensitivity : whether it looks at sensitivities, unless its options say otherwise.
    needs_references : whether it looks at other networks' answers to the same samples.
    together : the place of its class on several releases of a network; empty: there is none.
    """

    place: str
    colour: str
    learned: bool = False
    needs_sensitivity: bool = False
    needs_references: bool = False
    together: str = ""


ATTACKS = Registry(
    "attack",
    {
        "conf": AttackKind(
            "prunemia.attacks.threshold:Confidence",
            "#E69F00",
            together="prunemia.attacks.joint:JointConfidence",
        ),
        "xent": AttackKind("prunemia.attacks.threshold:Entropy", "#F0E442"),
        "mentr": AttackKind("prunemia.attacks.threshold:ModifiedEntropy", "#D55E00"),
        "top1conf": AttackKind("prunemia.attacks.threshold:TopConfidence", "#CC79A7"),
        "nn": AttackKind("prunemia.attacks.perceptron:Posterior", "#56B4E9", learned=True),
        "top3nn": AttackKind("prunemia.attacks.perceptron:TopThree", "#0072B2", learned=True),
        "nncls": AttackKind(
            "prunemia.attacks.perceptron:PosteriorAndLabel",
            "#332288",
            learned=True,
            together="prunemia.attacks.joint:JointPerceptron",
        ),
        "blindmi": AttackKind("prunemia.attacks.blindmi:BlindMI", "#999999"),
        "samia": AttackKind(
            "prunemia.attacks.samia:SAMIA",
            "#009E73",
            learned=True,
            needs_sensitivity=True,
            together="prunemia.attacks.joint:JointSAMIA",
        ),
        "lira": AttackKind("prunemia.attacks.referenced:LiRA", "#882255", needs_references=True),
        "rmia": AttackKind("prunemia.attacks.referenced:RMIA", "#44AA99", needs_references=True),
    },
)
"""The paper's nine in the order in which Yuan & Zhang (2022) introduce them, then others."""
