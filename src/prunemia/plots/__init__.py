"""Every figure of the book: the caller owns the axes, the axes carry meaning."""

from __future__ import annotations

from prunemia.plots.attacks import (
    attack_intervals,
    attention,
    by_references,
    class_accuracy,
    distributions,
    drawn,
    exposure_against,
    exposure_curves,
    learned,
    marks,
    roc,
)
from prunemia.plots.evidence import (
    knowing,
    leak_and_accuracy,
    overfitting,
    plane,
    ranked,
    strengths,
    verdict_map,
)
from prunemia.plots.networks import (
    LABELS,
    accuracy_by_sparsity,
    along_epochs,
    capacity,
    changes,
    class_differences,
    effects,
    effects_over_sparsity,
    matrix,
    over_sparsity,
    privacy_against_compute,
    training_history,
)
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
