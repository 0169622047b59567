"""The figures of attacks: what they see, what they decide, how well, and who is exposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_curve

from prunemia.metrics import summarize
from prunemia.plots.style import (
    ATTACKS,
    COLORS,
    DEFENSES,
    MEMBERS,
    NONMEMBERS,
    WIDTH,
    intervals,
    legend_above,
    spread,
)


def distributions(
    values: ArrayLike,
    membership: ArrayLike,
    ax: Axes,
    *,
    bins: int = 40,
    log: bool = False,
    names: tuple[str, str] = ("members", "non-members"),
) -> None:
    """Draw how a quantity is distributed over members and over non-members (``names``).

    The bars of each of the two sum to one. ``values``, ``membership``: shape (n,). ``log``:
    logarithmic values; those of 0 stand at the left edge.
    """
    x = np.asarray(values, dtype=float)
    member = np.asarray(membership, dtype=bool)
    if log:
        positive = x[x > 0]
        x = np.clip(x, np.quantile(positive, 0.001) if len(positive) else 1e-12, None)
        edges = np.geomspace(x.min(), x.max() * 1.0001, bins + 1).tolist()
        ax.set_xscale("log")
    else:
        edges = np.histogram_bin_edges(x, bins).tolist()
    for name, group, color in zip(names, (member, ~member), (MEMBERS, NONMEMBERS), strict=True):
        weights = np.full(int(group.sum()), 1 / max(1, group.sum()))
        filled: dict[str, Any] = {"histtype": "stepfilled", "alpha": 0.35, "label": name}
        # Drawn twice: the outline of one must show through the area of the other.
        ax.hist(x[group], edges, weights=weights, color=color, **filled)
        ax.hist(x[group], edges, weights=weights, color=color, histtype="step")
    ax.set_ylabel("Share of samples")
    legend_above(ax)


def marks(values: ArrayLike, ax: Axes, *, label: str) -> None:
    """Mark values on the horizontal axis, shape (k,): thresholds, say."""
    at = np.asarray(values, dtype=float)
    sns.rugplot(x=at, ax=ax, height=0.08, color="0.1", lw=1.5, label=label)
    legend_above(ax)


def learned(tops: ArrayLike, scores: Mapping[str, ArrayLike], ax: Axes) -> None:
    """Draw an attack's score against the largest posterior, one curve per kind of answer.

    ``tops``: shape (k,), 0 … 1; ``scores`` maps what is said of the rest of the posterior, or of
    the label, to scores of shape (k,). The dotted line, 0, is where the attack decides.
    """
    for (name, values), style in zip(scores.items(), ("-", "--", "-."), strict=False):
        ax.plot(np.asarray(tops), np.asarray(values), ls=style, lw=1.8, label=name)
    ax.axhline(0, color="0.4", ls=":")
    ax.set(xlabel="Largest posterior", ylabel="Score (above 0: member)")
    legend_above(ax)


SPARE = [("#0072B2", "--"), ("#D55E00", "-."), ("#009E73", ":"), ("#CC79A7", "--")]
"""Colours and lines of curves that no table has a colour for: a reader's own attacks."""


def roc(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    ax: Axes,
    *,
    colors: Mapping[str, str] | None = None,
) -> None:
    """Draw ROC curves on log axes, down to the smallest rates that the sample can resolve.

    ``curves`` maps a label to (membership, scores), each shape (n,). The axes stop at
    1 / non-members: no smaller false-positive rate can be measured.
    """
    floor = 1.0
    known = colors or {**COLORS, **ATTACKS}
    spare = iter(SPARE * len(curves))
    for label, (membership, scores) in curves.items():
        member = np.asarray(membership, dtype=bool)
        fpr, tpr, _ = roc_curve(member, scores, drop_intermediate=False)
        floor = min(floor, 1 / int((~member).sum()))
        color, line = (known[label], "-") if label in known else next(spare)
        ax.step(fpr, tpr, where="post", label=label, color=color, ls=line, lw=1.6)
    ax.plot([floor, 1], [floor, 1], color="0.6", ls=":", label="chance level")
    ax.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1.05))
    ax.set(xlabel="False-positive rate", ylabel="True-positive rate")
    ax.legend(loc="lower right")


def class_accuracy(tables: Mapping[str, pd.DataFrame], ax: Axes) -> None:
    """Draw an attack's balanced accuracy per class; a dotted line marks chance level.

    ``tables`` maps "original" and "pruned" to `metrics.by_class`.
    """
    shifts = np.linspace(-0.15, 0.15, len(tables))
    for shift, (name, table) in zip(shifts, tables.items(), strict=True):
        named = table.rename(columns={"low": "accuracy_low", "high": "accuracy_high"}).reset_index()
        color = COLORS[name]
        intervals(named, "class", "accuracy", ax, color=color, label=name, shift=float(shift))
    ax.axhline(0.5, color="0.4", ls=":")
    ax.set(xlabel="Class", ylabel="Attack accuracy")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(ax)


def attack_intervals(
    tables: Mapping[str, pd.DataFrame], ax: Axes, *, value: str, xlabel: str, reach: float = 0.15
) -> None:
    """Draw ``value`` and its interval, one line per attack, for each network or defense.

    ``tables`` maps "original" and "pruned", or defenses, to a table with columns attack, value,
    value_low, value_high. A missing value is left out. ``reach``: how far they stand above and
    below the attack's line.
    """
    attacks = list(dict.fromkeys(name for table in tables.values() for name in table["attack"]))
    lines = np.arange(len(attacks))[::-1]
    shifts = np.linspace(reach, -reach, len(tables))
    for shift, (name, table) in zip(shifts, tables.items(), strict=True):
        middle, bars = spread(table.set_index("attack").reindex(attacks), value)
        marker: dict[str, Any] = {"fmt": "o", "ms": 5, "capsize": 2.5}
        color = {**COLORS, **DEFENSES}[name]
        ax.errorbar(middle, lines + shift, xerr=bars, color=color, label=name, **marker)
    ax.set_yticks(lines, attacks)
    ax.set_xlabel(xlabel)
    legend_above(ax)


def attention(weights: ArrayLike, ax: Axes) -> None:
    """Draw attention between classes, shape (C, C); each line of the map sums to one."""
    table = np.asarray(weights, dtype=float)
    sns.heatmap(table, ax=ax, cmap="cividis", square=True, cbar_kws={"label": "Weight"})
    ax.set(xlabel="Class attended to", ylabel="Class that attends")


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
