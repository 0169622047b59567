"""Each claim of the paper as a test: an effect, its interval, a corrected p, and a verdict in words."""

from __future__ import annotations

from collections.abc import Callable

from prunemia.claims.attacks import (
    divergence_grows,
    divergence_varies_over_classes,
    samia_beats_the_others,
)
from prunemia.claims.base import (
    CONTRADICTED,
    SUPPORTED,
    UNDECIDED,
    VERDICTS,
    Claim,
    counts,
    family,
    over_runs,
    runs,
    table,
    verb,
    verdict,
)
from prunemia.claims.defense import ppb_protects
from prunemia.claims.pruning import (
    leakage_over_pruners,
    leakage_over_sparsity,
    leakage_under_wrong_knowledge,
)
from prunemia.experiment import Experiment
from prunemia.lab import Lab

__all__ = [
    "CONTRADICTED",
    "SCORECARD",
    "SUPPORTED",
    "UNDECIDED",
    "VERDICTS",
    "Claim",
    "counts",
    "divergence_grows",
    "divergence_varies_over_classes",
    "family",
    "leakage_over_pruners",
    "leakage_over_sparsity",
    "leakage_under_wrong_knowledge",
    "over_runs",
    "ppb_protects",
    "runs",
    "samia_beats_the_others",
    "table",
    "verb",
    "verdict",
]

SCORECARD: tuple[Callable[[Lab, Experiment, int], list[Claim]], ...] = (
    divergence_grows,
    divergence_varies_over_classes,
    samia_beats_the_others,
    leakage_over_sparsity,
    leakage_over_pruners,
    leakage_under_wrong_knowledge,
    ppb_protects,
)
"""The families of claims that the scorecard page tests, in the book's order."""
