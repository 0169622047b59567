"""One attack against another on the same samples, and p-values that belong together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from prunemia.metrics import intervals
from prunemia.metrics.evaluation import NO_ROC, column, members_of
from prunemia.metrics.intervals import LEVEL, Estimate, Floats

Z = float(stats.norm.isf((1 - LEVEL) / 2))


@dataclass(frozen=True)
class Comparison:
    """The first attack minus the second on the same samples: balanced accuracy and AUC."""

    accuracy: Estimate
    accuracy_p: float  # McNemar's, exact, two-sided
    auc: Estimate  # DeLong's; missing where an attack ranks nothing
    auc_p: float  # NaN where it is missing

    def told(self, other: str) -> str:
        """Say how the first does beside the ``other``: "is right 2 points [1, 3] less often …"."""
        by = self.accuracy
        if by.sign == 0:
            ranks = {1: ", but ranks better", -1: ", but ranks worse"}.get(self.auc.sign, "")
            apart = f"({by.text(1, 100, ' points', signed=True)})"
            return f"is not shown to differ in accuracy from {other} {apart}{ranks}"
        more = f"{by.points} more" if by.sign > 0 else f"{(-by).points} less"
        return f"is right {more} often than {other}"


def compare(
    membership: ArrayLike,
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    *,
    ranks: bool = True,
) -> Comparison:
    """Compare two attacks, each (scores, predictions), as `evaluate` takes and refuses them.

    ``ranks``: False where one of the two ranks nothing. McNemar's test counts samples.
    """
    member = members_of(membership)
    n = len(member)
    scores = [column("scores", attack[0], n, "fiu") for attack in (first, second)]
    right = [column("predictions", attack[1], n) == member for attack in (first, second)]
    only_first, only_second = right[0] & ~right[1], right[1] & ~right[0]
    b, c = int(only_first.sum()), int(only_second.sum())
    p = float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0
    value = centre = variance = 0.0
    for side in (member, ~member):  # half a sample more in each cell (Agresti & Min, 2005)
        n, b, c = (int(of[side].sum()) for of in (side, only_first, only_second))
        value += (b - c) / n / 2
        centre += (b - c) / (n + 2) / 2
        variance += (b + c + 1 - (b - c) ** 2 / (n + 2)) / (n + 2) ** 2 / 4
    width = Z * math.sqrt(variance)
    accuracy = Estimate(value, max(-1.0, centre - width), min(1.0, centre + width))
    if not ranks:
        return Comparison(accuracy, p, Estimate.missing(NO_ROC), math.nan)
    if min(member.sum(), (~member).sum()) < 2:
        allowed = "allowed: 2 or more of each to compare AUCs"
        raise ValueError(f"membership: one row on a side; {allowed}")
    parts = [intervals.placements(score[member], score[~member]) for score in scores]
    differences = [parts[0][side] - parts[1][side] for side in (0, 1)]
    value = float(differences[0].mean())
    error = math.sqrt(sum(d.var(ddof=1) / len(d) for d in differences))
    auc_p = 2 * float(stats.norm.sf(abs(value) / error)) if error else float(value == 0)
    auc = Estimate(value, max(-1.0, value - Z * error), min(1.0, value + Z * error))
    return Comparison(accuracy, p, auc, auc_p)


def paired(first: Any, second: Any) -> Comparison:
    """Return how two attacks differ on the same samples (`lab.AttackResult`)."""
    ranks = first.evaluation.auc.resolved and second.evaluation.auc.resolved
    decided = [(each.scores, each.predictions) for each in (first, second)]
    return compare(first.membership, decided[0], decided[1], ranks=ranks)


def pairs(first: Any, others: Mapping[str, Any]) -> pd.DataFrame:
    """Return ``first`` against each of ``others`` (`lab.AttackResult`), with p-values by Holm."""
    rows = {}
    for name, other in others.items():
        found = paired(first, other)
        auc = found.auc.text() if found.auc.resolved else "–"
        rows[name] = [str(found.accuracy), found.accuracy_p, auc, found.auc_p]
    columns = ["accuracy difference", "McNemar p (Holm)", "AUC difference", "DeLong p (Holm)"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    for name in columns[1::2]:
        p = table[name].dropna()
        corrected = pd.Series(holm(p) if len(p) else p, p.index).map("{:.3f}".format)
        corrected = corrected.replace("0.000", "< 0.001")
        table[name] = corrected.reindex(table.index, fill_value="–")
    return table


def holm(pvalues: ArrayLike) -> Floats:
    """Return p-values corrected for being a family (Holm, Scand. J. Statist. 1979), in order."""
    p = np.asarray(pvalues, dtype=np.float64)
    if p.ndim != 1 or len(p) < 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("pvalues: allowed: one or more numbers from 0 to 1")
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return np.asarray(corrected[np.argsort(order)])
