"""The figures of attacks: who sees what, what they decide, how well, and who is exposed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_curve

from prunemia.metrics import summarize
from prunemia.plots.style import COLORS, POINTS, figure, intervals, legend_above, spread
from prunemia.registry import ATTACKS, DEFENSES

SPARE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"]
# for what no table has a colour for: a reader's own attacks
INK: dict[str, Any] = {"ha": "center", "va": "center", "color": "0.15", "fontsize": 13}
PARTS = [(0.45, COLORS["members"]), (0.10, "#BBBBBB"), (0.45, COLORS["non-members"])]
# the shares of a half that a network trains on, validates on and tests on, with their colours
Point = tuple[float, float]


def threat_model(ax: Axes) -> None:
    """Draw the threat model, from data to the attack's decision; axes about as high as wide."""
    ax.set(xlim=(0, 10), ylim=(0, 11.4))
    ax.axis("off")
    victim, adversary = 2.4, 7.5  # where the two columns stand
    _box(ax, (5, 10.9), "One population of samples", width=6)
    for x, owner, first, second in (
        (victim, "Victim's half", "Original network", "Pruned network,\nopen to queries"),
        (adversary, "Adversary's half", "Shadow networks", "Pruned shadow\nnetworks"),
    ):
        _arrow(ax, (5 + (x - 5) / 2, 10.5), (x, 9.95))
        ax.text(x, 9.6, owner, weight="bold", **INK)
        _arrow(ax, (x, 7.7), (x, 6.95), "train on members")
        _box(ax, (x, 6.5), first)
        _arrow(ax, (x, 6.05), (x, 4.95), "prune, fine-tune")
        _box(ax, (x, 4.3), second, height=1.2)
    # the victim's half, and one per shadow network, each with members of its own
    for x, y in ((victim, 8.75), *((adversary + 0.2 * i, 8.75 + 0.15 * i) for i in (2, 1, 0))):
        left = x - 2.1
        for share, color in PARTS:
            part = Rectangle((left, y - 0.3), share * 4.2, 0.6, fc=color, ec="white", lw=1)
            ax.add_patch(part)
            left += share * 4.2
    for x, name in ((1.25, "members"), (3.6, "non-members")):
        ax.text(x, 8.05, name, **{**INK, "color": COLORS[name]})
    ax.text(adversary, 8.05, "split per shadow network", **INK)
    _arrow(ax, (adversary, 3.65), (adversary, 2.85), "learn the rule")
    _box(ax, (adversary, 2.3), "Attack", height=1.0)
    _arrow(ax, (5.4, 2.55), (victim + 0.6, 3.65))
    ax.text(4.75, 3.35, "sample", **INK)
    _arrow(ax, (victim - 0.4, 3.65), (5.4, 2.05))
    ax.text(3.1, 2.5, "posterior", **INK)
    _arrow(ax, (adversary, 1.75), (adversary, 1.05))
    _box(ax, (adversary, 0.6), "member, or not?")


def _box(ax: Axes, at: Point, text: str, *, width: float = 4.4, height: float = 0.8) -> None:
    corner = (at[0] - width / 2, at[1] - height / 2)
    look: dict[str, Any] = {"boxstyle": "round,pad=0.05", "fc": "#F2F2F2", "ec": "0.15", "lw": 1}
    ax.add_patch(FancyBboxPatch(corner, width, height, **look))
    ax.text(*at, text, **INK)


def _arrow(ax: Axes, start: Point, end: Point, text: str = "") -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.15", "lw": 1.3})
    beside = (start[0] + end[0]) / 2 + 0.15, (start[1] + end[1]) / 2
    ax.text(*beside, text, **{**INK, "ha": "left", "fontsize": 12})


