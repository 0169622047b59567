"""Whether this book's quick recipes of the learned attacks are as strong as the paper's."""

from __future__ import annotations

import pandas as pd

from prunemia.claims.base import MARGIN, Claim, family, over_runs

STATISTICS = {"accuracy": "difference in balanced accuracy", "auc": "difference in AUC"}


def recipe_claims(table: pd.DataFrame) -> list[Claim]:
    """Return, per attack and measure, the claim that the quick recipe is stronger: one family.

    ``table``: ``results/recipes_*.csv``: columns attack, recipe ("fast", "paper"), seed, accuracy,
    auc. No difference that matters is what a quick recipe should show.
    """
    claims = []
    for attack, rows in table.groupby("attack", sort=False):
        by_seed = rows.pivot(index="seed", columns="recipe", values=list(STATISTICS))
        for measure, statistic in STATISTICS.items():
            values = by_seed[measure]["fast"] - by_seed[measure]["paper"]
            text = f"{attack}: the quick recipe is stronger than the paper's"
            claims.append(over_runs(text, statistic, values.tolist(), MARGIN))
    return family(claims)
