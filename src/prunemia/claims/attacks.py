"""The paper's claims on what leaks and who finds it: divergence, and SAMIA against the eight attacks before it."""

from __future__ import annotations

from scipy import stats

from prunemia import divergence
from prunemia.attacks import names as attack_names
from prunemia.claims.base import Claim, accuracies, family, minus, over_runs, runs
from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.lab.steps import Of
from prunemia.metrics import over_seeds

SIDES: tuple[Of, Of] = ("original", "pruned")


def divergence_grows(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that pruning increases the prediction divergence (Yuan & Zhang 2022, section 4)."""
    chosen = {
        "confidence": ("confidence", "Wasserstein-1"),
        "sensitivity": ("sensitivity", "Kolmogorov–Smirnov"),
        "generalization gap": ("correctness", "mean difference"),
    }
    tables = []
    for run in runs(exp, seeds):
        pair = [lab.target(run, of) for of in SIDES]
        tables.append(
            divergence.relative_changes(divergence.compare(*pair, bootstraps=20, seed=run.seed))
        )
    return family(
        over_runs(
            f"Pruning increases the divergence in {name}",
            f"relative change, {distance}",
            [float(changes[f"{quantity}, {distance}"]) for changes in tables],
        )
        for name, (quantity, distance) in chosen.items()
    )


def divergence_varies_over_classes(
    lab: Lab, exp: Experiment, seeds: int, permutations: int = 1000
) -> list[Claim]:
    """Test that a pruned network's divergence differs from class to class (section 4).

    The effect is the standard deviation over classes, less what it is when classes are shuffled.
    Each seed has a permutation p; Fisher's method combines them.
    """
    claims = []
    for quantity in ("confidence", "sensitivity"):
        found = [
            divergence.class_spread(
                lab.target(run), quantity, permutations=permutations, seed=run.seed
            )
            for run in runs(exp, seeds)
        ]
        p = float(stats.combine_pvalues([f["p"] for f in found], method="fisher").pvalue)
        effect = over_seeds([f["spread"] - f["chance"] for f in found])
        text = f"The divergence in {quantity} of a pruned network differs from class to class"
        claims.append(Claim(text, "standard deviation over classes, above chance", effect, p))
    return family(claims)


def samia_beats_the_others(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that SAMIA is more accurate on pruned networks than each of the eight attacks before it (section 5)."""
    tested = runs(exp, seeds)
    samia = accuracies(lab, tested, "samia")
    return family(
        over_runs(
            f"SAMIA beats {name} on pruned networks",
            "difference in balanced accuracy",
            minus(samia, accuracies(lab, tested, name)),
        )
        for name in attack_names()
        if name != "samia"
    )
