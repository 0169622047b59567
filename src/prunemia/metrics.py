"""How well an attack tells members from non-members, and whether one does better than another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from prunemia import intervals
from prunemia.intervals import LEVEL, Estimate

__all__ = [
    "FPRS",
    "Comparison",
    "Estimate",
    "Evaluation",
    "by_class",
    "compare",
    "evaluate",
    "holm",
    "over_seeds",
    "pairs",
    "summarize",
    "table",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FPRS = (0.001, 0.01, 0.05)
"""The false-positive rates at which the true-positive rate is reported (Carlini et al., S&P 2022)."""
NO_ROC = "the attack decides on a set and ranks nothing"


@dataclass(frozen=True)
class Evaluation:
    """One attack on one target; every entry with its 95 % interval over the drawing of the target's rows.

    Attributes
    ----------
    accuracy : balanced accuracy of the decisions, ½(TPR + TNR); 0.5 is guessing.
    members_found, false_alarms : TPR and FPR of the decisions.
    auc : area under the ROC of the scores; missing for an attack that ranks nothing.
    tpr : the TPR at each FPR of `FPRS`; missing where the sample cannot resolve that FPR.
    members, nonmembers : how many rows of each.
    """

    accuracy: Estimate
    members_found: Estimate
    false_alarms: Estimate
    auc: Estimate
    tpr: dict[float, Estimate]
    members: int
    nonmembers: int

    def estimates(self) -> dict[str, Estimate]:
        """Return all estimates by name; a TPR is called like ``tpr@0.01``."""
        named = {"accuracy": self.accuracy, "auc": self.auc}
        named |= {f"tpr@{fpr:g}": estimate for fpr, estimate in self.tpr.items()}
        return named | {"members_found": self.members_found, "false_alarms": self.false_alarms}

    def row(self) -> dict[str, float]:
        """Return a table's row: for each name of `estimates` the value, and name_low, name_high."""
        cells: dict[str, float] = {}
        for name, estimate in self.estimates().items():
            cells |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        return cells

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values that `from_dict` reads."""
        found = {name: estimate.to_dict() for name, estimate in self.estimates().items()}
        return {"members": self.members, "nonmembers": self.nonmembers, "estimates": found}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        found = {name: Estimate.from_dict(entry) for name, entry in record["estimates"].items()}
        tpr = {float(name[4:]): found.pop(name) for name in list(found) if name.startswith("tpr@")}
        return cls(**found, tpr=tpr, members=record["members"], nonmembers=record["nonmembers"])


def evaluate(membership: ArrayLike, scores: ArrayLike, predictions: ArrayLike, *, ranks: bool = True) -> Evaluation:
    """Judge an attack's scores and decisions, all of shape (n,).

    Parameters
    ----------
    membership : True for members; both sides present.
    scores : larger means more likely a member.
    predictions : True for the rows taken for members.
    ranks : False (an attack's ``ranks``) where the scores only say in or out: no AUC, no TPR at an FPR.

    Intervals: Clopper-Pearson for rates, `intervals.mean_of_rates` (MOVER) for the balanced accuracy,
    `intervals.auc` (DeLong), `intervals.tpr_at` (order statistics and Clopper-Pearson).

    Raises
    ------
    ValueError
        Shapes differ, a side is empty, scores are not finite, or membership or predictions are not bool.
    """
    member = _sides(membership)
    found = _flags("predictions", predictions, len(member))
    score = _scores("scores", scores, len(member))
    n1, n0 = int(member.sum()), int((~member).sum())
    hits, alarms = int(found[member].sum()), int(found[~member].sum())
    area, tpr = Estimate.missing(NO_ROC), dict.fromkeys(FPRS, Estimate.missing(NO_ROC))
    if ranks:
        area = intervals.auc(score[member], score[~member])
        tpr = {fpr: intervals.tpr_at(score[member], score[~member], fpr) for fpr in FPRS}
    return Evaluation(
        accuracy=intervals.mean_of_rates([(hits, n1), (n0 - alarms, n0)]),
        members_found=intervals.rate(hits, n1),
        false_alarms=intervals.rate(alarms, n0),
        auc=area,
        tpr=tpr,
        members=n1,
        nonmembers=n0,
    )


def by_class(membership: ArrayLike, predictions: ArrayLike, labels: ArrayLike) -> pd.DataFrame:
    """Return one row a class: members, nonmembers, balanced accuracy and its interval (low, high).

    A class with members or non-members alone has no balanced accuracy: NaN.
    """
    member = _sides(membership)
    right = _flags("predictions", predictions, len(member)) == member
    label = np.asarray(labels)
    if label.shape != member.shape or label.dtype.kind not in "iu":
        raise ValueError(f"labels: shape {label.shape}, dtype {label.dtype}; allowed: {member.shape} of integers")
    rows = []
    for c in np.unique(label):
        sides = [right[(label == c) & member], right[(label == c) & ~member]]
        counts = [(int(side.sum()), len(side)) for side in sides]
        estimate = Estimate.missing("") if 0 in map(len, sides) else intervals.mean_of_rates(counts)
        rows.append((int(c), counts[0][1], counts[1][1], estimate.value, estimate.low, estimate.high))
    return pd.DataFrame(rows, columns=["class", "members", "nonmembers", "accuracy", "low", "high"]).set_index("class")


class Decided(Protocol):
    """What an attack said of the target's rows: a `lab.AttackResult`, or alike."""

    scores: Floats
    predictions: Bools
    membership: Bools
    evaluation: Evaluation


@dataclass(frozen=True)
class Comparison:
    """The first attack against the second on the same rows; a positive difference: the first does better.

    Attributes
    ----------
    accuracy : difference of the balanced accuracies.
    accuracy_p : McNemar's exact two-sided p on who decided which rows right.
    auc, auc_p : difference of the AUCs and its two-sided p, both DeLong's; missing, NaN without a ROC.
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

    McNemar's test counts rows, so it weighs members and non-members as the sample holds them; the
    difference of balanced accuracies weighs both sides alike (they are equally many here, to a row).

    Raises
    ------
    ValueError
        As `evaluate`.
    """
    member = _sides(membership)
    scores = [_scores("scores", entry[0], len(member)) for entry in (first, second)]
    right = [_flags("predictions", entry[1], len(member)) == member for entry in (first, second)]
    only_first, only_second = right[0] & ~right[1], right[1] & ~right[0]
    b, c = int(only_first.sum()), int(only_second.sum())
    area, area_p = Estimate.missing(NO_ROC), math.nan
    if ranks:
        area, area_p = _auc_difference(member, *scores)
    return Comparison(
        accuracy=_accuracy_difference(member, only_first, only_second),
        accuracy_p=float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0,
        auc=area,
        auc_p=area_p,
    )


def _accuracy_difference(member: Bools, only_first: Bools, only_second: Bools) -> Estimate:
    """Return the paired difference; limits: Agresti & Min (Statistics in Medicine 2005), half a row added a cell."""
    value = centre = variance = 0.0
    for side in (member, ~member):
        n, b, c = int(side.sum()), int(only_first[side].sum()), int(only_second[side].sum())
        value += (b - c) / n / 2
        centre += (b - c) / (n + 2) / 2
        variance += (b + c + 1 - (b - c) ** 2 / (n + 2)) / (n + 2) ** 2 / 4
    width = float(stats.norm.isf((1 - LEVEL) / 2)) * math.sqrt(variance)
    return Estimate(value, max(-1.0, centre - width), min(1.0, centre + width))


def _auc_difference(member: Bools, first: Floats, second: Floats) -> tuple[Estimate, float]:
    """Return DeLong's paired difference and p; ValueError with fewer than two rows on a side."""
    if min(member.sum(), (~member).sum()) < 2:
        raise ValueError("membership: one row on a side; allowed: 2 or more of each to compare AUCs")
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
    """Return one row an attack of ``others``: ``first`` against it on the same rows, differences and Holm's p."""
    rows = {}
    for name, other in others.items():
        ranks = other.evaluation.auc.resolved and first.evaluation.auc.resolved
        decided = [(r.scores, r.predictions) for r in (first, other)]
        rows[name] = compare(first.membership, decided[0], decided[1], ranks=ranks)
    by_auc = {name: c.auc_p for name, c in rows.items() if not math.isnan(c.auc_p)}
    p = dict(zip(rows, holm([c.accuracy_p for c in rows.values()]), strict=True))
    p_auc = dict(zip(by_auc, holm(list(by_auc.values())), strict=True)) if by_auc else {}
    cells = {
        name: [str(c.accuracy), f"{p[name]:.3f}", str(c.auc), f"{p_auc[name]:.3f}" if name in p_auc else "–"]
        for name, c in rows.items()
    }
    columns = ["accuracy difference", "McNemar p (Holm)", "AUC difference", "DeLong p (Holm)"]
    return pd.DataFrame.from_dict(cells, orient="index", columns=columns)


def holm(pvalues: ArrayLike) -> Floats:
    """Return p-values corrected for being a family (Holm, Scandinavian Journal of Statistics 1979), same order."""
    from statsmodels.stats.multitest import multipletests  # half a second to import

    p = np.asarray(pvalues, dtype=np.float64)
    if p.ndim != 1 or len(p) < 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError("pvalues: allowed: one or more numbers from 0 to 1")
    corrected: Floats = multipletests(p, method="holm")[1]
    return corrected


def over_seeds(values: Sequence[float]) -> Estimate:
    """Return the mean of one value a seed, with a t-interval: it covers training, pruning and attack anew.

    A single seed has no interval; a seed that could not be measured (NaN) makes the mean missing.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) < 1:
        raise ValueError("values: allowed: one or more numbers")
    if not np.isfinite(x).all():
        return Estimate.missing("not measurable with every seed")
    mean = float(x.mean())
    if len(x) == 1:
        return Estimate(mean, note="one seed: no interval")
    width = float(stats.t.isf((1 - LEVEL) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return Estimate(mean, mean - width, mean + width)


def table(evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Return a table to read: one row an evaluation, each cell a value with its 95 % interval."""
    rows = {name: {key: str(e) for key, e in found.estimates().items()} for name, found in evaluations.items()}
    return pd.DataFrame(rows).T[["accuracy", "auc", *(f"tpr@{fpr:g}" for fpr in FPRS)]]


def summarize(table: pd.DataFrame, columns: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return the mean and t-interval of each column over the rows of each group: name, name_low, name_high, runs.

    ``by``: the columns that make a group, which stay as columns in their order of appearance; none: one row of all.
    """
    groups = table.groupby(list(by), sort=False) if by else [((), table)]
    rows = []
    for key, group in groups:
        row: dict[str, Any] = dict(zip(by, key, strict=True)) | {"runs": len(group)}
        for column in columns:
            mean = over_seeds(group[column].to_list())
            row |= {column: mean.value, f"{column}_low": mean.low, f"{column}_high": mean.high}
        rows.append(row)
    return pd.DataFrame(rows)


def _sides(membership: ArrayLike) -> Bools:
    member = _flags("membership", membership, None)
    if not 0 < member.sum() < len(member):
        raise ValueError(
            f"membership: {member.sum()} members and {(~member).sum()} non-members; allowed: 1 or more of each"
        )
    return member


def _flags(name: str, value: ArrayLike, n: int | None) -> Bools:
    flags = np.asarray(value)
    if flags.ndim != 1 or flags.dtype != np.bool_ or (n is not None and len(flags) != n):
        allowed = "n" if n is None else n
        raise ValueError(f"{name}: shape {flags.shape}, dtype {flags.dtype}; allowed: ({allowed},) of bool")
    return flags


def _scores(name: str, value: ArrayLike, n: int) -> Floats:
    scores = np.asarray(value)
    if scores.shape != (n,) or scores.dtype.kind not in "fiu":
        raise ValueError(f"{name}: shape {scores.shape}, dtype {scores.dtype}; allowed: ({n},) of numbers")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}: row {int((~np.isfinite(scores)).argmax())} is NaN or infinite; allowed: finite")
    return scores.astype(np.float64)
