"""Several releases of one network, attacked together: a stage of its own.

A release is a version of the network that the adversary holds: the original, a pruned one, a
rounded copy. All are of the same samples and the same split, and the adversary's shadow networks
are released the same way, so that an attack learns from all versions of a shadow network at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prunemia.attacks import together
from prunemia.errors import UsageError
from prunemia.lab import attacking
from prunemia.lab import work as costs
from prunemia.lab.bench import Bench, Files
from prunemia.lab.fingerprints import Facts
from prunemia.lab.steps import (
    VICTIM,
    Release,
    Step,
    attack_step,
    require_of,
    shadow_signals,
)
from prunemia.signals import JointSignals, SignalPair, Signals

SHARED = ("dataset", "samples", "seed", "shadows")
"""The fields that decide which samples belong to whom: releases of one network share them."""


def checked(releases: Sequence[Release]) -> list[Release]:
    """Return the releases.

    Raises
    ------
    UsageError
        There is none, one comes twice, or they do not share the fields of `SHARED`.
    """
    found = [(exp, of) for exp, of in releases]
    if not found:
        raise UsageError("releases: none; allowed: 1 or more pairs of an experiment and its `of`")
    first = found[0][0]
    for place, (exp, of) in enumerate(found, start=1):
        require_of(of)
        for name in SHARED:
            if (value := getattr(exp, name)) != (wanted := getattr(first, name)):
                raise UsageError(
                    f"releases: number {place} has {name} {value!r}; "
                    f"allowed: {wanted!r}, as the first has"
                )
        if (exp, of) in found[: place - 1]:
            raise UsageError(f"releases: number {place} comes twice; allowed: each once")
    return found


def step(releases: Sequence[Release], name: str, options: Mapping[str, Any]) -> Step:
    """Return the step to an attack's decisions on the victim, by all of its releases."""
    (exp, of), *beside = checked(releases)
    one = attack_step(exp, name, of, options)
    return replace(one, stage="releases", beside=tuple(beside))


def pair(bench: Bench, releases: Sequence[Release]) -> SignalPair:
    """Return what the adversary learns on and what it attacks, all releases side by side."""
    shadows = [
        Signals.concatenate([bench.value(part) for part in shadow_signals(exp, of)])
        for exp, of in releases
    ]
    targets = [bench.value(Step("signals", exp, of)) for exp, of in releases]
    return SignalPair(JointSignals.of(shadows), JointSignals.of(targets))


def needs(step: Step) -> list[Step]:
    """Return the steps to all signals: of each release, the shadow networks' and the victim's."""
    return [
        part
        for exp, of in _held(step)
        for part in [*shadow_signals(exp, of), Step("signals", exp, of, (VICTIM,))]
    ]


def identity(step: Step, inputs: Sequence[str], bench: Bench, version: int) -> Any:
    """Return what identifies the decisions: the attack, its options, and all signals in order."""
    attack = attacking.build(step, bench)
    return ["releases", version, step.attack, attack.version, attack.identity(), list(inputs)]


def carry_out(step: Step, bench: Bench) -> Files:
    """Fit the attack on the shadow networks' releases, and let it decide on the victim's."""
    signals = pair(bench, _held(step))
    attack = attacking.build(step, bench)
    with attacking.same_bits():
        attack.fit(signals.shadow)
    return attacking.decide(attack, signals.target)


def work(step: Step, facts: Facts) -> costs.Work:
    """Return the work of the fit and of the decisions."""
    passes = together(step.attack)(**dict(step.options)).passes
    count = 1 + len(step.beside)
    return costs.of_releases(step.exp.assumed(), step.attack, facts, passes, count)


def _held(step: Step) -> list[Release]:
    return [(step.exp, step.of), *step.beside]
