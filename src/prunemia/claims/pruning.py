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
from prunemia.experiment import Adversary, Experiment
from prunemia.kinds import allowed_pruners
from prunemia.lab import Lab

SPARSITIES = (0.5, 0.7, 0.9)


def leakage_over_sparsity(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that pruning raises SAMIA's accuracy, and most at the lowest sparsity (section 6)."""
    original = accuracies(lab, runs(exp, seeds), "samia", "original")
    pruned = {s: accuracies(lab, runs(exp.replace(sparsity=s), seeds), "samia") for s in SPARSITIES}
    claims = [
        _difference(
            f"Pruning by {exp.pruner} at sparsity {s:g} raises SAMIA's accuracy",
            pruned[s],
            original,
        )
        for s in SPARSITIES
    ]
    low, high = min(SPARSITIES), max(SPARSITIES)
    text = f"SAMIA is more accurate at sparsity {low:g} than at {high:g}"
    return family([*claims, _difference(text, pruned[low], pruned[high])])


def leakage_over_pruners(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that pruning raises SAMIA's accuracy by each method the network allows (section 6).

    The experiment's own method is left out where `leakage_over_sparsity` tests it at this sparsity
    already: one hypothesis is one claim.
    """
    tested = {exp.pruner} if exp.sparsity in SPARSITIES else set()
    allowed = allowed_pruners(exp.model)
    pruners = [p for p in PAPERS_PRUNERS if p in allowed and p not in tested]
    original = accuracies(lab, runs(exp, seeds), "samia", "original")
    return family(
        _difference(
            f"Pruning by {pruner} at sparsity {exp.sparsity:g} raises SAMIA's accuracy",
            accuracies(lab, runs(exp.replace(pruner=pruner), seeds), "samia"),
            original,
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
