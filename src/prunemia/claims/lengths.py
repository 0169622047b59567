"""Claims at equal test accuracy, over capacity, and by the strongest attack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from prunemia.claims.base import MARGIN, Claim, family, over_runs
from prunemia.claims.control import FITTED, LOST, effect_claims
from prunemia.lab.effects import EFFECTS
from prunemia.lab.lengths import excess


def excess_claims(points: pd.DataFrame, attack: str, measure: str = "accuracy") -> list[Claim]:
    """Test, per sparsity, whether pruned networks leak more than dense ones of their accuracy.

    ``points``: of `Lab.along_epochs`. A run has a number only where its dense networks reach the
    pruned one's test accuracy; the text counts them, and a sparsity without any is left out.
    """
    found = excess(points)
    asked = found[(found["attack"] == attack) & (found["measure"] == measure)]
    claims = []
    for sparsity, rows in asked.groupby("sparsity"):
        values = rows["excess"].dropna().tolist()
        text = (
            f"At sparsity {sparsity:g} the pruned network leaks more to {attack} than a dense one "
            f"of its test accuracy ({len(values)} of {len(rows)} runs)"
        )
        if values:
            name = "balanced accuracy" if measure == "accuracy" else measure
            claims.append(over_runs(text, f"excess {name}", values, MARGIN))
    return family(claims)


def strongest(table: pd.DataFrame, measure: str = "accuracy") -> tuple[str, list[Claim]]:
    """Return the strongest attack on the pruned networks, and the three effects on it.

    ``table``: of `Lab.effects` on one experiment. The attack is chosen on the first half of the
    seeds, and the effects are tested on the others: a maximum over attacks is too high on the seeds
    that chose it.
    """
    rows = table[(table["measure"] == measure) & (table["label"] == -1) & (table["attack"] != "")]
    seeds = sorted(rows["seed"].unique())
    choosing = rows[rows["seed"].isin(seeds[: (len(seeds) + 1) // 2])]
    name = str(choosing.groupby("attack")["pruned"].mean().idxmax())
    fresh = rows[rows["seed"].isin(seeds[(len(seeds) + 1) // 2 :])]
    return name, effect_claims(fresh, name, measure) if len(fresh) else []


def capacity(table: pd.DataFrame, attack: str, measure: str = "accuracy") -> pd.DataFrame:
    """Return each effect by width and sparsity, with its verdict and whether that is the regime.

    ``table``: of `Lab.effects` over widths and sparsities. The claims of one effect are one family.
    Columns: effect, width, sparsity, value, low, high, verdict, regime (the paper's: pruned
    networks fit their members and lose at most two points of test accuracy, on the mean).
    """
    rows = table[(table["attack"] == attack) & (table["measure"] == measure)]
    inside: dict[Any, bool] = dict(_regimes(table))
    found = []
    for effect in EFFECTS:
        cells = list(rows[rows["effect"] == effect].groupby(["width", "sparsity"]))
        claims = family(
            over_runs(effect, measure, part["value"].tolist(), MARGIN) for _, part in cells
        )
        for (cell, _), claim in zip(cells, claims, strict=True):
            estimate = claim.effect
            found.append(
                dict(zip(("width", "sparsity"), cell, strict=True))
                | {"effect": effect, "value": estimate.value}
                | {"low": estimate.low, "high": estimate.high}
                | {"verdict": claim.verdict, "regime": inside[cell]}
            )
    return pd.DataFrame(found)


def _regimes(table: pd.DataFrame) -> Iterator[tuple[Any, bool]]:
    """Yield for each width and sparsity whether the pruned networks are in the paper's regime."""
    total = table[(table["effect"] == "total") & (table["attack"] == "")]
    for cell, part in total.groupby(["width", "sparsity"]):
        means = part.groupby("measure")[["original", "pruned"]].mean()
        train, test = means.loc["train accuracy"], means.loc["test accuracy"]
        fits = bool(round(train["pruned"], 6) >= FITTED)
        yield cell, fits and bool(round(test["original"] - test["pruned"], 6) <= LOST)
