"""The paper's claims on the divergence, and on SAMIA against the eight attacks before it."""

from __future__ import annotations

from prunemia import divergence
from prunemia.claims.base import (
    MARGIN,
    PAPERS_ATTACKS,
    Claim,
    accuracies,
    family,
    minus,
    over_runs,
    runs,
)
from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.lab.steps import Of

NETWORKS: tuple[Of, Of] = ("original", "pruned")


def divergence_grows(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that the divergence grows by pruning and fine-tuning (Yuan & Zhang 2022, section 4)."""
    chosen = {
        "confidence": ("confidence", "Wasserstein-1"),
        "sensitivity": ("sensitivity", "Kolmogorov–Smirnov"),
        "generalization gap": ("correctness", "mean difference"),
    }
    tables = []
    for run in runs(exp, seeds):
        pair = [lab.target(run, of) for of in NETWORKS]
        tables.append(
            divergence.relative_changes(divergence.compare(*pair, bootstraps=20, seed=run.seed))
        )
    return family(
        over_runs(
            f"Pruning and fine-tuning increase the divergence in {name}",
            f"relative change, {distance}",
            [float(changes[f"{quantity}, {distance}"]) for changes in tables],
        )
        for name, (quantity, distance) in chosen.items()
    )


def divergence_varies_over_classes(
    lab: Lab, exp: Experiment, seeds: int, permutations: int = 1000
) -> list[Claim]:
    """Test that a pruned network's divergence differs from class to class (section 4).

    The effect of a seed is the standard deviation over classes, less its mean when the classes are
    shuffled ``permutations`` times: zero on average where the classes do not differ.
    """
    claims = []
    for quantity in ("confidence", "sensitivity"):
        spreads = [
            divergence.class_spread(
                lab.target(run), quantity, permutations=permutations, seed=run.seed
            )
            for run in runs(exp, seeds)
        ]
        claims.append(
            over_runs(
                f"The divergence in {quantity} of a pruned network differs from class to class",
                "standard deviation over classes, above chance",
                [spread["spread"] - spread["chance"] for spread in spreads],
            )
        )
    return family(claims)


def samia_beats_the_others(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that SAMIA beats each of the eight other attacks on pruned networks (section 5)."""
    victims = runs(exp, seeds)
    samia = accuracies(lab, victims, "samia")
    return family(
        over_runs(
            f"SAMIA beats {name} on pruned networks",
            "difference in balanced accuracy",
            minus(samia, accuracies(lab, victims, name)),
            MARGIN,
        )
        for name in PAPERS_ATTACKS
        if name != "samia"
    )
