"""Every figure of the book: the caller owns the axes, the axes carry meaning."""

from __future__ import annotations

from prunemia.plots.attacks import (
    attack_intervals,
    attention,
    class_accuracy,
    distributions,
    learned,
    marks,
    roc,
)
from prunemia.plots.control import LABELS, effects_over_sparsity
from prunemia.plots.evidence import leak_and_accuracy, overfitting, verdict_map
from prunemia.plots.grids import matrix, over_sparsity, privacy_against_compute
from prunemia.plots.lengths import along_epochs, capacity
from prunemia.plots.pages import (
    accuracy_by_sparsity,
    changes,
    class_differences,
    effects,
    training_history,
)
from prunemia.plots.references import by_references, drawn, exposure_against, exposure_curves
from prunemia.plots.style import (
    ATTACKS,
    COLORS,
    DEFENSES,
    DENSE,
    MEMBERS,
    NONMEMBERS,
    ORIGINAL,
    PRUNED,
    PRUNERS,
    VERDICTS,
    WIDTH,
    figure,
    intervals,
    legend_above,
    setup,
)
from prunemia.plots.threat import threat_model
from prunemia.plots.tradeoff import knowing, plane, ranked, strengths

__all__ = [
    "ATTACKS",
    "COLORS",
    "DEFENSES",
    "DENSE",
    "LABELS",
    "MEMBERS",
    "NONMEMBERS",
    "ORIGINAL",
    "PRUNED",
    "PRUNERS",
    "VERDICTS",
    "WIDTH",
    "accuracy_by_sparsity",
    "along_epochs",
    "attack_intervals",
    "attention",
    "by_references",
    "capacity",
    "changes",
    "class_accuracy",
    "class_differences",
    "distributions",
    "drawn",
    "effects",
    "effects_over_sparsity",
    "exposure_against",
    "exposure_curves",
    "figure",
    "intervals",
    "knowing",
    "leak_and_accuracy",
    "learned",
    "legend_above",
    "marks",
    "matrix",
    "over_sparsity",
    "overfitting",
    "plane",
    "privacy_against_compute",
    "ranked",
    "roc",
    "setup",
    "strengths",
    "threat_model",
    "training_history",
    "verdict_map",
]
