"""Claims on what several releases of one network give away, and on recipes of attacks."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from prunemia.claims.base import RULES, Claim
from prunemia.claims.effects import where

ATTACK = "nncls"
"""The attack of the claims, named beforehand: learned, cheap, and able to take several releases."""

PAIRS = {
    "rounds": ("Rounds of pruning leak more than one shot", "rounds", "one shot"),
    "rounds-dense": (
        "Rounds leak more with pruning than with nothing removed",
        "rounds",
        "dense, rounds",
    ),
    "rewound": ("Rewound networks leak more than fine-tuned ones", "rewound", "one shot"),
    "rewound-dense": (
        "Rewound networks leak more than with nothing removed",
        "rewound",
        "dense, rewound",
    ),
    "bits-8": ("Eight bits lower the leak of the pruned network", "pruned", "pruned, 8 bits"),
    "bits-4": ("Four bits lower the leak of the pruned network", "pruned", "pruned, 4 bits"),
    "bits-2": ("Two bits lower the leak of the pruned network", "pruned", "pruned, 2 bits"),
    "bits-2-before": ("Two bits before pruning lower the leak", "pruned", "2 bits, then pruned"),
}
"""Each claim: its text, the release that leaks more where it holds, and the other."""
ABOUT_TRAINING = ("rounds", "rounds-dense", "rewound", "rewound-dense")
"""Claims on how a network is pruned and fine-tuned: they need every stopping rule."""
TOGETHER = {
    "original + pruned": ("original", "pruned"),
    "original + dense": ("original", "dense"),
    "0.5 + 0.7 + 0.9": ("pruned to 0.5", "pruned to 0.7", "pruned to 0.9"),
    "pruned + its 4 bits": ("pruned", "pruned, 4 bits"),
}
"""Releases that an adversary holds together, and each alone."""


def releases(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield what releases together, rounds, rewinding and few bits do to an attack's accuracy.

    ``table``: of `results.released`. That several releases together exceed each alone is judged
    against the single release that is the better one on the other runs: the larger of several
    accuracies within a run is too high by chance.
    """
    rows = where(table, attack=ATTACK, measure="accuracy")
    found = rows.pivot_table(index="seed", columns="release", values="value")
    test = rows.groupby("release")["test_accuracy"].mean()
    for name, parts in TOGETHER.items():
        if {name, *parts} <= set(found):
            known = "together-" + name.replace(" + ", "-").replace("its 4 bits", "4-bits")
            text = f"Together, {name} tell {ATTACK} more than each alone"
            gains = found[name] - best_on_others(found[list(parts)])
            yield _claim(known, text, gains, "together − the better one alone")
    for known, (text, more, less) in PAIRS.items():
        if {more, less} <= set(found):
            note = f"test accuracy {test[more]:.2f} and {test[less]:.2f}"
            yield _claim(known, text, found[more] - found[less], f"{more} − {less}", note)


def best_on_others(found: pd.DataFrame) -> pd.Series:
    """Return in each run the column that is largest over all other runs; rows are runs."""
    values = found.to_numpy()
    best = (values.sum(axis=0) - values).argmax(axis=1)
    return pd.Series(values[range(len(values)), best], found.index)


def _claim(known: str, text: str, values: pd.Series, comparison: str, note: str = "") -> Claim:
    return Claim(
        known,
        text,
        {RULES[0]: tuple(values.dropna())},
        f"balanced accuracy of {ATTACK}",
        comparison,
        sparsity=0.7,
        ruled=known in ABOUT_TRAINING,
        note=note,
    )


def recipes(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield, per learned attack, that the fast recipe is stronger than the paper's.

    ``table``: ``results/recipes_*.csv``. No difference that matters is what it should show.
    """
    for attack, rows in table.groupby("attack", sort=False):
        by_seed = rows.pivot(index="seed", columns="recipe", values=["accuracy", "auc"])
        for column, measure in (("accuracy", "balanced accuracy"), ("auc", "AUC")):
            values = by_seed[column]["fast"] - by_seed[column]["paper"]
            yield Claim(
                f"recipe-{attack}-{column}",
                f"{attack}: the fast recipe is stronger than the paper's ({measure})",
                {RULES[0]: tuple(values.dropna())},
                f"{measure} of {attack}",
                "fast − paper's recipe",
                sparsity=0.7,
            )