def distributions(
    values: ArrayLike,
    membership: ArrayLike,
    ax: Axes,
    *,
    log: bool = False,
    names: tuple[str, str] = ("members", "non-members"),
    over: ArrayLike | None = None,
) -> None:
    """Draw how values are distributed over members and non-members (``names``); each sums to 1.

    ``values``, ``membership``: shape (n,). On a ``log`` axis values of 0 stand at the left edge.
    ``over``: the values that the 40 bins span, where several panels share them; None: these.
    """
    x, member = np.asarray(values, dtype=float), np.asarray(membership, dtype=bool)
    spanned = x if over is None else np.asarray(over, dtype=float)
    if not log:
        edges = np.histogram_bin_edges(spanned, 40)
    else:
        positive = spanned[spanned > 0]
        low = float(np.quantile(positive, 0.001)) if len(positive) else 1e-12
        x = np.clip(x, low, None)
        edges = np.geomspace(low, max(low, spanned.max()) * 1.0001, 41)
        ax.set_xscale("log")
    colors = [COLORS.get(name, spare) for name, spare in zip(names, SPARE[2:], strict=True)]
    for name, group, color in zip(names, (member, ~member), colors, strict=True):
        weights = np.full(int(group.sum()), 1 / max(1, group.sum()))
        bars: dict[str, Any] = {"weights": weights, "color": color}
        # Drawn twice: the outline of one must show through the area of the other.
        ax.hist(x[group], edges.tolist(), histtype="stepfilled", alpha=0.35, label=name, **bars)
        ax.hist(x[group], edges.tolist(), histtype="step", **bars)
    ax.set_ylabel("Share of samples")
    legend_above(ax)


def marks(values: ArrayLike, ax: Axes, *, label: str) -> None:
    """Mark values on the horizontal axis, shape (k,): thresholds, say."""
    at = np.asarray(values, dtype=float)
    sns.rugplot(x=at, ax=ax, height=0.08, color="0.1", lw=1.5, label=label)
    legend_above(ax)


def learned(tops: ArrayLike, scores: Mapping[str, ArrayLike], ax: Axes) -> None:
    """Draw an attack's score against the largest posterior; dotted: 0, where it decides.

    ``tops``: shape (k,), 0 … 1; ``scores`` maps at most three kinds of answer to shape (k,).
    """
    for (name, values), style in zip(scores.items(), ("-", "--", "-."), strict=False):
        ax.plot(np.asarray(tops), np.asarray(values), ls=style, lw=1.8, label=name)
    ax.axhline(0, color="0.4", ls=":")
    ax.set(xlabel="Largest posterior", ylabel="Score (above 0: member)")
    legend_above(ax)


def roc(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    ax: Axes,
    *,
    colors: Mapping[str, str] | None = None,
) -> None:
    """Draw ROC curves on log axes, which stop at 1 / non-members: the smallest rate measurable.

    ``curves`` maps a label to (membership, scores), each shape (n,).
    """
    floor = 1.0
    known = colors or COLORS | {name: kind.colour for name, kind in ATTACKS.items()}
    spare, lines = (itertools.cycle(each) for each in (SPARE, ("-", "--", "-.", ":")))
    for (label, (membership, scores)), line in zip(curves.items(), lines, strict=False):
        member = np.asarray(membership, dtype=bool)
        fpr, tpr, _ = roc_curve(member, scores, drop_intermediate=False)
        floor = min(floor, 1 / int((~member).sum()))
        color = known[label] if label in known else next(spare)
        ax.step(fpr, tpr, where="post", label=label, color=color, ls=line, lw=1.6)
    ax.plot([floor, 1], [floor, 1], color="0.6", ls=":", label="chance level")
    ax.axvline(0.01, color="0.8", lw=0.8)  # few false accusations
    ax.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1.05))
    ax.set(xlabel="False-positive rate", ylabel="True-positive rate")
    ax.legend(loc="lower right")


