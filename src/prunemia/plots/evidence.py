"""The figures of the evidence, all data sets side by side, and of the defenses and their price."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from prunemia.metrics import Estimate
from prunemia.plots.style import (
    COLORS,
    DEFENSES,
    VERDICTS,
    crosses,
    figure,
    intervals,
    legend_above,
    spread,
)
from prunemia.registry import LABELS

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
DATA = {name: label.split(" (")[0] for name, label in sorted(LABELS.items())}
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
            at = crosses(own, "test", "leak", ax, color=COLORS[role], alpha=0.4)
            ax.plot(*at, marker, color=COLORS[role], ms=6, label=role)
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
        legend_above(axes.flat[0], gap=0.12)
    return fig


def verdict_map(table: pd.DataFrame, names: Sequence[str] = tuple(DATA)) -> Figure:
    """Draw the map of verdicts: a band per claim, a cell per data set, with sign and effect.

    ``table``: of `claims.registry`. The claim stands above its cells, so that a phone can show it.
    """
    known = [name for name in names if name in set(table["dataset"])]
    ids = list(dict.fromkeys(table["id"]))
    texts = [textwrap.fill(str(table.loc[table["id"] == i, "text"].iloc[0]), 66) for i in ids]
    lines = [text.count("\n") + 1 for text in texts]
    fig, ax = figure(height=sum(0.55 + 0.2 * count for count in lines) + 0.5)
    y = 0.0
    for at, name in enumerate(known):
        ax.text(at + 0.5, -0.12, DATA.get(name, name), ha="center", va="bottom", fontsize=10)
    for known_id, text, count in zip(ids, texts, lines, strict=True):
        ax.text(0.02, y + 0.2 * count, text, va="bottom", fontsize=10)
        y += 0.2 * count + 0.04
        for row in table[table["id"] == known_id].itertuples():
            if row.dataset in known:
                at = known.index(str(row.dataset))
                verdict = str(row.verdict)
                weak = verdict in ("open", "not decided")
                look: dict[str, Any] = {
                    "facecolor": VERDICTS[verdict],
                    "alpha": 0.3 if weak else 0.85,
                }
                ax.add_patch(Rectangle((at + 0.02, y), 0.96, 0.36, **look))
                shown = "" if np.isnan(row.effect) else f"{SIGNS[verdict]} {row.effect:+.3f}"
                middle: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10}
                ink = "0.2" if weak else "white"
                ax.text(at + 0.5, y + 0.18, shown.replace("-", "−"), color=ink, **middle)
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
        at = crosses(part, "gap", "leak", ax, color=COLORS[role], alpha=0.35)
        ax.plot(*at, marker, color=COLORS[role], ms=5, label=role)
    ax.axhline(0.5, color="0.4", ls=":", lw=1)
    ax.set(xlabel="Generalization gap (train − test accuracy)", ylabel=ylabel)
    ax.margins(y=0.1)
    legend_above(ax)


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
        across, up = crosses(part, "test", "leak", ax, color=color, alpha=0.3)
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
