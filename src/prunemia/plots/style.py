"""Every figure of the book: the caller owns the axes, the axes carry meaning.

One style, one colour for each concept in the whole book (Okabe and Ito's palette, safe for the
colour-blind); wherever something was sampled, its 95 % interval is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from prunemia import registry

Floats = NDArray[np.float64]

MEMBERS = "#D55E00"
NONMEMBERS = "#0072B2"
ORIGINAL = "#999999"
DENSE = "#CC79A7"
PRUNED = "#009E73"
COLORS = {
    "members": MEMBERS,
    "non-members": NONMEMBERS,
    "original": ORIGINAL,
    "dense": DENSE,
    "pruned": PRUNED,
}


class Colours(Mapping[str, str]):
    """The colours of all that a registry holds, by name; what is registered later is in it, too."""

    def __init__(self, kinds: Mapping[str, Any]) -> None:
        self._kinds = kinds

    def __getitem__(self, name: str) -> str:
        return str(self._kinds[name].colour)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


ATTACKS = Colours(registry.ATTACKS)
DEFENSES = Colours(registry.DEFENSES)
PRUNERS = Colours(registry.PRUNERS)
"""One colour for each across the whole book, as its table in `prunemia.registry` says."""

VERDICTS = {
    "supported": "#009E73",
    "contradicted": "#D55E00",
    "no difference that matters": "#0072B2",
    "not decided": "#999999",
    "open": "#CCCCCC",
}

WIDTH = 6.4
"""Inches: the text's width on a desktop; on a phone a figure of one column stays readable."""


def setup() -> None:
    """Set the book's style, and PNG and SVG figures whose bytes depend on their content alone."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind")
    mpl.rcParams.update(
        {
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
    )
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        # an executed page is not trusted by JupyterLab, which then shows the PNG alone
        set_matplotlib_formats("png", "svg", metadata={"Date": None})
    except (ImportError, AttributeError):  # not in a notebook
        pass


def figure(
    rows: int = 1, *, height: float = 3.4, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """Return a figure of ``rows`` panels, one below the other so that a phone can show them."""
    return plt.subplots(rows, columns, figsize=(WIDTH, height * rows), **options)


def spread(table: pd.DataFrame, value: str) -> tuple[Floats, Floats]:
    """Return the values and how far their intervals reach below and above.

    Shapes (n,) and (2, n); a reach of 0 where a value has no interval.
    """
    middle = table[value].to_numpy(dtype=float)
    low, high = (table[f"{value}_{end}"].to_numpy(dtype=float) for end in ("low", "high"))
    return middle, np.nan_to_num(np.stack([middle - low, high - middle])).clip(min=0)


def crosses(
    table: pd.DataFrame, x: str, y: str, ax: Axes, *, color: str, alpha: float
) -> tuple[Floats, Floats]:
    """Draw the intervals of points along both axes; return where the points are."""
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
    label: str | None = None,
    shift: float = 0.0,
) -> None:
    """Draw ``value`` against ``x`` as points with the intervals ``value_low`` … ``value_high``."""
    middle, bars = spread(table, value)
    names = table[x].dtype == object
    at = np.arange(len(table), dtype=float) if names else table[x].to_numpy(dtype=float)
    ax.errorbar(
        at + shift, middle, yerr=bars, fmt="o", ms=5, capsize=2.5, lw=1.4, color=color, label=label
    )
    if names:
        ax.set_xticks(at, table[x])


def legend_above(ax: Axes, *, gap: float = 0.0) -> None:
    """Name what is drawn above the axes on the right, where no bar can hide it.

    ``gap``: room for a title below a legend that is as wide as the axes, as a fraction of their
    height.
    """
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(
        handles,
        labels,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0 + gap),
        borderaxespad=0.2,
        ncols=max(1, len(labels)),
        handletextpad=0.3,
        columnspacing=1.2,
    )
