"""The figures of the landing page and of the evidence: all data sets side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from prunemia.plots.style import COLORS, VERDICTS, figure, legend_above, spread
from prunemia.registry import SOURCES

ROLES = {"original": "s", "dense": "D", "pruned": "o"}
"""Beside its colour each kind of network has a marker."""
SIGNS = {
    "supported": "▲",
    "contradicted": "▼",
    "no difference that matters": "=",
    "not decided": "?",
    "open": "○",
}
"""Beside its colour each verdict has a sign, so that nobody needs to see colours."""
DATA = {name: source.label for name, source in sorted(SOURCES.items()) if source.label}
"""Data sets as figures call them; others go by their own name."""


def leak_and_accuracy(networks: pd.DataFrame) -> Figure:
    """Draw the leak against the test accuracy of every network, a small panel per data set.

    A line goes from the original over the dense network to the pruned ones, sparsest last. Bars are
    95 % intervals over runs. ``networks``: of `claims.networks`, of all data sets.
    """
    names = list(dict.fromkeys(networks["dataset"]))
    rows = -(-len(names) // 2)
    fig, axes = figure(rows, height=2.3, columns=2, sharey=True, squeeze=False)
    for ax, name in zip(axes.flat, names, strict=False):
        part = networks[networks["dataset"] == name]
        ax.plot(part["test"], part["leak"], color="0.75", lw=1, zorder=1)
        for role, marker in ROLES.items():
            own = part[part["role"] == role]
            across, widths = spread(own, "test")
            up, heights = spread(own, "leak")
            color = COLORS[role]
            ax.errorbar(across, up, heights, widths, fmt="none", color=color, alpha=0.4, lw=1)
            ax.plot(across, up, marker, color=color, ms=6, label=role)
        for row in part[part["role"] == "pruned"].itertuples():
            level = str(row.network).removeprefix("pruned ")
            place = (row.test, row.leak)
            ax.annotate(level, place, (4, -11), textcoords="offset points", fontsize=9, color="0.3")
        ax.axhline(0.5, color="0.4", ls=":", lw=1)
        ax.set_title(DATA.get(name, name), fontsize=11)
        ax.margins(0.15)
    for ax in axes.flat[len(names) :]:
        ax.axis("off")
    fig.supxlabel("Test accuracy", fontsize=11)
    fig.supylabel("Leak (accuracy of SAMIA)", fontsize=11)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    if len(names) < axes.size:
        axes.flat[-1].legend(handles, labels, loc="center", fontsize=11)
    else:
        legend_above(axes.flat[0])
    return fig


def verdict_map(table: pd.DataFrame, names: Sequence[str] = tuple(DATA)) -> Figure:
    """Draw the map of verdicts: a band per claim, a cell per data set, with sign and effect.

    ``table``: of `claims.registry`. The claim stands above its cells, so that a phone can show it.
    """
    known = [name for name in names if name in set(table["dataset"])]
    ids = list(dict.fromkeys(table["id"]))
    texts = [
        textwrap.fill(str(table.loc[table["id"] == known_id, "text"].iloc[0]), 66)
        for known_id in ids
    ]
    lines = [text.count("\n") + 1 for text in texts]
    height = sum(0.55 + 0.2 * count for count in lines) + 0.5
    fig, ax = figure(height=height)
    y, width = 0.0, 1.0
    for at, name in enumerate(known):
        ax.text(at + 0.5, -0.12, DATA.get(name, name), ha="center", va="bottom", fontsize=10)
    for known_id, text, count in zip(ids, texts, lines, strict=True):
        ax.text(0.02, y + 0.2 * count, text, va="bottom", fontsize=10)
        y += 0.2 * count + 0.04
        for row in table[table["id"] == known_id].itertuples():
            if row.dataset in known:
                at = known.index(str(row.dataset))
                verdict = str(row.verdict)
                box = Rectangle((at + 0.02, y), width - 0.04, 0.36, facecolor=VERDICTS[verdict])
                box.set_alpha(0.3 if verdict in ("open", "not decided") else 0.85)
                ax.add_patch(box)
                shown = "" if np.isnan(row.effect) else f"{SIGNS[verdict]} {row.effect:+.3f}"
                strong = verdict not in ("open", "not decided")
                ax.text(
                    at + 0.5,
                    y + 0.18,
                    shown.replace("-", "−"),
                    ha="center",
                    va="center",
                    fontsize=10,
                    color="white" if strong else "0.2",
                )
        y += 0.36 + 0.15
    ax.set(xlim=(0, len(known)), ylim=(y, -0.45))
    ax.axis("off")
    return fig


def overfitting(networks: pd.DataFrame, ax: Axes, *, ylabel: str) -> None:
    """Draw the leak against the generalization gap: a point per network, a line per data set.

    The line goes from the dense over the pruned networks, sparsest last; the original stands alone.
    ``networks``: of `claims.networks`, of all data sets.
    """
    for name, part in networks.groupby("dataset", sort=False):
        tuned = part[part["role"] != "original"]
        ax.plot(tuned["gap"], tuned["leak"], color="0.7", lw=1, zorder=1)
        top = part.iloc[int(part["leak"].argmax())]
        ax.annotate(
            DATA.get(str(name), str(name)), (top["gap"], top["leak_high"]), (0, 4),
            textcoords="offset points", ha="center", fontsize=9, color="0.25", zorder=4,
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
