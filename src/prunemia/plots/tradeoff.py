"""The figures of the defenses: what they cost, what they bring, and for whom."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from prunemia.metrics import Estimate
from prunemia.plots.style import DEFENSES, DENSE, ORIGINAL, PRUNERS, intervals, legend_above, spread

MARKERS = "v^<>PX*p"
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


def plane(points: pd.DataFrame, front: pd.Series, ax: Axes) -> None:
    """Draw the leak (better if low) against test accuracy (better if high), one point per way.

    A line joins a pruner's sparsities, and a defense's strengths on one pruner; a dotted one the
    points of ``front``, a mask. Thin bars are intervals. ``points``: columns pruner, sparsity,
    defense, strength, whole, and test and leak, each with _low and _high.
    """
    undefended = points[points["defense"] == "none"]
    for name, part in undefended.groupby("pruner", sort=False):
        label, color, marker, filled = _undefended(str(name))
        _joined(part.sort_values("sparsity"), ax, label, color, marker, **filled)
    defended = points[points["defense"] != "none"]
    markers = dict(zip(DEFENSES, itertools.cycle(MARKERS)))
    groups = ["defense", "whole", "pruner"]
    first = str(defended["pruner"].iloc[0]) if len(defended) else ""
    for (defense, whole, pruner), part in defended.groupby(groups, sort=False):
        name = str(defense)
        label = f"{name}, whole" if whole else name
        label += "" if pruner == first else f" on {pruner}"
        line = "--" if whole else "-" if pruner == first else "-."
        _joined(part.sort_values("strength"), ax, label, DEFENSES[name], markers[name], line)
    best = points[front].sort_values("test")
    ax.plot(best["test"], best["leak"], color="0.2", ls=":", lw=1.4, zorder=1)


def _undefended(pruner: str) -> tuple[str, str, str, dict[str, Any]]:
    """Return label, colour, marker and filling: hollow where weights are removed."""
    if pruner == "none":
        return "original", ORIGINAL, "s", {}
    if pruner == "dense":
        return "dense", DENSE, "D", {}
    return pruner, PRUNERS[pruner], "o", {"mfc": "white"}


def _joined(
    part: pd.DataFrame, ax: Axes, label: str, color: str, marker: str, line: str = "-", **how: Any
) -> None:
    across, widths = spread(part, "test")
    up, heights = spread(part, "leak")
    ax.errorbar(
        across, up, xerr=widths, yerr=heights, color=color, fmt="none", alpha=0.25, lw=1, zorder=0
    )
    ax.plot(across, up, color=color, ls=line, lw=1, marker=marker, ms=6, label=label, **how)


def ranked(table: pd.DataFrame, ax: Axes, *, name: str, value: str, xlabel: str) -> None:
    """Draw a value and its interval in one row per name, from the top in the table's order.

    ``table``: columns name, value, value_low, value_high.
    """
    middle, reach = spread(table, value)
    rows = np.arange(len(table), dtype=float)
    ax.errorbar(middle, rows, xerr=reach, fmt="o", ms=5, capsize=2.5, lw=1.2, color="#0072B2")
    ax.set_yticks(rows, table[name])
    ax.invert_yaxis()
    ax.set_xlabel(xlabel)


def knowing(points: Mapping[str, pd.DataFrame], ax: Axes) -> None:
    """Draw each defended way's leak under both adversaries, one row each, joined by a line.

    ``points`` maps an adversary ("non-adaptive", "adaptive") to columns name, defense and leak.
    """
    tables = {who: table.set_index("name")["leak"] for who, table in points.items()}
    names = list(next(iter(tables.values())).index)
    rows = np.arange(len(names), dtype=float)
    ends = np.stack([table.reindex(names).to_numpy(dtype=float) for table in tables.values()])
    ax.hlines(rows, ends.min(axis=0), ends.max(axis=0), color="0.75", lw=1.5, zorder=1)
    for who, values in zip(tables, ends, strict=True):
        ax.plot(values, rows, "o", ms=6, color=ADVERSARIES[who][0], label=who)
    ax.set_yticks(rows, names)
    ax.invert_yaxis()
    legend_above(ax)
