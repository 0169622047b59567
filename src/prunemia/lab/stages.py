"""The one table of the pipeline's stages.

For each stage the table says its version, what it needs, what its result is stored under, how it is
computed and read back, how much work it is, and what it is called. Whatever walks the pipeline (the
lab, a plan, a sweep, a Dask worker) reads this table, so a new stage is one entry and its function.

A key hashes what `Stage.identity` returns: the stage's version, its part of the experiment, and the
keys of its inputs. Raise the version when a stage computes something else, so that old results are
not taken for new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prunemia.lab import (
    attacking,
    canaries,
    computing,
    fitting,
    references,
    releases,
    work,
)
from prunemia.lab.bench import Bench, Files
from prunemia.lab.fingerprints import Facts
from prunemia.lab.steps import Step
from prunemia.registry import Registry


@dataclass(frozen=True)
class Stage:
    """One stage: a row of the table.

    Attributes
    ----------
    version : raised when the stage computes something else.
    needs : the steps whose results it reads.
    identity : (step, keys of what it needs, bench, version) → the JSON that its key hashes.
    compute : (step, bench) → the artefact's files.
    read : (files, step, bench) → the value that `compute` packed.
    work : (step, facts of the data) → how much work it is, without what it needs.
    title : what is done, for people.
    """

    version: int
    needs: Callable[[Step], list[Step]]
    identity: Callable[[Step, Sequence[str], Bench, int], Any]
    compute: Callable[[Step, Bench], Files]
    read: Callable[[Files, Step, Bench], Any]
    work: Callable[[Step, Facts], work.Work]
    title: Callable[[Step], str]


STAGES = Registry(
    "stage",
    {
        "original": Stage(
            version=1,
            needs=computing.unrounded,
            identity=computing.original_identity,
            compute=computing.train,
            read=computing.read_networks,
            work=computing.network_work,
            title=lambda step: f"training {fitting.who(step.group)}",
        ),
        "pruned": Stage(
            version=1,
            needs=computing.pruned_needs,
            identity=computing.pruned_identity,
            compute=computing.prune,
            read=computing.read_networks,
            work=computing.network_work,
            title=lambda step: f"pruning {fitting.who(step.group)}",
        ),
        "signals": Stage(
            version=2,
            needs=computing.networks_of,
            identity=computing.signals_identity,
            compute=computing.query,
            read=computing.read_signals,
            work=lambda step, facts: work.of_query(step.exp, facts, len(step.group)),
            title=lambda step: f"querying {fitting.who(step.group)}",
        ),
        "references": Stage(
            version=1,
            needs=computing.networks_of,
            identity=computing.references_identity,
            compute=references.ask,
            read=references.read,
            work=lambda step, facts: work.of_asking(step.exp, facts, len(step.group)),
            title=lambda step: f"asking {fitting.who(step.group)} every sample",
        ),
        "canaries": Stage(
            version=1,
            needs=canaries.needs,
            identity=canaries.identity,
            compute=canaries.carry_out,
            read=canaries.read,
            work=lambda step, facts: work.of_network(step.exp, "canaries", facts, 1),
            title=lambda step: f"training {fitting.who(step.group)} with canaries",
        ),
        "fit": Stage(
            version=1,
            needs=computing.fit_needs,
            identity=computing.fit_identity,
            compute=computing.fit_attack,
            read=computing.read_fit,
            work=lambda step, facts: work.of_fit(
                step.exp.assumed(), step.attack, facts, computing.passes(step)
            ),
            title=lambda step: f"fitting {step.attack}",
        ),
        "attack": Stage(
            version=2,
            needs=computing.attack_needs,
            identity=computing.attack_identity,
            compute=computing.decide,
            read=attacking.read,
            work=lambda step, facts: work.of_attack(step.attack, facts),
            title=lambda step: f"deciding by {step.attack}",
        ),
        "releases": Stage(
            version=1,
            needs=releases.needs,
            identity=releases.identity,
            compute=releases.carry_out,
            read=attacking.read,
            work=releases.work,
            title=lambda step: f"attacking {1 + len(step.beside)} releases by {step.attack}",
        ),
        "cost": Stage(
            version=1,
            needs=computing.cost_needs,
            identity=computing.cost_identity,
            compute=computing.measure,
            read=computing.read_costs,
            work=lambda step, _: work.of_cutting(step.exp),
            title=lambda step: f"measuring what {fitting.who(step.group)} costs",
        ),
    },
)
