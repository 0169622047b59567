"""The figures of the setting, the divergence and the scorecard."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from prunemia.plots.style import COLORS, DEFENSES, PRUNED, VERDICTS, intervals, legend_above

if TYPE_CHECKING:
    from prunemia.claims import Claim


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
