"""The figures of the defenses: what they cost, what they bring, and for whom."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from prunemia.metrics import Estimate
from prunemia.plots.attacks import attack_intervals
from prunemia.plots.style import DEFENSES, intervals, legend_above, spread

MARKERS = "osD^vPX*"
"""The markers of defenses, in the order of their table."""

ADVERSARIES = {"non-adaptive": ("#56B4E9", "--"), "adaptive": ("#D55E00", "-")}
"""The colour and line of an adversary."""

SHIFT = 0.04
"""How far two adversaries stand left and right of a strength, in doublings, lest bars hide bars."""


def strengths(
    tables: Mapping[str, pd.DataFrame],
    ax: Axes,
    *,
    value: str,
    ylabel: str,
    none: Estimate | None = None,
) -> None:
    """Draw ``value`` and its interval against a defense's strength, on a log2 axis.

    Dotted, with its interval as a band: the network without the defense (``none``).

    ``tables`` maps a label ("adaptive", "non-adaptive") to columns strength (> 0), value,
    value_low, value_high.
    """
    shifts = 2 ** np.linspace(-SHIFT, SHIFT, len(tables)) if len(tables) > 1 else [1.0]
    for shift, (label, table) in zip(shifts, tables.items(), strict=True):
        color, line = ADVERSARIES.get(label, (DEFENSES["ppb"], "-"))
        moved = table.assign(strength=table["strength"] * shift)
        intervals(moved, "strength", value, ax, color=color, label=label)
        ax.plot(moved["strength"], moved[value], color=color, ls=line, lw=1.4)
    if none is not None:
        ax.axhline(none.value, color="0.4", ls=":", label="no defense")
        if np.isfinite([none.low, none.high]).all():
            ax.axhspan(none.low, none.high, color="0.4", alpha=0.12, lw=0)
    ticks = sorted({float(x) for table in tables.values() for x in table["strength"]})
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
    ax.set_ylabel(ylabel)
    legend_above(ax)


def by_defense(table: pd.DataFrame, ax: Axes, *, value: str, xlabel: str) -> None:
    """Draw ``value`` and its interval under each defense, one line per attack.

    A value that is missing is left out.

    ``table``: columns defense, attack, value, value_low, value_high.
    """
    by_name = {str(name): part for name, part in table.groupby("defense", sort=False)}
    attack_intervals(by_name, ax, value=value, xlabel=xlabel, reach=0.3)
    legend_above(ax, gap=0.06)


def pareto(table: pd.DataFrame, ax: Axes, *, x: str, y: str) -> None:
    """Draw ``y`` (better if low) against ``x`` (better if high), one point per defense.

    A dotted line joins the front. ``table``: columns defense, and x and y, each with _low and
    _high; a defense without a value is left out.
    """
    shown = table[table[[x, y]].notna().all(axis=1)]
    shown = shown.sort_values("defense", key=lambda names: names.map(list(DEFENSES).index))
    best = shown[front(shown, x, y)].sort_values(x)
    ax.plot(best[x], best[y], color="0.4", ls=":", lw=1.2, zorder=1)
    markers = dict(zip(DEFENSES, itertools.cycle(MARKERS)))
    for at, name in enumerate(shown["defense"]):
        one = shown.iloc[[at]]
        across, widths = spread(one, x)
        up, heights = spread(one, y)
        marker: dict[str, Any] = {"fmt": markers[name], "ms": 7, "capsize": 2.5, "lw": 1.2}
        color = DEFENSES[name]
        ax.errorbar(across, up, xerr=widths, yerr=heights, color=color, label=name, **marker)
    legend_above(ax, gap=0.06)


def front(table: pd.DataFrame, x: str, y: str) -> NDArray[np.bool_]:
    """Return the Pareto front as a mask: the points that no other point dominates.

    A point dominates another with at least its ``x`` and at most its ``y``, one of them strictly.
    """
    high = table[x].to_numpy(dtype=float)
    low = table[y].to_numpy(dtype=float)
    as_good = (high[:, None] >= high) & (low[:, None] <= low)
    better = (high[:, None] > high) | (low[:, None] < low)
    return np.asarray(~(as_good & better).any(axis=0))
