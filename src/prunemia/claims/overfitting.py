"""How far each network over-fits, and how much it leaks, on all data sets of results/."""

from __future__ import annotations

import pandas as pd

from prunemia.claims.evidence import OWN, RULE, tables, where
from prunemia.metrics import summarize

ATTACK = "samia"


def networks() -> pd.DataFrame:
    """Return the original, the dense and the pruned networks of every data set in results/.

    Columns: dataset; network ("original", "dense", "pruned 0.5", …); role (the same without
    sparsity); train, gap (train minus test accuracy) and leak (SAMIA's balanced accuracy), each a
    mean over runs with its 95 % interval in _low and _high; runs.
    """
    return pd.concat(map(networks_of, tables("control").values()), ignore_index=True)


def networks_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return the networks of one table of the control, as in `networks`."""
    own = where(table, OWN | {"stopping": RULE})
    own = own[own["attack"].isin(["", ATTACK])]
    long = own.melt(
        ["dataset", "sparsity", "seed", "measure"], ["original", "dense", "pruned"], "role"
    )
    level = long["sparsity"].map(" {:g}".format).where(long["role"] == "pruned", "")
    long["network"] = long["role"] + level
    keys = ["dataset", "network", "role", "seed"]
    # the original and the dense network stand in the table once per sparsity
    wide = long.drop_duplicates([*keys, "measure"]).pivot_table(
        "value", keys, "measure", sort=False
    )
    wide = wide.rename(
        columns={"train accuracy": "train", "generalization gap": "gap", "accuracy": "leak"}
    ).reset_index()
    return summarize(wide, ["train", "gap", "leak"], by=keys[:3])


def rank(found: pd.DataFrame) -> float:
    """Return Spearman's rank correlation of gap and leak over the data sets' original networks."""
    originals = found[found["role"] == "original"]
    return float(originals["gap"].corr(originals["leak"], method="spearman"))


def unfitted(found: pd.DataFrame, least: float) -> str:
    """Name the data sets whose original networks reach less than ``least`` on their members.

    With their train accuracies; "none" where all reach it.
    """
    originals = found[(found["role"] == "original") & (found["train"] < least)]
    return ", ".join(f"{row.dataset} ({row.train:.3f})" for row in originals.itertuples()) or "none"


def together(found: pd.DataFrame) -> tuple[int, int]:
    """Return in how many networks gap and leak both moved the same way from the original's.

    And of how many: the dense and pruned networks of every data set.
    """
    originals = found[found["role"] == "original"].set_index("dataset")
    others = found[found["role"] != "original"]
    moved = {
        name: others[name].to_numpy() - originals.loc[others["dataset"], name].to_numpy()
        for name in ("gap", "leak")
    }
    return int((moved["gap"] * moved["leak"] > 0).sum()), len(others)
