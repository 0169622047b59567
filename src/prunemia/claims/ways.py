"""Points in a plane of test accuracy and leak: one per way to prune, to fine-tune and to defend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from prunemia.experiment import Experiment
from prunemia.metrics import over_seeds
from prunemia.registry import DEFENSES
from prunemia.results.planes import ADAPTIVE, ORIGINAL, VALIDATION, WAY

CHOOSING = 5
"""The first runs of a table, by seed: they choose."""

DEFAULT = tuple(Experiment.model_fields[name].default for name in ("pruner", "sparsity"))
"""The pruning that goes without saying in a defense's name."""

SYMBOLS = {"ppb": "λ", "adv": "α", "dp": "σ", "relaxloss": "ω", "distill": "T", "wemem": "s"}
"""What the strength of a defense is called."""


def completed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of trade-offs with all its columns, and with each original network once.

    Older tables lack `VALIDATION`. An original comes with every control that was fine-tuned from
    it; it has no epochs of fine-tuning itself: 0.
    """
    lacking = dict.fromkeys([name for name in VALIDATION if name not in table], np.nan)
    original = table["pruner"] == ORIGINAL
    epochs = table["finetune_epochs"].mask(original, 0)
    result = table.assign(finetune_epochs=epochs, **lacking)
    again = result.duplicated([*WAY, "seed", "adversary", "attack"])
    return result[~(original & again)]


def halves(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the runs that choose, and of those that judge; few runs only choose."""
    table = completed(table)
    chosen = sorted(table["seed"].unique())[:CHOOSING]
    choosing = table["seed"].isin(chosen)
    return table[choosing], table[~choosing]


def named(way: Any) -> str:
    """Return a way's name in figures and sentences.

    A defense is named with the pruning that it is on, unless that is the default.
    """
    if way.defense == "none":
        if way.pruner == ORIGINAL:
            return "original"
        name = f"{way.pruner} {way.sparsity:g}" if way.sparsity else str(way.pruner)
    else:
        label = DEFENSES[way.defense].label
        symbol = SYMBOLS.get(way.defense)
        name = f"{label} {symbol} = {way.strength:g}" if symbol else label
        name += " (training, too)" if way.whole else ""
        if (way.pruner, way.sparsity) != DEFAULT:
            name += f" on {way.pruner} {way.sparsity:g}"
    # early stopping has no warm-up of its own: its stopping goes without saying
    if way.stopping == "warm-up" or way.defense == "earlystop":
        return name
    return f"{name}, {way.stopping} stopping"


def points(table: pd.DataFrame, measure: str, adversary: str = ADAPTIVE) -> pd.DataFrame:
    """Return one point per way: test accuracy and the leak by the attack strongest on it.

    An undefended network has one adversary, who is adaptive. Columns: `WAY`, name (of `names`),
    attack, runs; test and leak, each with _low and _high (95 % t-interval over runs);
    validation_attack and validation, the attack strongest on validation samples and their leak
    ("" and missing for ways that do not train on them); worst, the larger of the two leaks.
    """
    table = completed(table)
    undefended = table["defense"] == "none"
    asked = table[(table["adversary"] == adversary) | undefended]
    found = [_point(dict(zip(WAY, key, strict=True)), part, measure)
             for key, part in asked.groupby(list(WAY), dropna=False, sort=False)]  # fmt: skip
    result = pd.DataFrame(found)
    result["name"] = names(result)
    return result


def names(ways: pd.DataFrame) -> pd.Series:
    """Return the name of each way, with the epochs of fine-tuning where it comes with several."""
    found = pd.Series([named(way) for way in ways.itertuples()], ways.index, dtype=object)
    epochs = ", " + ways["finetune_epochs"].astype(str) + " epochs"
    return found + np.where(found.duplicated(keep=False), epochs, "")


def _point(way: dict[str, Any], part: pd.DataFrame, measure: str) -> dict[str, Any]:
    means = part.groupby("attack")[measure].mean()
    attack = means.idxmax()
    own = part[part["attack"] == attack]
    test = over_seeds(own["test_accuracy"].to_list(), rate=True)
    leak = over_seeds(own[measure].to_list(), rate=True)
    moved = part.groupby("attack")[f"validation_{measure}"].mean()
    known = bool(moved.notna().any())
    validation = float(moved.max())
    return {
        **way, "attack": attack, "runs": len(own),
        "test": test.value, "test_low": test.low, "test_high": test.high,
        "leak": leak.value, "leak_low": leak.low, "leak_high": leak.high,
        "validation_attack": moved.idxmax() if known else "", "validation": validation,
        "worst": max(leak.value, validation) if known else leak.value,
    }  # fmt: skip


def on_front(plane: pd.DataFrame) -> pd.Series:
    """Return which points no other dominates: at least its test accuracy and at most its leak."""
    test, leak = plane["test"].to_numpy(), plane["leak"].to_numpy()
    as_good = (test[:, None] <= test) & (leak[:, None] >= leak)
    better = (test[:, None] < test) | (leak[:, None] > leak)
    return pd.Series(~(as_good & better).any(axis=1), index=plane.index)


def name_of(plane: pd.DataFrame, exp: Experiment) -> str:
    """Return the name of the point of an undefended experiment, among `points`."""
    own = plane[
        (plane["defense"] == "none")
        & (plane["pruner"] == exp.pruner)
        & (plane["sparsity"] == exp.sparsity)
        & (plane["stopping"] == exp.stopping)
        & (plane["finetune_epochs"] == exp.tuning_epochs)
    ]
    return str(own["name"].iloc[0])


def differences(table: pd.DataFrame, first: Any, second: Any, column: str) -> list[float]:
    """Return a column of the second way minus that of the first, in each run that has both.

    ``first``, ``second``: of `points`; each at its own attack, by an adaptive adversary.
    """
    own, other = (by_run(table, way, column) for way in (first, second))
    return [other[seed] - own[seed] for seed in sorted(own.keys() & other.keys())]


def by_run(table: pd.DataFrame, way: Any, column: str, attack: str = "") -> dict[int, float]:
    """Return a column of one way, by seed, at ``attack`` (else its own), adaptive adversary."""
    asked = (table["attack"] == (attack or way["attack"])) & (table["adversary"] == ADAPTIVE)
    for name in WAY:
        value = way[name]
        asked &= table[name].isna() if pd.isna(value) else table[name] == value
    part = table[asked]
    return dict(zip(part["seed"], part[column], strict=True))
