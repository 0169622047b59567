"""The paper's claims on how one prunes, how much, and what the adversary knows of it.

The attack is SAMIA throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

from prunemia.claims.base import (
    MARGIN,
    PAPERS_PRUNERS,
    Claim,
    accuracies,
    family,
    minus,
    over_runs,
    runs,
)
from prunemia.claims.control import RULES, under_rules
from prunemia.experiment import Adversary, Experiment
from prunemia.kinds import allowed_pruners
from prunemia.lab import Lab

SPARSITIES = (0.5, 0.7, 0.9)


def leakage_over_sparsity(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that pruning raises SAMIA's accuracy, and most at the lowest sparsity (section 6)."""
    found = under_rules(
        lab, [run.replace(sparsity=s) for s in SPARSITIES for run in runs(exp, seeds)]
    )
    claims = [
        found.claim(
            f"Pruning by {exp.pruner} at sparsity {s:g} raises SAMIA's accuracy",
            effect="total",
            sparsity=s,
        )
        for s in SPARSITIES
    ]
    low, high = min(SPARSITIES), max(SPARSITIES)
    asked = {"attack": "samia", "measure": "accuracy", "label": -1, "effect": "total"}
    levels = {
        rule: minus(*(found.values("pruned", rule, **asked, sparsity=s) for s in (low, high)))
        for rule in RULES
    }
    text = f"SAMIA is more accurate at sparsity {low:g} than at {high:g}"
    return family([*claims, found.of(text, levels)])


def leakage_over_pruners(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that pruning raises SAMIA's accuracy by each method the network allows (section 6).

    The experiment's own method is left out where `leakage_over_sparsity` tests it at this sparsity
    already: one hypothesis is one claim.
    """
    tested = {exp.pruner} if exp.sparsity in SPARSITIES else set()
    allowed = allowed_pruners(exp.model)
    pruners = [p for p in PAPERS_PRUNERS if p in allowed and p not in tested]
    if not pruners:
        return []
    found = under_rules(lab, [run.replace(pruner=p) for p in pruners for run in runs(exp, seeds)])
    return family(
        found.claim(
            f"Pruning by {pruner} at sparsity {exp.sparsity:g} raises SAMIA's accuracy",
            effect="total",
            pruner=pruner,
        )
        for pruner in pruners
    )


def leakage_under_wrong_knowledge(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that an adversary who is wrong about pruning finds members, but fewer (section 6).

    Wrong is each sparsity of `SPARSITIES` that is not the victim's, and that nothing was pruned.
    """
    guesses = {f"sparsity {s:g}": Adversary(sparsity=s) for s in SPARSITIES if s != exp.sparsity}
    guesses["no pruning"] = Adversary(pruner="none")
    informed = accuracies(lab, runs(exp, seeds), "samia")
    claims = []
    for name, guess in guesses.items():
        misled = accuracies(lab, runs(exp.replace(adversary=guess), seeds), "samia")
        text = f"SAMIA finds members though it assumes {name}"
        above = [accuracy - 0.5 for accuracy in misled]
        claims.append(over_runs(text, "balanced accuracy − ½", above, MARGIN))
        claims.append(_difference(f"Assuming {name} costs SAMIA accuracy", informed, misled))
    return family(claims)


def _difference(text: str, first: Sequence[float], second: Sequence[float]) -> Claim:
    """Return the claim that ``first`` exceeds ``second``, two accuracies with each seed."""
    return over_runs(text, "difference in balanced accuracy", minus(first, second), MARGIN)
