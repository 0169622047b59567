"""The figures of the setting, the divergence, the attacks and the scorecard."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from prunemia.plots.style import (
    ATTACKS,
    COLORS,
    DEFENSES,
    MEMBERS,
    NONMEMBERS,
    PRUNED,
    VERDICTS,
    intervals,
    spread,
)

if TYPE_CHECKING:
    from prunemia.claims import Claim


def accuracy_by_sparsity(table: pd.DataFrame, original: Mapping[str, float], ax: Axes) -> None:
    """Draw accuracy on members and non-members against sparsity, the original network's as dotted lines.

    ``table``: columns sparsity, and members, nonmembers with _low and _high; ``original``: the two
    values.
    """
    for name, column in (("members", "members"), ("non-members", "nonmembers")):
        intervals(table, "sparsity", column, ax, color=COLORS[name], label=f"{name}, pruned")
        ax.plot(table["sparsity"], table[column], color=COLORS[name], lw=1)
        ax.axhline(original[column], color=COLORS[name], ls=":", label=f"{name}, original")
    ax.set(xlabel="Sparsity (fraction of weights removed)", ylabel="Accuracy", ylim=(0, 1.03))
    ax.legend(ncols=2, loc="lower left")


def training_history(histories: Mapping[str, Any], ax: Axes) -> None:
    """Draw validation accuracy epoch by epoch; a dot marks the epoch that was kept.

    ``histories`` maps "original" and "pruned" to a `training.History`.
    """
    for name, history in histories.items():
        epochs = np.arange(1, len(history.validation) + 1)
        ax.plot(epochs, history.validation, color=COLORS[name], label=name)
        best = history.best_epoch
        ax.plot(best + 1, history.validation[best], "o", color=COLORS[name])
    ax.set(xlabel="Epoch", ylabel="Validation accuracy")
    ax.legend(loc="lower right")


def distributions(
    values: ArrayLike,
    membership: ArrayLike,
    ax: Axes,
    *,
    bins: int = 40,
    log: bool = False,
    names: tuple[str, str] = ("members", "non-members"),
) -> None:
    """Draw how a quantity is distributed over members and over non-members (``names``), each sample to one.

    ``values``, ``membership``: shape (n,). ``log``: logarithmic values; those of 0 sit at the left
    edge.
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
    for name, side, color in zip(names, (member, ~member), (MEMBERS, NONMEMBERS), strict=True):
        weights = np.full(int(side.sum()), 1 / side.sum())
        ax.hist(
            x[side],
            edges,
            weights=weights,
            histtype="stepfilled",
            alpha=0.35,
            color=color,
            label=name,
        )
        ax.hist(x[side], edges, weights=weights, histtype="step", color=color)
    ax.set_ylabel("Share of samples")
    ax.legend()


