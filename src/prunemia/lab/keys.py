"""Under which hash each stage's result is stored: that of all it depends on.

A key holds the stage's own part of the experiment, the keys of its inputs, and the stage's version:
raise that when the stage computes something else, so that old results are not taken for new ones.
"""

from __future__ import annotations

from typing import get_args

from prunemia.attacks import Attack
from prunemia.experiment import Experiment, content_key
from prunemia.lab.stages import VICTIM
from prunemia.lab.steps import Group, Of
from prunemia.models import STACKED

VERSIONS = {"original": 1, "pruned": 1, "signals": 1, "fit": 1, "attack": 2, "cost": 1}
STACK = 16
"""Most networks that are trained in one stack."""

Side = tuple[Experiment, Of, Group]
"""Whose signals: an experiment's, its original or pruned networks', these networks'."""


def groups(exp: Experiment) -> list[Group]:
    """Cut networks 0 … k into what is trained side by side: the victim, then stacks of shadows."""
    size = STACK if exp.model in STACKED else 1
    last = exp.shadows + 1
    return [
        (VICTIM,),
        *(tuple(range(start, min(start + size, last))) for start in range(1, last, size)),
    ]


def shadow_sides(exp: Experiment, of: Of) -> list[Side]:
    """Return what the adversary's shadow networks are, as ``exp.adversary`` assumes them.

    Raises
    ------
    ValueError
        ``of`` is neither "pruned" nor "original".
    """
    if of not in get_args(Of):
        raise ValueError(f"of: {of!r} is not allowed; allowed: {', '.join(get_args(Of))}")
    unpruned = of == "pruned" and exp.adversary is not None and exp.adversary.pruner == "none"
    assumed = exp.assumed()
    return [(assumed, "original" if unpruned else of, group) for group in groups(assumed)[1:]]


def networks(side: Side, fingerprint: str) -> str:
    """Return the key of a group of networks, trained on the data of that fingerprint."""
    exp, of, group = side
    recipe = [exp.patience, exp.batch_size, exp.learning_rate, exp.weight_decay, exp.precision]
    if of == "original":
        own = [fingerprint, exp.seed, group, exp.model, exp.width, exp.training_epochs]
    else:
        own = [networks((exp, "original", group), fingerprint), exp.pruner, exp.sparsity]
        own += [exp.defense, exp.defense_strength, exp.tuning_epochs, exp.finetune_warmup]
    return content_key([of, VERSIONS[of], own, recipe])


def signals(side: Side, fingerprint: str) -> str:
    """Return the key of what these networks answer."""
    exp = side[0]
    return content_key([VERSIONS["signals"], networks(side, fingerprint), exp.epsilon, exp.draws])


def fit(attack: Attack, name: str, shadows: list[str]) -> str:
    """Return the key of the attack fitted on the signals with these keys; a blind attack depends on none."""
    settings = {k: v for k, v in attack.get_params().items() if k not in ("device", "progress")}
    return content_key([VERSIONS["fit"], name, settings, [] if attack.blind else shadows])


def attack(fitted: str, target: str) -> str:
    """Return the key of what the fitted attack says of the signals with the key ``target``."""
    return content_key([VERSIONS["attack"], fitted, target])


def cost(side: Side, fingerprint: str) -> str:
    """Return the key of what these networks cost to keep and to run."""
    return content_key([VERSIONS["cost"], networks(side, fingerprint)])
