"""The paper's claims on how one prunes, how much, and what the adversary knows of it; SAMIA is the attack."""

from __future__ import annotations

from prunemia.claims.base import Claim, accuracies, family, minus, over_runs, runs
from prunemia.experiment import Adversary, Experiment
from prunemia.kinds import allowed_pruners
from prunemia.lab import Lab

SPARSITIES = (0.5, 0.7, 0.9)
DIFFERENCE = "difference in balanced accuracy"


def leakage_over_sparsity(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that pruning raises the attack's accuracy at each sparsity, and most at the lowest (section 6)."""
    original = accuracies(lab, runs(exp, seeds), "samia", "original")
    found = {s: accuracies(lab, runs(exp.replace(sparsity=s), seeds), "samia") for s in SPARSITIES}
    claims = [
        over_runs(
            f"Pruning at sparsity {s:g} raises SAMIA's accuracy",
            DIFFERENCE,
            minus(found[s], original),
        )
        for s in SPARSITIES
    ]
    low, high = min(SPARSITIES), max(SPARSITIES)
    text = f"SAMIA finds more at sparsity {low:g} than at {high:g}"
    return family([*claims, over_runs(text, DIFFERENCE, minus(found[low], found[high]))])


def leakage_over_pruners(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test for each pruning method that the network allows that it raises the attack's accuracy (section 6)."""
    original = accuracies(lab, runs(exp, seeds), "samia", "original")
    return family(
        over_runs(
            f"Pruning by {pruner} raises SAMIA's accuracy",
            DIFFERENCE,
            minus(accuracies(lab, runs(exp.replace(pruner=pruner), seeds), "samia"), original),
        )
        for pruner in allowed_pruners(exp.model)
    )


def leakage_under_wrong_knowledge(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that an adversary who is wrong about pruning still finds members, and finds fewer (section 6).

    Wrong is each sparsity of `SPARSITIES` that is not the victim's, and that nothing was pruned.
    """
    guesses = {f"sparsity {s:g}": Adversary(sparsity=s) for s in SPARSITIES if s != exp.sparsity}
    guesses["no pruning"] = Adversary(pruner="none")
    truth = accuracies(lab, runs(exp, seeds), "samia")
    claims = []
    for name, guess in guesses.items():
        wrong = accuracies(lab, runs(exp.replace(adversary=guess), seeds), "samia")
        beats = [accuracy - 0.5 for accuracy in wrong]
        claims.append(
            over_runs(
                f"SAMIA finds members though it assumes {name}", "balanced accuracy − ½", beats
            )
        )
        claims.append(
            over_runs(f"Assuming {name} costs SAMIA accuracy", DIFFERENCE, minus(truth, wrong))
        )
    return family(claims)
