"""The leak along the epochs, and over capacity."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from prunemia.metrics import summarize
from prunemia.plots.control import LABELS
from prunemia.plots.style import DENSE, ORIGINAL, PRUNED, intervals, legend_above

ROLES = {"training": ORIGINAL, "dense": DENSE, "pruned": PRUNED}
"""A colour for each of what happens along the epochs."""


def along_epochs(points: pd.DataFrame, value: str, ax: Axes, *, ylabel: str) -> None:
    """Draw ``value`` against the epochs since the first, with intervals over runs.

    ``points``: of `Lab.along_epochs`, one attack and measure, pruned at one sparsity. Fine-tuning,
    dense and pruned, goes on where training ended.
    """
    trained = points.loc[points["role"] == "training", "epochs"].max()
    for role, color in ROLES.items():
        part = points[points["role"] == role]
        means = summarize(part, [value], by=["epochs"]).sort_values("epochs")
        if role != "training":
            means["epochs"] += trained
        shift = {"training": 0.0, "dense": -0.12, "pruned": 0.12}[role]
        intervals(means, "epochs", value, ax, color=color, label=role, shift=shift)
        ax.plot(means["epochs"] + shift, means[value], color=color, lw=1)
    ax.axvline(trained, color="0.7", lw=0.8, ls=":")
    ax.set(xlabel="Epochs since training began", ylabel=ylabel)
    legend_above(ax)


def capacity(cells: pd.DataFrame, axes: Sequence[Axes], *, label: str) -> None:
    """Draw each effect over width and sparsity as a heat map; a star where zero is excluded.

    ``cells``: of `claims.capacity`. Framed cells are in the paper's regime. One scale for all.
    """
    most = cells["value"].abs().max()
    for ax, (effect, part) in zip(axes, cells.groupby("effect", sort=False), strict=True):
        shape = {"index": "sparsity", "columns": "width"}
        values = part.pivot(**shape, values="value")
        signed = (part["low"] > 0) | (part["high"] < 0)
        texts = [f"{v:+.2f}{'*' if s else ''}" for v, s in zip(part["value"], signed, strict=True)]
        annot = part.assign(text=texts).pivot(**shape, values="text")
        scale = {"cmap": "PuOr_r", "center": 0, "vmin": -most, "vmax": most}
        sns.heatmap(values, ax=ax, annot=annot, fmt="", annot_kws={"size": 8}, cbar=False, **scale)
        for y, x in zip(*part.pivot(**shape, values="regime").to_numpy().nonzero(), strict=True):
            ax.add_patch(Rectangle((x, y), 1, 1, fill=False, ec="black", lw=1.4))
        ax.set(
            title=LABELS[str(effect)], xlabel="Width", ylabel="Sparsity" if ax is axes[0] else ""
        )
        ax.tick_params(axis="y", rotation=0)
    axes[0].figure.supxlabel(label, fontsize=9)
