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
from prunemia.metrics.inputs import Bools, Floats, flags, scores_of, sides
from prunemia.metrics.intervals import LEVEL, Estimate

NO_ROC = "the attack decides on a set and ranks nothing"


class Evaluated(Protocol):
    """How right it was: a `metrics.Evaluation`, or alike."""

    @property
    def auc(self) -> Estimate:
        """The area under the ROC; missing for an attack that ranks nothing."""


class Decided(Protocol):
    """What an attack said of the target's rows: a `lab.AttackResult`, or alike."""

    scores: Floats
    predictions: Bools
    membership: Bools
    evaluation: Evaluated


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

    Raises
    ------
    ValueError
        As `evaluate`.
    """
    member = sides(membership)
    scores = [scores_of("scores", entry[0], len(member)) for entry in (first, second)]
    right = [flags("predictions", entry[1], len(member)) == member for entry in (first, second)]
    only_first = right[0] & ~right[1]
    only_second = right[1] & ~right[0]
    b = int(only_first.sum())
    c = int(only_second.sum())
    area = Estimate.missing(NO_ROC)
    area_p = math.nan
    if ranks:
        area, area_p = _auc_difference(member, *scores)
    return Comparison(
        accuracy=_accuracy_difference(member, only_first, only_second),
        accuracy_p=float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0,
        auc=area,
        auc_p=area_p,
    )


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
    width = float(stats.norm.isf((1 - LEVEL) / 2)) * math.sqrt(variance)
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
    width = float(stats.norm.isf((1 - LEVEL) / 2)) * error
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
        rows[name] = compare(first.membership, decided[0], decided[1], ranks=ranks)
    by_auc = {name: c.auc_p for name, c in rows.items() if not math.isnan(c.auc_p)}
    p = dict(zip(rows, holm([c.accuracy_p for c in rows.values()]), strict=True))
    p_auc = dict(zip(by_auc, holm(list(by_auc.values())), strict=True)) if by_auc else {}
    cells = {
        name: [
            str(c.accuracy),
            f"{p[name]:.3f}",
            str(c.auc) if c.auc.resolved else "–",
            f"{p_auc[name]:.3f}" if name in p_auc else "–",
        ]
        for name, c in rows.items()
    }
    columns = ["accuracy difference", "McNemar p (Holm)", "AUC difference", "DeLong p (Holm)"]
    return pd.DataFrame.from_dict(cells, orient="index", columns=columns)


def holm(pvalues: ArrayLike) -> Floats:
    """Return p-values corrected for being a family, in the same order.

    Source: Holm (Scandinavian Journal of Statistics 1979).
    """
    from statsmodels.stats.multitest import multipletests  # half a second to import

    p = np.asarray(pvalues, dtype=np.float64)
    if p.ndim != 1 or len(p) < 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("pvalues: allowed: one or more numbers from 0 to 1")
    corrected: Floats = multipletests(p, method="holm")[1]
    return corrected
