"""Figures of grids: pruning methods, sparsities, what the adversary assumes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from prunemia.metrics import Estimate
from prunemia.plots.style import ORIGINAL, intervals

PRUNERS = {
    "l1unstructured": "#0072B2",
    "l1structured": "#E69F00",
    "l2structured": "#CC79A7",
    "slim": "#009E73",
}
"""One colour a pruning method."""


def matrix(table: pd.DataFrame, ax: Axes, *, label: str, digits: int = 2) -> None:
    """Draw a table of numbers as a heat map with each number in its cell.

    ``table``: shape (rows, columns); the names of its index and columns become the axes' labels.
    ``label``: what the numbers are.
    """
    sns.heatmap(
        table.astype(float), ax=ax, annot=True, fmt=f".{digits}f", cmap="cividis", cbar_kws={"label": label},
        annot_kws={"size": 9},
    )  # fmt: skip
    ax.set(xlabel=table.columns.name, ylabel=table.index.name)
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(axis="x", rotation=0 if pd.api.types.is_numeric_dtype(table.columns) else 20)


def over_sparsity(
    tables: Mapping[str, pd.DataFrame],
    ax: Axes,
    *,
    value: str,
    ylabel: str,
    original: Estimate | None = None,
) -> None:
    """Draw ``value`` against sparsity with its interval, a line a pruning method.

    ``tables`` maps a method to a table with columns sparsity, value, value_low, value_high.
    ``original``: the same of the unpruned network, a dotted line with its interval as a band.
    """
    for place, (name, table) in enumerate(tables.items()):
        shift = 0.008 * (place - (len(tables) - 1) / 2)
        intervals(table, "sparsity", value, ax, color=PRUNERS[name], label=name, shift=shift)
        ax.plot(table["sparsity"] + shift, table[value], color=PRUNERS[name], lw=1)
    if original is not None:
        ax.axhline(original.value, color=ORIGINAL, ls=":", label="original")
        ax.axhspan(original.low, original.high, color=ORIGINAL, alpha=0.15, lw=0)
    ax.set(xlabel="Sparsity (fraction of what is ranked that is removed)", ylabel=ylabel)
    ax.label_outer()


def privacy_against_compute(table: pd.DataFrame, ax: Axes) -> None:
    """Draw an attack's accuracy against the multiplications that the cut network keeps, a colour a method.

    ``table``: columns pruner, kept (fraction of the original's multiplications, 0 … 1), accuracy,
    accuracy_low, accuracy_high, sparsity, which is written beside each point.
    """
    for name, part in table.groupby("pruner", sort=False):
        intervals(part, "kept", "accuracy", ax, color=PRUNERS[str(name)], label=str(name))
        for row in part.itertuples():
            ax.annotate(
                f"{row.sparsity:g}",
                (row.kept, row.accuracy),
                (4, 4),
                textcoords="offset points",
                size=8,
            )
    ax.set(
        xlabel="Multiplications kept after cutting (fraction of the original's)", xlim=(-0.03, 1.1)
    )
    ax.legend()
