"""Figures of grids: pruning methods, sparsities, what the adversary assumes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from prunemia.metrics import Estimate
from prunemia.plots.style import COLORS, PRUNERS, intervals, spread

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
