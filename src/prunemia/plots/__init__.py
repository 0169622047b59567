"""Every figure of the book: the caller owns the axes, the axes carry meaning."""

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
    threat_model,
)
from prunemia.plots.networks import (
    LABELS,
    VERDICTS,
    accuracy_by_sparsity,
    along_epochs,
    capacity,
    changes,
    class_differences,
    effects_over_sparsity,
    knowing,
    leak_and_accuracy,
    leak_by_pruner,
    matrix,
    over_sparsity,
    overfitting,
    plane,
    strengths,
    training_history,
    verdict_map,
)
from prunemia.plots.style import COLORS, WIDTH, figure, intervals, legend_above, setup