def class_accuracy(tables: Mapping[str, pd.DataFrame], ax: Axes) -> None:
    """Draw balanced accuracy per class; ``tables``: "original" and "pruned" `metrics.by_class`."""
    shifts = np.linspace(-0.15, 0.15, len(tables)).tolist()
    for shift, (name, table) in zip(shifts, tables.items(), strict=True):
        named = table.rename(columns={"low": "accuracy_low", "high": "accuracy_high"}).reset_index()
        intervals(named, "class", "accuracy", ax, color=COLORS[name], label=name, shift=shift)
    ax.axhline(0.5, color="0.4", ls=":")
    ax.set(xlabel="Class", ylabel="Attack accuracy")
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    legend_above(ax)


def attack_intervals(
    tables: Mapping[str, pd.DataFrame], ax: Axes, *, value: str, xlabel: str, reach: float = 0.15
) -> None:
    """Draw ``value`` and its interval, a line per attack, ``reach`` around it networks or defenses.

    ``tables`` maps these, by name, to columns attack, value, value_low, value_high.
    """
    attacks = list(dict.fromkeys(name for table in tables.values() for name in table["attack"]))
    lines = np.arange(len(attacks))[::-1]
    colors = COLORS | {name: kind.colour for name, kind in DEFENSES.items()}
    shifts = np.linspace(reach, -reach, len(tables))
    for shift, (name, table) in zip(shifts, tables.items(), strict=True):
        middle, bars = spread(table.set_index("attack").reindex(attacks), value)
        ax.errorbar(middle, lines + shift, xerr=bars, color=colors[name], label=name, **POINTS)
    ax.set_yticks(lines, attacks)
    ax.set_xlabel(xlabel)
    legend_above(ax)


def attention(weights: ArrayLike, ax: Axes) -> None:
    """Draw attention between classes, shape (C, C); each line sums to one; white: evenly."""
    table = np.asarray(weights, dtype=float)
    look: dict[str, Any] = {"cmap": "PuOr_r", "vmin": 0, "vmax": 2 / len(table)}
    sns.heatmap(table, ax=ax, square=True, cbar_kws={"label": "Weight"}, **look)
    ax.set(xlabel="Class attended to", ylabel="Class that attends")


def by_references(points: pd.DataFrame, ax: Axes, *, ylabel: str) -> None:
    """Draw runs' mean and 95 % t-interval against references, a line per attack and setting.

    ``points``: columns attack, setting ("offline", "online"), references, value.
    """
    for place, ((attack, setting), part) in enumerate(points.groupby(["attack", "setting"])):
        means = summarize(part, ["value"], by=["references"]).sort_values("references")
        means["references"] *= 1.03 ** (place - 1.5)  # so that bars stand side by side
        color = ATTACKS[str(attack)].colour
        intervals(means, "references", "value", ax, color=color)
        style = {"offline": "-", "online": "--"}[str(setting)]  # a colour is an attack's
        label = f"{attack}, {setting}"
        ax.plot(means["references"], means["value"], style, color=color, lw=1.4, label=label)
    ax.set(xscale="log", xlabel="References (log scale)", ylabel=ylabel)
    counts = sorted(points["references"].unique())
    ax.set_xticks(counts, [f"{count:g}" for count in counts])
    ax.minorticks_off()
    legend_above(ax)


def exposure_curves(table: pd.DataFrame, score: str, ax: Axes) -> None:
    """Draw samples' exposure by size, a line per network; ``table``: of `results.exposed`."""
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
    low = min(x.min(), y.min()) - 0.02
    ax.plot([0, 1], [0, 1], color="0.6", ls=":", zorder=3)
    ax.scatter(x, y, s=5, alpha=0.35, color="0.2", linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(low, 1.02), ylim=(low, 1.02), aspect="equal")


def drawn(features: NDArray[Any], titles: Sequence[str]) -> Figure:
    """Draw samples in rows of six: a curve of one channel, an image, or bars of feature values."""
    rows = -(-len(features) // 6)
    drawing, axes = figure(rows, height=1.25, columns=6, squeeze=False)
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
        ax.set(xticks=[], yticks=[])
    return drawing
