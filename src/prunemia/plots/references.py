"""Attacks by references, and how exposed each sample is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from prunemia.metrics import summarize
from prunemia.plots.style import ATTACKS, COLORS, WIDTH, intervals, legend_above

STYLES = {"offline": "-", "online": "--"}


def by_references(points: pd.DataFrame, ax: Axes, *, ylabel: str) -> None:
    """Draw a measure against the number of references, one line per attack and setting.

    ``points``: columns attack, setting ("offline", "online"), references, value; runs are averaged,
    bars are 95 % t-intervals. The axis is logarithmic.
    """
    for place, ((attack, setting), part) in enumerate(points.groupby(["attack", "setting"])):
        means = summarize(part, ["value"], by=["references"]).sort_values("references")
        color = ATTACKS[str(attack)]
        means["references"] *= 1.03 ** (place - 1.5)  # so that bars stand side by side
        label = f"{attack}, {setting}"
        intervals(means, "references", "value", ax, color=color)
        style = STYLES[str(setting)]  # in the legend, too: a colour is an attack's
        ax.plot(means["references"], means["value"], style, color=color, lw=1.4, label=label)
    ax.set(xscale="log", xlabel="References (log scale)", ylabel=ylabel)
    counts = sorted(points["references"].unique())
    ax.set_xticks(counts, [f"{count:g}" for count in counts])
    ax.minorticks_off()
    legend_above(ax)


def exposure_curves(table: pd.DataFrame, score: str, ax: Axes) -> None:
    """Draw the samples' exposure in order of size, one line per network.

    ``table``: of `results.exposed`. The horizontal axis is the share of samples that are at least
    as exposed; the dotted line is chance level.
    """
    for network, part in table.groupby("network", sort=False):
        values = np.sort(part[score].dropna())[::-1]
        share = np.arange(1, len(values) + 1) / len(values)
        ax.plot(share, values, color=COLORS[str(network)], lw=1.6, label=network)
    ax.axhline(0.5, color="0.4", ls=":")
    ax.set(xlabel="Share of samples, the most exposed first", ylabel="Exposure (AUC over networks)")
    legend_above(ax)


def exposure_against(
    x: pd.Series[float], y: pd.Series[float], ax: Axes, *, xlabel: str, ylabel: str
) -> None:
    """Draw one exposure against another, a point per sample; on the line both are equal."""
    ax.plot([0, 1], [0, 1], color="0.6", ls=":")
    ax.scatter(x, y, s=5, alpha=0.35, color="0.2", linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1.02), ylim=(0, 1.02))


def drawn(features: NDArray[Any], titles: Sequence[str], *, columns: int = 6) -> Figure:
    """Draw samples in rows: a curve of one channel, an image, or bars of feature values."""
    rows = -(-len(features) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 1.25 * rows), squeeze=False)
    for ax in axes.flat[len(features) :]:
        ax.set_axis_off()
    for x, title, ax in zip(features, titles, axes.flat, strict=False):
        if x.ndim == 3:
            ax.imshow(np.moveaxis(x, 0, -1).squeeze(), cmap="gray")
        elif x.ndim == 2:
            ax.plot(x[0], color="0.15", lw=1.2)
        else:
            ax.bar(np.arange(len(x)), x, color="0.3", width=1.0)
        ax.set_title(title, fontsize=8)
        ax.set_xticks([])
        ax.set_yticks([])
    return figure
