"""The vocabulary of the pipeline: which networks, and one step to a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from prunemia.data import OWN
from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.registry import NETWORKS

Of = Literal["pruned", "original"]  # after pruning and fine-tuning, or before
Release = tuple[Experiment, Of]  # of which experiment, and which of its two networks
Group = tuple[int, ...]  # numbers of networks that train side by side, stored as one artefact

VICTIM = 0  # shadow networks are 1 … k
STACK = 16  # most networks that are trained in one stack
SHARED = ("dataset", "samples", "rows", "seed", "shadows")  # decide which samples are whose


@dataclass(frozen=True)
class Step:
    """One result of the pipeline: of a stage (`prunemia.lab.stages.STAGES`), for some networks.

    ``options``: (name, value) in order of name: the attack's, or of "canaries" the count.
    """

    stage: str
    exp: Experiment
    of: Of = "pruned"
    group: Group = (VICTIM,)
    attack: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    other_releases: tuple[Release, ...] = ()

    def __post_init__(self) -> None:
        if self.of not in get_args(Of):
            allowed = ", ".join(get_args(Of))
            raise ValueError(f"of: {self.of!r} is not allowed; allowed: {allowed}")

    @property
    def networks(self) -> Step:
        """The step to its networks."""
        return Step(self.of, self.exp, self.of, self.group)

    @property
    def releases(self) -> list[Release]:
        """All releases that an attack on several of them sees."""
        return [(self.exp, self.of), *self.other_releases]


def groups(exp: Experiment) -> list[Group]:
    """Cut networks 0 … k into what is trained side by side: the victim, then stacks of shadows."""
    return [(VICTIM,), *chunks(exp, range(1, exp.shadows + 1))]


def chunks(exp: Experiment, numbers: Sequence[int]) -> list[Group]:
    """Cut networks into stacks; those that standardize have inputs of their own, and stay alone."""
    stacks = NETWORKS[exp.model].stacks and not exp.standardize
    size = STACK if stacks else 1
    return [tuple(numbers[i : i + size]) for i in range(0, len(numbers), size)]


def assumed_steps(stage: str, exp: Experiment, of: Of, numbers: Sequence[int]) -> list[Step]:
    """Return the steps of a stage for networks that are made as ``exp.adversary`` assumes."""
    assumed = exp.assumed()
    if of == "pruned" and exp.adversary is not None and exp.adversary.pruner == "none":
        of = "original"
    return [Step(stage, assumed, of, group) for group in chunks(assumed, numbers)]


def shadow_signals(exp: Experiment, of: Of) -> list[Step]:
    """Return the steps to the shadow networks' signals, pruned as ``exp.adversary`` assumes."""
    return assumed_steps("signals", exp, of, range(1, exp.shadows + 1))


def attack_step(
    exp: Experiment, name: str, of: Of, options: Mapping[str, Any] = MappingProxyType({})
) -> Step:
    """Return the step to an attack's decisions on the victim; lists among options are tuples."""
    frozen = {k: tuple(value) if isinstance(value, list) else value for k, value in options.items()}
    return Step("attack", exp, of, (VICTIM,), name, tuple(sorted(frozen.items())))


def release_step(releases: Iterable[Release], name: str, options: Mapping[str, Any]) -> Step:
    """Return the step to an attack's decisions on the victim, by all of its releases."""
    (exp, of), *others = checked_releases(releases)
    step = attack_step(exp, name, of, options)
    return replace(step, stage="releases", other_releases=tuple(others))


def checked_releases(releases: Iterable[Release]) -> list[Release]:
    """Return the releases of one network; UsageError where they are not, or one comes twice."""
    found = list(releases)
    differ = [name for name in SHARED if len({getattr(exp, name) for exp, _ in found}) > 1]
    if not found or differ or len(set(found)) < len(found):
        said = f"they differ in {', '.join(differ)}" if differ else "none, or one of them twice"
        raise UsageError(f"releases: {said}; allowed: versions of one network, each once")
    return found


def network_label(group: Group) -> str:
    """Return what messages call these networks."""
    if group == (VICTIM,):
        return "the victim"
    kind, before = ("reference", OWN - 1) if group[0] >= OWN else ("shadow", 0)
    first, last = group[0] - before, group[-1] - before
    return f"{kind} network {first}" if len(group) == 1 else f"{kind} networks {first}–{last}"


def experiment_label(exp: Experiment, of: Of) -> str:
    """Return what messages call an experiment's networks."""
    words = [f"{Path(exp.dataset).name}/{exp.model}"]
    if of == "pruned":
        words.append(f"{exp.pruner} {exp.sparsity:g}" if exp.sparsity else exp.pruner)
        if exp.defense != "none":
            strength = exp.defense_strength
            words.append(exp.defense if strength is None else f"{exp.defense} {strength:g}")
        words += [f"{exp.rounds} rounds"] * (exp.rounds > 1) + ["rewound"] * exp.rewind
    words += [f"{exp.bits} bits"] * (exp.bits is not None)
    return ", ".join([*words, f"seed {exp.seed}"])
