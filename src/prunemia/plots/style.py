"""The book's style: Okabe and Ito's colours, safe for the colour-blind, and bars for intervals."""

import contextlib
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prunemia.metrics.intervals import Floats
from prunemia.registry import PRUNERS

COLORS = {
    "members": "#D55E00",
    "non-members": "#0072B2",
    "original": "#999999",
    "dense": PRUNERS["dense"].colour,
    "pruned": "#009E73",
}
WIDTH = 6.4  # inches: the text's on a desktop; on a phone one column stays readable
POINTS: dict[str, Any] = {"fmt": "o", "ms": 5, "capsize": 2.5}


def setup() -> None:
    """Set the book's style, and PNG and SVG figures whose bytes depend on their content alone."""
    look = {
        "figure.constrained_layout.use": True,
        "figure.figsize": (WIDTH, 3.6),
        "svg.hashsalt": "prunemia",
        "font.size": 11,
        "axes.titlelocation": "left",  # legends stand on the right
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "grid.alpha": 0.5,
    }
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", rc=look)
    with contextlib.suppress(ImportError, AttributeError):  # not in a notebook
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        # an executed page is not trusted by JupyterLab, which then shows the PNG alone
        set_matplotlib_formats("png", "svg", metadata={"Date": None})


def figure(
    rows: int = 1, *, height: float = 3.4, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure of ``rows`` panels, one below the other so that a phone can show them."""
    return plt.subplots(rows, columns, figsize=(WIDTH, height * rows), **options)


def spread(table: pd.DataFrame, value: str) -> tuple[Floats, Floats]:
    """Return values, shape (n,), and how far intervals reach below and above, (2, n), or 0."""
    middle, low, high = table[[value, f"{value}_low", f"{value}_high"]].to_numpy(dtype=float).T
    return middle, np.nan_to_num(np.stack([middle - low, high - middle])).clip(min=0)


def crosses(
    table: pd.DataFrame, x: str, y: str, ax: Axes, *, color: str, alpha: float
) -> tuple[Floats, Floats]:
    """Draw intervals along both axes; return where the points are."""
    across, widths = spread(table, x)
    up, heights = spread(table, y)
    ax.errorbar(across, up, heights, widths, fmt="none", color=color, alpha=alpha, lw=1)
    return across, up


def intervals(
    table: pd.DataFrame,
    x: str,
    value: str,
    ax: Axes,
    *,
    color: str,
    label: str = "",
    shift: float = 0.0,
) -> None:
    """Draw ``value`` against ``x`` as points with the intervals ``value_low`` … ``value_high``."""
    middle, bars = spread(table, value)
    names = table[x].dtype == object
    at = np.arange(len(table), dtype=float) if names else table[x].to_numpy(dtype=float)
    ax.errorbar(at + shift, middle, yerr=bars, lw=1.4, color=color, label=label, **POINTS)
    if names:
        ax.set_xticks(at, table[x])


def legend_above(ax: Axes, *, gap: float = 0.0) -> None:
    """Put the legend above the axes; ``gap``: of their height, for a title below it."""
    columns = max(1, len(ax.get_legend_handles_labels()[1]))
    spacing = {"borderaxespad": 0.2, "handletextpad": 0.3, "columnspacing": 1.2}
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1 + gap), ncols=columns, **spacing)
