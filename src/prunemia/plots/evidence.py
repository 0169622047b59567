"""The figures of the page on evidence: over-fitting beside the leak, and verdicts over runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from prunemia.plots.style import COLORS, VERDICTS, legend_above, spread

ROLES = {"original": "s", "dense": "D", "pruned": "o"}
"""Beside its colour each kind of network has a marker."""

ROOM = 0.06
"""The least share whose number fits into its bar."""


def overfitting(networks: pd.DataFrame, ax: Axes, *, ylabel: str) -> None:
    """Draw the leak against the generalization gap: a point per network, a line per data set.

    The line goes from the dense over the pruned networks, sparsest last; the original stands alone.
    ``networks``: of `claims.overfitting.networks`.
    """
    for name, part in networks.groupby("dataset", sort=False):
        tuned = part[part["role"] != "original"]
        ax.plot(tuned["gap"], tuned["leak"], color="0.7", lw=1, zorder=1)
        top = part.iloc[int(part["leak"].argmax())]
        ax.annotate(
            str(name), (top["gap"], top["leak_high"]), (0, 4), textcoords="offset points",
            ha="center", fontsize=9, color="0.25", zorder=4,
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
        )  # fmt: skip
    for role, marker in ROLES.items():
        part = networks[networks["role"] == role]
        across, widths = spread(part, "gap")
        up, heights = spread(part, "leak")
        color = COLORS[role]
        ax.errorbar(
            across, up, xerr=widths, yerr=heights, fmt="none", color=color, alpha=0.35, lw=1
        )
        ax.plot(across, up, marker, color=color, ms=5, label=role)
    ax.axhline(0.5, color="0.4", ls=":", lw=1)
    ax.set(xlabel="Generalization gap (train − test accuracy)", ylabel=ylabel)
    ax.margins(y=0.1)
    legend_above(ax)


def verdict_shares(table: pd.DataFrame, ax: Axes) -> None:
    """Draw which share of claims gets each verdict, one bar per number of runs.

    ``table``: columns runs, verdict, share, whose shares add up to one for each number of runs.
    """
    wide = table.pivot(index="runs", columns="verdict", values="share")
    rows = wide.index.to_numpy(dtype=float)
    left = np.zeros(len(rows))
    for name, color in VERDICTS.items():
        share = wide[name].to_numpy()
        bars = ax.barh(rows, share, left=left, color=color, height=0.7, label=name)
        texts = [f"{value:.0%}" if value >= ROOM else "" for value in share]
        ax.bar_label(bars, texts, label_type="center", color="white", fontsize=9)
        left += share
    ax.set(xlabel="Share of the claims", ylabel="Runs", xlim=(0, 1))
    ax.set_yticks(rows, list(wide.index))
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, fontsize=9)
