"""Claims at equal test accuracy, and the effects over capacity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from prunemia import results
from prunemia.claims.base import MARGIN, Claim, family, named, over_runs, runs
from prunemia.claims.control import fitted_and_lost, in_regime
from prunemia.claims.pruning import SPARSITIES
from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.lab.effects import EFFECTS
from prunemia.lab.lengths import excess


def leakage_at_equal_accuracy(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test whether pruned networks leak more to SAMIA than dense ones of their test accuracy.

    At each sparsity of `SPARSITIES`; from results/ where a table there has them.
    """
    todo = [run.replace(sparsity=s) for s in SPARSITIES for run in runs(exp, seeds)]
    source, points = results.points(todo) or ("", lab.along_epochs(todo, ["samia"]))
    return [replace(claim, source=source) for claim in excess_claims(points, "samia")]


def excess_claims(points: pd.DataFrame, attack: str, measure: str = "accuracy") -> list[Claim]:
    """Test, per sparsity, whether pruned networks leak more than dense ones of their accuracy.

    ``points``: of `Lab.along_epochs`. A run has a number only where its dense networks reach the
    pruned one's test accuracy; the text counts them, and a sparsity without any is left out.
    """
    claims = []
    for sparsity, rows in excess_over_sparsity(points, attack, measure).items():
        values = rows.dropna().tolist()
        text = (
            f"At sparsity {sparsity:g} the pruned network leaks more to {named(attack)} "
            f"than a dense one of its test accuracy ({len(values)} of {len(rows)} runs)"
        )
        if values:
            name = "balanced accuracy" if measure == "accuracy" else measure
            claims.append(over_runs(text, f"excess {name}", values, MARGIN))
    return family(claims)


def excess_over_sparsity(
    points: pd.DataFrame, attack: str, measure: str = "accuracy"
) -> dict[float, pd.Series]:
    """Return sparsity → the excess in each run, NaN where a run has no number.

    ``points``: of `Lab.along_epochs`.
    """
    found = excess(points)
    asked = found[(found["attack"] == attack) & (found["measure"] == measure)]
    return {float(str(s)): rows["excess"] for s, rows in asked.groupby("sparsity")}


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
        yield cell, in_regime(*fitted_and_lost(part))
