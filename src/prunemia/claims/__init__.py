"""Each claim of the paper as an effect, its interval within a family, and the verdict of that."""

from __future__ import annotations

from collections.abc import Callable

from prunemia.claims.attacks import (
    divergence_grows,
    divergence_varies_over_classes,
    samia_beats_the_others,
)
from prunemia.claims.base import (
    CONTRADICTED,
    DEPENDS,
    MARGIN,
    NEGLIGIBLE,
    PAPERS_ATTACKS,
    SUPPORTED,
    TEST_MARGIN,
    UNDECIDED,
    VERDICTS,
    Claim,
    agreed,
    counts,
    family,
    over_runs,
    runs,
    seeds_needed,
    simultaneous,
    verdict,
)
from prunemia.claims.control import (
    EFFECT_TEXTS,
    RULES,
    Agreement,
    agreement_table,
    by_the_strongest,
    control_under_rules,
    effect_claims,
    fine_tuning_or_pruning,
    regime,
    strongest,
)
from prunemia.claims.defense import ppb_protects
from prunemia.claims.lengths import capacity, excess_claims, leakage_at_equal_accuracy
from prunemia.claims.pruning import (
    leakage_over_pruners,
    leakage_over_sparsity,
    leakage_under_wrong_knowledge,
)
from prunemia.claims.recipes import recipe_claims
from prunemia.claims.references import (
    agreement,
    few_accused,
    reference_claims,
    second_signal,
    strongest_claims,
    who_is_exposed,
)
from prunemia.claims.releases import release_claims, several_releases
from prunemia.claims.tradeoff import (
    compared,
    confirmed,
    defenses_at_equal_accuracy,
    equal_accuracy,
    recommended,
    rivals,
)
from prunemia.claims.ways import halves, name_of, on_front, points
from prunemia.claims.words import table, tally, verb
from prunemia.experiment import Experiment
from prunemia.lab import Lab

__all__ = [
    "CONTRADICTED",
    "DEPENDS",
    "EFFECT_TEXTS",
    "MARGIN",
    "NEGLIGIBLE",
    "PAPERS",
    "PAPERS_ATTACKS",
    "RULES",
    "SCORECARD",
    "SUPPORTED",
    "TEST_MARGIN",
    "UNDECIDED",
    "VERDICTS",
    "Agreement",
    "Claim",
    "agreed",
    "agreement",
    "agreement_table",
    "by_the_strongest",
    "capacity",
    "compared",
    "confirmed",
    "control_under_rules",
    "counts",
    "defenses_at_equal_accuracy",
    "divergence_grows",
    "divergence_varies_over_classes",
    "effect_claims",
    "equal_accuracy",
    "excess_claims",
    "family",
    "few_accused",
    "fine_tuning_or_pruning",
    "halves",
    "leakage_at_equal_accuracy",
    "leakage_over_pruners",
    "leakage_over_sparsity",
    "leakage_under_wrong_knowledge",
    "name_of",
    "on_front",
    "over_runs",
    "points",
    "ppb_protects",
    "recipe_claims",
    "recommended",
    "reference_claims",
    "regime",
    "release_claims",
    "rivals",
    "runs",
    "samia_beats_the_others",
    "second_signal",
    "seeds_needed",
    "several_releases",
    "simultaneous",
    "strongest",
    "strongest_claims",
    "table",
    "tally",
    "verb",
    "verdict",
    "who_is_exposed",
]

SCORECARD: tuple[Callable[[Lab, Experiment, int], list[Claim]], ...] = (
    divergence_grows,
    divergence_varies_over_classes,
    samia_beats_the_others,
    few_accused,
    who_is_exposed,
    leakage_over_sparsity,
    leakage_over_pruners,
    fine_tuning_or_pruning,
    by_the_strongest,
    leakage_at_equal_accuracy,
    leakage_under_wrong_knowledge,
    ppb_protects,
    defenses_at_equal_accuracy,
    several_releases,
)
"""The families of claims that the scorecard page tests, in the book's order."""

PAPERS = (
    divergence_grows,
    divergence_varies_over_classes,
    samia_beats_the_others,
    leakage_over_sparsity,
    leakage_over_pruners,
    leakage_under_wrong_knowledge,
    ppb_protects,
)
"""Those that Yuan & Zhang (2022) make; the others are about controls and what came later."""
