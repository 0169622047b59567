"""The figures of the defenses: what they cost, what they bring, and for whom."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from prunemia.metrics import Estimate
from prunemia.plots.style import DEFENSES, intervals, legend_above, spread

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


def plane(points: pd.DataFrame, front: pd.Series, ax: Axes, named: Mapping[str, str]) -> None:
    """Draw the leak (better if low) against test accuracy (better if high), one point per way.

    Grey for all ways, colour for those of ``front``, a mask, which a dotted line joins. ``points``:
    columns name, defense, and test and leak, each with _low and _high; ``named`` maps a way's name
    to the label that stands beside it.
    """
    for mask, color in ((~front, "0.75"), (front, "#0072B2")):
        part = points[mask]
        across, widths = spread(part, "test")
        up, heights = spread(part, "leak")
        ax.errorbar(across, up, heights, widths, color=color, fmt="none", alpha=0.3, lw=1)
        for undefended, marker in ((True, "o"), (False, "^")):
            own = (part["defense"] == "none") == undefended
            face = "white" if undefended else color
            ax.plot(across[own], up[own], marker, ms=6, color=color, mfc=face)
    best = points[front].sort_values("test")
    ax.plot(best["test"], best["leak"], color="#0072B2", ls=":", lw=1.2, zorder=1)
    for row in points[points["name"].isin(named)].to_dict("records"):
        place = float(row["test"]), float(row["leak"])
        ax.annotate(
            named[row["name"]], place, (6, 5), textcoords="offset points", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": "0.5", "lw": 0.6},
        )  # fmt: skip
        ax.plot(*place, "s", ms=9, mfc="none", color="0.2", mew=1.1)
    for label, marker, face in (("no defense", "o", "white"), ("a defense", "^", "0.5")):
        ax.plot([], [], marker, color="0.5", mfc=face, label=label)
    ax.plot([], [], "-", color="#0072B2", lw=3, label="on the front")
    legend_above(ax)


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
