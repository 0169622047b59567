"""How much the attacks' verdicts give away: simultaneous intervals, and a level in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunemia.audit.fitting import Verdict
from prunemia.metrics import FPRS, LEVEL, Estimate, intervals

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Family = dict[str, dict[str, Estimate]]
"""For each attack, estimates by measure; their intervals hold all at once."""

LARGE = (0.75, 10)
CLEAR = (0.6, 3)
"""The AUC, or the multiple of chance level's TPR, from which a leak is called large, or clear."""
RULE = (
    "An attack that ranks the samples is judged by its AUC and by its true-positive rate at each "
    "measurable false-positive rate. Any other attack is judged by its balanced accuracy. All "
    "these intervals hold together with 95 % confidence (Bonferroni). If no interval lies above "
    "chance level, no leak was found. The leak is large if the lower end of an AUC is at least "
    f"{LARGE[0]:g}, or that of a true-positive rate at least {LARGE[1]} times chance level. It is "
    f"clear if the lower end is at least {CLEAR[0]:g}, or {CLEAR[1]} times chance level. "
    "Otherwise it is small. A balanced accuracy counts like an AUC."
)


@dataclass(frozen=True)
class Point:
    """Where an attack decides so that at most a given share of non-members is accused.

    Attributes
    ----------
    threshold : members are the samples whose score lies *above* it.
    found, alarms : members and non-members above it.
    fpr : the false-positive rate that this realizes.
    """

    threshold: float
    found: int
    alarms: int
    fpr: float


def point(scores: Floats, membership: Bools, fpr: float) -> Point | None:
    """Return that of `intervals.tpr_at`; None where there are too few non-members."""
    threshold = intervals.threshold_at(scores[~membership], fpr)
    if threshold is None:
        return None
    above = scores > threshold
    found, alarms = (int((above & side).sum()) for side in (membership, ~membership))
    return Point(threshold, found, alarms, alarms / int((~membership).sum()))


def simultaneous(verdicts: Mapping[str, Verdict], membership: Bools) -> tuple[Family, float]:
    """Return the figures that decide on the level, with intervals that hold all at once.

    Returns
    -------
    The figures by attack and measure, and the confidence of each interval by itself.
    """
    n0 = int((~membership).sum())
    measurable = [fpr for fpr in FPRS if intervals.false_positives_allowed(n0, fpr) >= 1]
    ranking = sum(verdict.ranks for verdict in verdicts.values())
    figures = ranking * (1 + len(measurable)) + len(verdicts) - ranking
    level = 1 - (1 - LEVEL) / figures
    family: Family = {}
    for name, verdict in verdicts.items():
        members, others = verdict.scores[membership], verdict.scores[~membership]
        if not verdict.ranks:
            accuracy = balanced_accuracy(verdict.predictions, membership, level)
            family[name] = {"accuracy": accuracy}
            continue
        family[name] = {"auc": intervals.auc(members, others, level)} | {
            f"tpr@{fpr:g}": intervals.tpr_at(members, others, fpr, level) for fpr in measurable
        }
    return family, level


def balanced_accuracy(predictions: Bools, membership: Bools, level: float) -> Estimate:
    """Return ½(TPR + TNR) of decisions, with an interval of that level."""
    right = predictions == membership
    counts = [(int(right[side].sum()), int(side.sum())) for side in (membership, ~membership)]
    return intervals.mean_of_rates(counts, level)


def guessing(measure: str) -> float:
    """Return chance level: for a TPR at an FPR that FPR, one half for the others."""
    return float(measure.removeprefix("tpr@")) if measure.startswith("tpr@") else 0.5


def level_of(family: Family) -> tuple[str, list[str]]:
    """Return the level in words by `RULE`, and the figures ("conf auc") above chance level."""
    above = [
        (name, measure, estimate.low)
        for name, estimates in family.items()
        for measure, estimate in estimates.items()
        if estimate.low > guessing(measure)
    ]
    reasons = [f"{name} {measure}" for name, measure, _ in above]
    if not above:
        return "no leak found", reasons
    for word, (area, times) in (("a large leak", LARGE), ("a clear leak", CLEAR)):
        for _, measure, low in above:
            rate = measure.startswith("tpr@")
            if low >= (times * guessing(measure) if rate else area):
                return word, reasons
    return "a small leak", reasons


def strongest(family: Family) -> tuple[str, str]:
    """Return the attack, and the measure, that a report names first.

    The measure is the TPR at 1 % FPR, else at 5 %, else the AUC, else the accuracy; the attack the
    one with its largest value, among equals the one with the largest AUC.
    """
    for measure in ("tpr@0.01", "tpr@0.05", "auc", "accuracy"):
        able = [name for name, estimates in family.items() if measure in estimates]
        if able:
            best = max(able, key=lambda name: _rank(family[name], measure))
            return best, measure
    raise AssertionError("every attack has a measure")


def _rank(estimates: dict[str, Estimate], measure: str) -> tuple[float, float]:
    second = estimates.get("auc", estimates[measure])
    return estimates[measure].value, second.value
