"""Tables of what the paper's own claims are about: divergence, nine attacks, knowledge, PPB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from prunemia import divergence
from prunemia.experiment import Adversary, Experiment
from prunemia.lab import Lab
from prunemia.lab.effects import fields
from prunemia.lab.steps import Step, attack_step

CHANGES = {
    "confidence": "confidence, Wasserstein-1",
    "sensitivity": "sensitivity, Kolmogorov–Smirnov",
    "generalization gap": "correctness, mean difference",
}
"""Each quantity's divergence, as `divergence.relative_changes` names it."""
SPREADS = ("confidence", "sensitivity")
PERMUTATIONS = 1000
WRONG = (0.5, 0.9)
"""Sparsities that an adversary assumes by mistake, besides that nothing was pruned."""
RULE = "warm-up"
"""Under the other stopping rules the divergence alone is measured: the rest is about attacks."""
ATTACKS_ON_PPB = ("conf", "samia")


def assumed(exp: Experiment) -> dict[str, Experiment]:
    """Return the experiments whose adversary is wrong about the pruning, by what it assumes."""
    guesses = {f"sparsity {s:g}": Adversary(sparsity=s) for s in WRONG if s != exp.sparsity}
    guesses["no pruning"] = Adversary(pruner="none")
    return {name: exp.replace(adversary=guess) for name, guess in guesses.items()}


def defended(exp: Experiment) -> dict[str, Experiment]:
    """Return the experiment under PPB at its default strength, by the adversary that faces it."""
    ppb = exp.replace(defense="ppb", strength=None)
    return {"adaptive": ppb, "non-adaptive": ppb.replace(adversary=Adversary(defense="none"))}


def steps(exp: Experiment, attacks: Sequence[str]) -> list[Step]:
    """Return what is to be computed for `papers` of one experiment."""
    wanted = [Step("signals", exp, "original"), Step("signals", exp, "pruned")]
    if exp.stopping == RULE and attacks:
        wanted += [attack_step(exp, name, "pruned") for name in attacks]
        wanted += [attack_step(each, "samia", "pruned") for each in assumed(exp).values()]
        wanted += [
            attack_step(each, name, "pruned")
            for each in defended(exp).values()
            for name in ATTACKS_ON_PPB
        ]
    return wanted


def papers(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return what the paper's claims need of each victim: one row per number.

    Columns: the experiment's fields; statistic, name and value:

    "change"     relative change of a divergence from the original to the pruned network (`CHANGES`)
    "spread"     spread of the pruned network's divergence over classes, above that of shuffled ones
    "accuracy"   balanced accuracy of an attack on the pruned network
    "assumed"    of SAMIA by an adversary who assumes "sparsity 0.5", …, "no pruning"
    "adaptive", "non-adaptive"  of an attack on the network under PPB
    "test"       test accuracy with "no defense" and with "ppb"

    Without ``attacks`` the divergence alone is measured.
    """
    lab.run(step for exp in experiments for step in steps(exp, attacks))
    return pd.DataFrame(
        {**fields(exp), "statistic": statistic, "name": name, "value": value}
        for exp in experiments
        for statistic, name, value in _numbers(lab, exp, attacks)
    )


def _numbers(lab: Lab, exp: Experiment, attacks: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    before, after = lab.target(exp, "original"), lab.target(exp, "pruned")
    changes = divergence.relative_changes(
        divergence.compare(before, after, bootstraps=20, seed=exp.seed)
    )
    for name, distance in CHANGES.items():
        yield "change", name, float(changes[distance])
    for name in SPREADS:
        found = divergence.class_spread(after, name, permutations=PERMUTATIONS, seed=exp.seed)
        yield "spread", name, found["spread"] - found["chance"]
    if exp.stopping != RULE or not attacks:
        return

    def accuracy(each: Experiment, name: str) -> float:
        return lab.attack(each, name).evaluation.accuracy.value

    for name in attacks:
        yield "accuracy", name, accuracy(exp, name)
    for guess, each in assumed(exp).items():
        yield "assumed", guess, accuracy(each, "samia")
    for adversary, each in defended(exp).items():
        for name in ATTACKS_ON_PPB:
            yield adversary, name, accuracy(each, name)
    tests: dict[str, Any] = {"no defense": exp, "ppb": defended(exp)["adaptive"]}
    for name, each in tests.items():
        yield "test", name, lab.pruned(each).accuracy["test"]
