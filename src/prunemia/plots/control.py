"""What fine-tuning and pruning do to the leak, told apart by the control."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from prunemia.plots.style import DENSE, ORIGINAL, PRUNED, intervals, legend_above

EFFECTS = {"total": ORIGINAL, "training": DENSE, "pruning": PRUNED}
"""A colour per effect."""
LABELS = {
    "total": "pruning + fine-tuning",
    "training": "fine-tuning alone",
    "pruning": "removing weights",
}
"""What figures call each effect."""


def effects_over_sparsity(table: pd.DataFrame, ax: Axes, *, ylabel: str) -> None:
    """Draw each effect against sparsity, with its interval.

    ``table``: columns effect, sparsity, value, value_low, value_high.
    """
    _effects(table, "sparsity", ax, spacing=0.012)
    ax.set(xlabel="Sparsity (fraction removed)", ylabel=ylabel)
    ax.label_outer()
    legend_above(ax)


def _effects(table: pd.DataFrame, x: str, ax: Axes, spacing: float) -> None:
    for place, (name, color) in enumerate(EFFECTS.items()):
        part = table[table["effect"] == name].sort_values(x)
        intervals(
            part, x, "value", ax, color=color, label=LABELS[name], shift=spacing * (place - 1)
        )
