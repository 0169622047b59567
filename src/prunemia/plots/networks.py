"""The figures of networks: their accuracy, their divergence, and what pruning does to the leak."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from prunemia.metrics import Estimate, summarize
from prunemia.plots.style import (
    COLORS,
    DEFENSES,
    DENSE,
    ORIGINAL,
    PRUNED,
    PRUNERS,
    VERDICTS,
    intervals,
    legend_above,
    spread,
)

if TYPE_CHECKING:
    from prunemia.claims import Claim

EFFECTS = {"total": ORIGINAL, "training": DENSE, "pruning": PRUNED}
"""A colour per effect."""
LABELS = {
    "total": "pruning + fine-tuning",
    "training": "fine-tuning alone",
    "pruning": "removing weights",
}
"""What figures call each effect."""


def effects_over_sparsity(table: pd.DataFrame, ax: Axes, *, ylabel: str) -> None:
    """Draw each effect against sparsity, with its interval.

    ``table``: columns effect, sparsity, value, value_low, value_high.
    """
    for place, (name, color) in enumerate(EFFECTS.items()):
        part = table[table["effect"] == name].sort_values("sparsity")
        shift = 0.012 * (place - 1)
        intervals(part, "sparsity", "value", ax, color=color, label=LABELS[name], shift=shift)
    ax.set(xlabel="Sparsity (fraction removed)", ylabel=ylabel)
    ax.label_outer()
    legend_above(ax)


ROLE_COLORS = {"training": ORIGINAL, "dense": DENSE, "pruned": PRUNED}
"""A colour for each of what happens along the epochs."""


def along_epochs(points: pd.DataFrame, value: str, ax: Axes, *, ylabel: str) -> None:
    """Draw ``value`` against the epochs since the first, with intervals over runs.

    ``points``: of `Lab.along_epochs`, one attack and measure, pruned at one sparsity. Fine-tuning,
    dense and pruned, goes on where training ended.
    """
    trained = points.loc[points["role"] == "training", "epochs"].max()
    for role, color in ROLE_COLORS.items():
        part = points[points["role"] == role]
        means = summarize(part, [value], by=["epochs"]).sort_values("epochs")
        if role != "training":
            means["epochs"] += trained
        shift = {"training": 0.0, "dense": -0.12, "pruned": 0.12}[role]
        intervals(means, "epochs", value, ax, color=color, label=role, shift=shift)
        ax.plot(means["epochs"] + shift, means[value], color=color, lw=1)
    ax.axvline(trained, color="0.7", lw=0.8, ls=":")
    ax.set(xlabel="Epochs since training began", ylabel=ylabel)
    legend_above(ax)


def capacity(cells: pd.DataFrame, axes: Sequence[Axes], *, label: str) -> None:
    """Draw each effect over width and sparsity as a heat map; a star where zero is excluded.

    ``cells``: of `claims.capacity`. Framed cells are in the paper's regime. One scale for all.
    """
    most = cells["value"].abs().max()
    for ax, (effect, part) in zip(axes, cells.groupby("effect", sort=False), strict=True):
        shape = {"index": "sparsity", "columns": "width"}
        values = part.pivot(**shape, values="value")
        signed = (part["low"] > 0) | (part["high"] < 0)
        texts = [f"{v:+.2f}{'*' if s else ''}" for v, s in zip(part["value"], signed, strict=True)]
        annot = part.assign(text=texts).pivot(**shape, values="text")
        scale = {"cmap": "PuOr_r", "center": 0, "vmin": -most, "vmax": most}
        sns.heatmap(values, ax=ax, annot=annot, fmt="", annot_kws={"size": 8}, cbar=False, **scale)
        for y, x in zip(*part.pivot(**shape, values="regime").to_numpy().nonzero(), strict=True):
            ax.add_patch(Rectangle((x, y), 1, 1, fill=False, ec="black", lw=1.4))
        ax.set(
            title=LABELS[str(effect)], xlabel="Width", ylabel="Sparsity" if ax is axes[0] else ""
        )
        ax.tick_params(axis="y", rotation=0)
    axes[0].figure.supxlabel(label, fontsize=9)


SHAPES = "osD^vPX*"
"""The markers of sparsities, in rising order."""


def matrix(table: pd.DataFrame, ax: Axes, *, label: str, digits: int = 2) -> None:
    """Draw a table of numbers as a heat map with each number in its cell.

    ``table``: shape (rows, columns); the names of its index and columns become the axes' labels.
    ``label``: what the numbers are.
    """
    numbers: dict[str, Any] = {"annot": True, "fmt": f".{digits}f", "annot_kws": {"size": 9}}
    bar = {"label": label}
    sns.heatmap(table.astype(float), ax=ax, cmap="cividis", cbar_kws=bar, **numbers)
    ax.set(xlabel=table.columns.name, ylabel=table.index.name)
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(axis="x", rotation=0 if pd.api.types.is_numeric_dtype(table.columns) else 20)


def over_sparsity(
    tables: Mapping[str, pd.DataFrame],
    ax: Axes,
    *,
    value: str,
    ylabel: str,
    levels: Mapping[str, Estimate] = MappingProxyType({}),
) -> None:
    """Draw ``value`` against sparsity with its interval, one line per pruning method.

    ``tables`` maps a method to a table with columns sparsity, value, value_low, value_high.
    ``levels``: the same of the networks that are not pruned, "original" and "dense": a dotted line
    each with its interval as a band.
    """
    for place, (name, table) in enumerate(tables.items()):
        shift = 0.008 * (place - (len(tables) - 1) / 2)
        intervals(table, "sparsity", value, ax, color=PRUNERS[name], label=name, shift=shift)
        ax.plot(table["sparsity"] + shift, table[value], color=PRUNERS[name], lw=1)
    for name, level in levels.items():
        ax.axhline(level.value, color=COLORS[name], ls=":", label=name)
        ax.axhspan(level.low, level.high, color=COLORS[name], alpha=0.15, lw=0)
    ax.set(xlabel="Sparsity (fraction removed)", ylabel=ylabel)
    ax.label_outer()


def privacy_against_compute(table: pd.DataFrame, ax: Axes) -> None:
    """Draw an attack's accuracy against the multiplications that the cut network keeps.

    Colour: the pruning method; shape: the sparsity (numbers beside the points would overlap, for
    methods meet where little is kept).

    ``table``: columns pruner, sparsity, kept (fraction of the original's multiplications, 0 … 1),
    accuracy, accuracy_low, accuracy_high.
    """
    levels = sorted(table["sparsity"].unique())
    shapes = dict(zip(levels, itertools.cycle(SHAPES)))
    for name, part in table.groupby("pruner", sort=False):
        color = PRUNERS[str(name)]
        ordered = part.sort_values("sparsity")
        ax.plot(ordered["kept"], ordered["accuracy"], color=color, lw=0.8, alpha=0.6)
        for level, point in ordered.groupby("sparsity"):
            middle, bars = spread(point, "accuracy")
            style: dict[str, Any] = {"fmt": shapes[level], "ms": 6, "capsize": 2, "lw": 1}
            ax.errorbar(point["kept"], middle, yerr=bars, color=color, **style)
        ax.plot([], [], color=color, lw=3, label=str(name))
    for level, shape in shapes.items():
        ax.plot([], [], shape, color="0.4", label=f"sparsity {level:g}")
    ax.set(xlim=(-0.03, 1.1))
    ax.set_xlabel("Multiplications kept (fraction of the original's)")
    # Beside the axes: methods and sparsities are too many names for one line.
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def accuracy_by_sparsity(table: pd.DataFrame, original: Mapping[str, float], ax: Axes) -> None:
    """Draw the victim's accuracy on members and non-members against sparsity.

    A broad bar behind each point spans the shadow networks; dotted lines: the unpruned victim.

    ``table``: columns sparsity, and members, nonmembers (the victim's), each with _low and _high
    (the shadows' smallest and largest); ``original``: the unpruned victim's two values.
    """
    for name, column in (("members", "members"), ("non-members", "nonmembers")):
        color = COLORS[name]
        low = table[f"{column}_low"]
        high = table[f"{column}_high"]
        ax.vlines(table["sparsity"], low, high, color=color, alpha=0.3, lw=6)
        ax.plot(table["sparsity"], table[column], "o-", ms=5, lw=1, color=color, label=name)
        ax.axhline(original[column], color=color, ls=":", label=f"{name}, original")
    ax.set(xlabel="Sparsity (fraction removed)", ylabel="Accuracy", ylim=(0, 1.03))
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


def class_differences(
    table: pd.DataFrame, ax: Axes, ylabel: str, *, sides: tuple[str, str] = ("original", "pruned")
) -> None:
    """Draw the mean difference between members and non-members, per class, of two networks.

    ``table``: one quantity of `divergence.by_class`; columns class, and each of ``sides`` (names
    of networks or defenses) with _low and _high.
    """
    order = table.sort_values("class")
    colors = {**COLORS, **DEFENSES}
    for name, shift in zip(sides, (-0.15, 0.15), strict=True):
        intervals(order, "class", name, ax, color=colors[name], label=name, shift=shift)
    ax.axhline(0, color="0.4", lw=0.8)
    ax.set(xlabel="Class", ylabel=ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.label_outer()
    legend_above(ax)


def changes(table: pd.DataFrame, ax: Axes) -> None:
    """Draw how each distance changed from the original to the pruned network, one line each.

    ``table``: indexed by what changed; columns value, low, high, in units of the original's
    distance.
    """
    at = np.arange(len(table))[::-1]
    middle = table["value"].to_numpy(dtype=float)
    reach = np.stack([middle - table["low"], table["high"] - middle]).clip(min=0)
    ax.errorbar(middle, at, xerr=np.nan_to_num(reach), fmt="o", ms=5, capsize=2.5, color=PRUNED)
    ax.axvline(0, color="0.4", lw=0.8)
    ax.set_yticks(at, table.index)
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlabel("Relative change, original to pruned")


def effects(claims: Sequence[Claim], ax: Axes) -> None:
    """Draw each claim's effect in half-widths of its interval, coloured by its verdict.

    Beyond the dotted lines the interval excludes zero. A claim without an interval is left out.
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
    ax.set_xlabel("Effect, in half-widths of its interval")
    below = 0.84 / ax.get_figure(root=True).get_figheight()  # type: ignore[union-attr]
    ax.legend(loc="upper center", bbox_to_anchor=(0.2, -below), ncols=2, fontsize=8)
