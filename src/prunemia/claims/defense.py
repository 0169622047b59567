"""The paper's claims on defenses, and what the pages on defenses share: experiments, a choice."""

from __future__ import annotations

from prunemia import pruning
from prunemia.claims.base import (
    MARGIN,
    TEST_MARGIN,
    Claim,
    accuracies,
    family,
    minus,
    over_runs,
    runs,
)
from prunemia.experiment import Adversary, Experiment
from prunemia.kinds import DEFENSES
from prunemia.lab import Lab
from prunemia.results.planes import ADAPTIVE, NAIVE


def defended(
    exp: Experiment, name: str, *, adaptive: bool = True, strength: float | None = None
) -> Experiment:
    """Return the experiment with a defense; ``strength`` None: its default, written out.

    A non-adaptive adversary prunes its shadow networks without the defense (Yuan & Zhang 2022,
    section 7).
    """
    if name == "none":
        return exp.replace(defense=name, strength=None, adversary=None)
    chosen = DEFENSES[name].strength.default if strength is None else float(strength)
    believed = None if adaptive else Adversary(defense="none")
    return exp.replace(defense=name, strength=chosen, adversary=believed)


def ppb_protects(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that PPB at its default strength lowers accuracies and keeps the victim's (section 7).

    That it keeps the sparsity holds by construction, so it is no claim: `regained` counts.
    """
    plain = [defended(run, "none") for run in runs(exp, seeds)]
    claims = [
        _lowers("ppb", lab, plain, attack, adversary)
        for adversary in (NAIVE, ADAPTIVE)
        for attack in ("samia", "conf")
    ]
    lost = [_test(lab, run) - _test(lab, defended(run, "ppb")) for run in plain]
    # The margin is in the effect already: losing less than it is keeping the accuracy.
    kept = [TEST_MARGIN - loss for loss in lost]
    strength = defended(exp, "ppb").strength
    text = f"{_named('ppb')} at λ = {strength:g} keeps the test accuracy"
    claims.append(over_runs(text, f"{TEST_MARGIN:g} − loss of test accuracy", kept))
    return family(claims)


def _lowers(name: str, lab: Lab, plain: list[Experiment], attack: str, adversary: str) -> Claim:
    """Return the claim that a defense lowers an attack's accuracy; ``plain``: without defense."""
    protected = [defended(run, name, adaptive=adversary == ADAPTIVE) for run in plain]
    lowered = minus(accuracies(lab, plain, attack), accuracies(lab, protected, attack))
    article = "an" if adversary == ADAPTIVE else "a"
    text = f"{_named(name)} lowers the accuracy of {attack} for {article} {adversary} adversary"
    return over_runs(text, f"balanced accuracy, none − {name}", lowered, MARGIN)


def _named(name: str) -> str:
    """Return the defense's label, to begin a sentence with."""
    label = DEFENSES[name].label
    return label[0].upper() + label[1:]


def _test(lab: Lab, exp: Experiment) -> float:
    """Return the pruned victim's test accuracy, 0 … 1."""
    return float(lab.pruned(exp).accuracy["test"])


def regained(lab: Lab, exp: Experiment) -> int:
    """Return how many of the victim's removed weights are not zero after fine-tuning."""
    masks = pruning.prune(lab.original(exp).module, exp.pruner, exp.sparsity)
    tuned = dict(lab.pruned(exp).module.named_parameters())
    return sum(
        int(tuned[name][~keep.to(tuned[name].device)].count_nonzero())
        for name, keep in masks.keep.items()
    )