def class_differences(
    table: pd.DataFrame, ax: Axes, ylabel: str, *, sides: tuple[str, str] = ("original", "pruned")
) -> None:
    """Draw the mean difference between members and non-members in each class, of two networks (``sides``).

    ``table``: one quantity of `divergence.by_class`; columns class, and each side with _low and
    _high.
    """
    order = table.sort_values("class")
    for name, shift in zip(sides, (-0.15, 0.15), strict=True):
        intervals(
            order, "class", name, ax, color=(COLORS | DEFENSES)[name], label=name, shift=shift
        )
    ax.axhline(0, color="0.4", lw=0.8)
    ax.set(xlabel="Class", ylabel=ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.label_outer()
    ax.legend()


def changes(table: pd.DataFrame, ax: Axes) -> None:
    """Draw what pruning changed, relative to the original network: one row a (quantity, distance).

    ``table``: indexed by what changed; columns value, low, high, in units of the original's
    distance.
    """
    at = np.arange(len(table))[::-1]
    middle = table["value"].to_numpy(dtype=float)
    spread = np.stack([middle - table["low"], table["high"] - middle]).clip(min=0)
    ax.errorbar(middle, at, xerr=np.nan_to_num(spread), fmt="o", ms=5, capsize=2.5, color=PRUNED)
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set_yticks(at, table.index)
    ax.set_xlabel("Change by pruning, relative to the original network")


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
    for label, (membership, scores) in curves.items():
        member = np.asarray(membership, dtype=bool)
        fpr, tpr, _ = roc_curve(member, scores, drop_intermediate=False)
        floor = min(floor, 1 / int((~member).sum()))
        color = (colors or COLORS | ATTACKS).get(label)
        ax.step(fpr, tpr, where="post", label=label, color=color, lw=1.6)
    ax.plot([floor, 1], [floor, 1], color="0.6", ls=":", label="guessing")
    ax.set(xscale="log", yscale="log", xlim=(floor, 1), ylim=(floor, 1.05))
    ax.set(xlabel="False-positive rate", ylabel="True-positive rate")
    ax.legend(loc="lower right")


def class_accuracy(tables: Mapping[str, pd.DataFrame], ax: Axes) -> None:
    """Draw an attack's balanced accuracy class by class; a dotted line marks guessing.

    ``tables`` maps "original" and "pruned" to `metrics.by_class`.
    """
    shifts = np.linspace(-0.15, 0.15, len(tables))
    for shift, (name, table) in zip(shifts, tables.items(), strict=True):
        named = table.rename(columns={"low": "accuracy_low", "high": "accuracy_high"}).reset_index()
        intervals(
            named, "class", "accuracy", ax, color=COLORS[name], label=name, shift=float(shift)
        )
    ax.axhline(0.5, color="0.4", ls=":")
    ax.set(xlabel="Class", ylabel="Attack accuracy")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()


def attack_intervals(
    tables: Mapping[str, pd.DataFrame], ax: Axes, *, value: str, xlabel: str, reach: float = 0.15
) -> None:
    """Draw one row an attack: ``value`` and its interval, for each network or defense of ``tables``.

    ``tables`` maps "original" and "pruned", or defenses, to a table with columns attack, value,
    value_low, value_high. A missing value is left out. ``reach``: how far they stand above and
    below the row.
    """
    names: list[Any] = list(
        dict.fromkeys(name for table in tables.values() for name in table["attack"])
    )
    shifts = np.linspace(reach, -reach, len(tables))
    for shift, (side, table) in zip(shifts, tables.items(), strict=True):
        middle, bars = spread(table.set_index("attack").reindex(names), value)
        at = np.arange(len(names))[::-1] + shift
        color = (COLORS | DEFENSES)[side]
        ax.errorbar(middle, at, xerr=bars, fmt="o", ms=5, capsize=2.5, color=color, label=side)
    ax.set_yticks(np.arange(len(names))[::-1], names)
    ax.set_xlabel(xlabel)
    ax.legend()


def marks(values: ArrayLike, ax: Axes, *, label: str) -> None:
    """Mark values on the horizontal axis, shape (k,): thresholds, say."""
    sns.rugplot(
        x=np.asarray(values, dtype=float), ax=ax, height=0.08, color="0.1", lw=1.5, label=label
    )
    ax.legend()


def attention(weights: ArrayLike, ax: Axes) -> None:
    """Draw attention between classes, shape (C, C): each row, the class that asks, sums to one."""
    sns.heatmap(
        np.asarray(weights, dtype=float),
        ax=ax,
        cmap="cividis",
        square=True,
        cbar_kws={"label": "Weight"},
    )
    ax.set(xlabel="Class attended to", ylabel="Class that attends")


def effects(claims: Sequence[Claim], ax: Axes) -> None:
    """Draw one row a claim: its effect in half-widths of its interval, coloured by its verdict.

    Dotted lines: where one test alone would reach 5 %. A claim without an interval is left out.
    """
    shown = [c for c in claims if not math.isnan(c.effect.low) and c.effect.high > c.effect.low]
    half = [(c.effect.high - c.effect.low) / 2 for c in shown]
    at = np.arange(len(shown))[::-1]
    for c, width, y in zip(shown, half, at, strict=True):
        ax.plot(c.effect.value / width, y, "o", color=VERDICTS[c.verdict])
    for word, color in VERDICTS.items():
        ax.plot([], [], "o", color=color, label=word)
    ax.axvline(0, color="0.4", lw=0.8)
    for edge in (-1, 1):
        ax.axvline(edge, color="0.4", ls=":")
    ax.set_yticks(at, [textwrap.fill(c.text, 42) for c in shown], fontsize=8)
    ax.set_xlabel("Effect, in half-widths of its 95 % interval over seeds")
    below = 0.84 / ax.get_figure(root=True).get_figheight()  # type: ignore[union-attr]
    ax.legend(loc="upper center", bbox_to_anchor=(0.2, -below), ncols=3, fontsize=8)
