"""The vocabulary of the pipeline: which networks, and one step to a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from prunemia.experiment import Experiment
from prunemia.registry import NETWORKS

Of = Literal["pruned", "original"]
"""Which network: the pruned and fine-tuned one, or the original before pruning."""
Release = tuple[Experiment, Of]
"""One version of a network that an adversary holds: of which experiment, and which of its two."""
Group = tuple[int, ...]
"""Numbers of the networks that are trained side by side and stored as one artefact."""

VICTIM = 0
"""The victim's network number; shadow networks are 1 … k."""
STACK = 16
"""Most networks that are trained in one stack."""


@dataclass(frozen=True)
class Step:
    """One result of the pipeline: what stage, of which experiment, which networks, which attack.

    Attributes
    ----------
    stage : a name of the table of stages (`prunemia.lab.stages.STAGES`).
    exp : the experiment.
    of : which network, pruned or original.
    group : the network numbers; the victim alone unless given.
    attack : the attack's name, for the stages "fit", "attack" and "releases".
    options : the attack's options, (name, value) in order of name.
    beside : further releases of the same network, for the stage "releases".
    """

    stage: str
    exp: Experiment
    of: Of = "pruned"
    group: Group = (VICTIM,)
    attack: str = ""
    options: tuple[tuple[str, Any], ...] = field(default=())
    beside: tuple[Release, ...] = ()


def require_of(of: object) -> None:
    """Refuse what is neither "pruned" nor "original" with a ValueError."""
    if of not in get_args(Of):
        raise ValueError(f"of: {of!r} is not allowed; allowed: {', '.join(get_args(Of))}")


def groups(exp: Experiment) -> list[Group]:
    """Cut networks 0 … k into what is trained side by side: the victim, then stacks of shadows.

    Networks that standardize have inputs of their own, so they train one by one.
    """
    return [(VICTIM,), *chunks(exp, range(1, exp.shadows + 1))]


def chunks(exp: Experiment, numbers: Sequence[int]) -> list[Group]:
    """Cut networks into stacks that are trained side by side."""
    stacks = NETWORKS[exp.model].stacks and not exp.standardize
    size = STACK if stacks else 1
    return [tuple(numbers[i : i + size]) for i in range(0, len(numbers), size)]


def assumed_of(exp: Experiment, of: Of) -> tuple[Experiment, Of]:
    """Return the experiment that ``exp.adversary`` assumes, and which of its networks are asked."""
    require_of(of)
    believed = exp.adversary
    unpruned = of == "pruned" and believed is not None and believed.pruner == "none"
    return exp.assumed(), "original" if unpruned else of


def shadow_signals(exp: Experiment, of: Of) -> list[Step]:
    """Return the steps to the shadow networks' signals, pruned as ``exp.adversary`` assumes."""
    assumed, which = assumed_of(exp, of)
    return [Step("signals", assumed, which, group) for group in groups(assumed)[1:]]


def by_experiment(steps: Iterable[Step]) -> dict[Experiment, list[Step]]:
    """Return the steps by experiment, each once."""
    found: dict[Experiment, list[Step]] = {}
    for step in dict.fromkeys(steps):
        found.setdefault(step.exp, []).append(step)
    return found


def attack_step(
    exp: Experiment, name: str, of: Of, options: Mapping[str, Any] = MappingProxyType({})
) -> Step:
    """Return the step to an attack's decisions on the victim; lists among options are tuples."""
    require_of(of)
    frozen = tuple(sorted((k, _hashable(value)) for k, value in options.items()))
    return Step("attack", exp, of, (VICTIM,), name, frozen)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
