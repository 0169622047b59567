"""One attack against another on the same rows, and p-values that belong together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from prunemia.metrics import intervals
from prunemia.metrics.evaluation import (
    NO_ROC,
    Evaluation,
    require_bools,
    require_scores,
    require_sides,
)
from prunemia.metrics.intervals import LEVEL, Bools, Estimate, Floats

Z = float(stats.norm.isf((1 - LEVEL) / 2))


class Decided(Protocol):
    """What an attack said of the target's rows: a `lab.AttackResult`, or alike."""

    scores: Floats
    predictions: Bools
    membership: Bools
    evaluation: Evaluation


@dataclass(frozen=True)
class Comparison:
    """The first attack against the second on the same samples; positive: the first does better.

    Attributes
    ----------
    accuracy : difference of the balanced accuracies.
    accuracy_p : McNemar's exact two-sided p on who decided which samples right.
    auc, auc_p : difference of the AUCs and its two-sided p, both DeLong's; missing, NaN without a
        ROC.
    """

    accuracy: Estimate
    accuracy_p: float
    auc: Estimate
    auc_p: float


def compare(
    membership: ArrayLike,
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    *,
    ranks: bool = True,
) -> Comparison:
    """Compare two attacks, each (scores, predictions), on the same rows.

    Parameters
    ----------
    membership : shape (n,), True for members; both sides present.
    first, second : scores, larger = more likely a member, and decisions, each of shape (n,).
    ranks : False where one of the two ranks nothing.

    McNemar's test counts samples, so it weighs members and non-members by their numbers; the
    difference of balanced accuracies weighs both alike (they are equally many here, to one).
    ValueError as `evaluate`.
    """
    member = require_sides(membership)
    n = len(member)
    scores = [require_scores(entry[0], n) for entry in (first, second)]
    right = [require_bools("predictions", entry[1], n) == member for entry in (first, second)]
    only_first = right[0] & ~right[1]
    only_second = right[1] & ~right[0]
    b = int(only_first.sum())
    c = int(only_second.sum())
    p = float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0
    auc = _auc_difference(member, *scores) if ranks else (Estimate.missing(NO_ROC), math.nan)
    return Comparison(_accuracy_difference(member, only_first, only_second), p, *auc)


def _accuracy_difference(member: Bools, only_first: Bools, only_second: Bools) -> Estimate:
    """Return the paired difference, with limits that add half a sample to each cell.

    Source: Agresti & Min (Statistics in Medicine 2005).
    """
    value = centre = variance = 0.0
    for side in (member, ~member):
        n = int(side.sum())
        b = int(only_first[side].sum())
        c = int(only_second[side].sum())
        value += (b - c) / n / 2
        centre += (b - c) / (n + 2) / 2
        variance += (b + c + 1 - (b - c) ** 2 / (n + 2)) / (n + 2) ** 2 / 4
    width = Z * math.sqrt(variance)
    return Estimate(value, max(-1.0, centre - width), min(1.0, centre + width))


def _auc_difference(member: Bools, first: Floats, second: Floats) -> tuple[Estimate, float]:
    """Return DeLong's paired difference and p; ValueError with fewer than two rows on a side."""
    if min(member.sum(), (~member).sum()) < 2:
        raise ValueError(
            "membership: one row on a side; allowed: 2 or more of each to compare AUCs"
        )
    parts = [intervals.placements(score[member], score[~member]) for score in (first, second)]
    differences = [parts[0][side] - parts[1][side] for side in (0, 1)]
    value = float(differences[0].mean())
    error = math.sqrt(sum(d.var(ddof=1) / len(d) for d in differences))
    if error == 0:
        return Estimate(value, value, value), float(value == 0)
    width = Z * error
    p = 2 * float(stats.norm.sf(abs(value) / error))
    return Estimate(value, max(-1.0, value - width), min(1.0, value + width)), p


def pairs(first: Decided, others: Mapping[str, Decided]) -> pd.DataFrame:
    """Return one row per attack of ``others``: ``first`` against it on the same samples.

    Columns: the differences of accuracy and AUC with their intervals, and p-values by Holm.
    """
    rows = {}
    for name, other in others.items():
        ranks = other.evaluation.auc.resolved and first.evaluation.auc.resolved
        decided = [(r.scores, r.predictions) for r in (first, other)]
        found = compare(first.membership, decided[0], decided[1], ranks=ranks)
        rows[name] = [str(found.accuracy), found.accuracy_p, found.auc.text(), found.auc_p]
    columns = ["accuracy difference", "McNemar p (Holm)", "AUC difference", "DeLong p (Holm)"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    for column in ("McNemar p (Holm)", "DeLong p (Holm)"):
        p = table[column].dropna()
        corrected = dict(zip(p.index, holm(p) if len(p) else p, strict=True))
        table[column] = [f"{corrected[n]:.3f}" if n in corrected else "–" for n in table.index]
    return table.replace(NO_ROC, "–")


def holm(pvalues: ArrayLike) -> Floats:
    """Return p-values corrected for being a family, in the same order.

    Source: Holm (Scandinavian Journal of Statistics 1979).
    """
    from statsmodels.stats.multitest import multipletests  # half a second to import

    p = np.asarray(pvalues, dtype=np.float64)
    if p.ndim != 1 or len(p) < 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("pvalues: allowed: one or more numbers from 0 to 1")
    return multipletests(p, method="holm")[1]
