"""Estimates with 95 % intervals: of rates, balanced accuracies, AUCs, a TPR at a fixed FPR.

All intervals cover the drawing of the target's samples, members and non-members apart; the networks
and the attack are taken as given. `metrics.over_seeds` covers those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval.

    Attributes
    ----------
    value, low, high : NaN where there is none; ``note`` then says why.
    note : a clause for the reader; empty where there is nothing to say.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    note: str = ""

    @classmethod
    def missing(cls, note: str) -> Self:
        """Return an estimate without a value, because of ``note``."""
        return cls(math.nan, note=note)

    @property
    def resolved(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    def __str__(self) -> str:
        if not self.resolved:
            return self.note
        if math.isnan(self.low):
            return f"{self.value:.3f} ({self.note})"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def percent(self) -> str:
        """The value and its interval in per cent, as text: "4.5 % [1.2, 7.6]"."""
        if not self.resolved:
            return self.note
        value, low, high = (100 * x for x in (self.value, self.low, self.high))
        if math.isnan(low):
            return f"{value:.1f} % ({self.note})"
        return f"{value:.1f} % [{low:.1f}, {high:.1f}]"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; NaN becomes None."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {key: None if math.isnan(x) else x for key, x in numbers.items()} | {
            "note": self.note
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        numbers = {
            key: math.nan if record[key] is None else float(record[key])
            for key in ("value", "low", "high")
        }
        return cls(**numbers, note=record["note"])


def clopper_pearson(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a binomial rate (Clopper & Pearson, Biometrika 1934)."""
    limits = stats.binomtest(int(successes), int(trials)).proportion_ci(level, method="exact")
    return float(limits.low), float(limits.high)


def rate(successes: int, trials: int) -> Estimate:
    """Return successes / trials with its Clopper-Pearson interval."""
    return Estimate(successes / trials, *clopper_pearson(successes, trials))


def mean_of_rates(counts: Sequence[tuple[int, int]], level: float = LEVEL) -> Estimate:
    """Return the plain mean of independent rates, each (successes, trials): the balanced accuracy.

    The interval is MOVER: the distances of each rate to its own (Wilson) limits add in squares.
    Sources: Newcombe (Statistics in Medicine 1998), Zou & Donner (ibid. 2008). It keeps a width at
    rates of 0 and 1.
    """
    values = np.array([k / n for k, n in counts])
    limits = np.array(
        [stats.binomtest(int(k), int(n)).proportion_ci(level, method="wilson") for k, n in counts]
    )
    below, above = np.sqrt(((values[:, None] - limits) ** 2).sum(axis=0)) / len(counts)
    mean = float(values.mean())
    return Estimate(mean, max(0.0, mean - float(below)), min(1.0, mean + float(above)))


def placements(members: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Return DeLong's structural components, by midranks in O(n log n).

    The first, shape (members,): the share of non-members that each member outscores, ties counting
    half. The second, shape (non-members,): the share of members that outscore each non-member. The
    mean of either is the AUC.

    Source: DeLong, DeLong & Clarke-Pearson (Biometrics 1988); Sun & Xu (IEEE Signal Processing
    Letters 2014).
    """
    ranks = stats.rankdata(np.concatenate([members, others]))
    m = len(members)
    n = len(others)
    wins = (ranks[:m] - stats.rankdata(members)) / n
    losses = 1 - (ranks[m:] - stats.rankdata(others)) / m
    return wins, losses


def auc(members: Floats, others: Floats, level: float = LEVEL) -> Estimate:
    """Return the area under the ROC with DeLong's interval, on the logit scale to stay in 0 … 1.

    At 0 and 1 DeLong's variance vanishes; the limits are exact instead: cut the rows into
    k = min(members, non-members) disjoint pairs; each is won with probability AUC, so k of k wins
    bound it by Clopper-Pearson. A side of a single row says nothing else: 0 … 1. Scores that are
    all equal give 0.5 without a width: they rank nothing.
    Source of the logit scale: Pepe, The Statistical Evaluation of Medical Tests (2003), section
    5.2.
    """
    wins, losses = placements(members, others)
    value = float(wins.mean())
    pairs = min(len(wins), len(losses))
    if value in (0.0, 1.0):
        return Estimate(value, *clopper_pearson(round(value) * pairs, pairs, level))
    if pairs < 2:
        return Estimate(value, 0.0, 1.0)
    error = math.sqrt(wins.var(ddof=1) / len(wins) + losses.var(ddof=1) / len(losses))
    centre = math.log(value / (1 - value))
    width = stats.norm.isf((1 - level) / 2) * error / (value * (1 - value))
    return Estimate(value, expit(centre - width), expit(centre + width))


def alarms_allowed(nonmembers: int, fpr: float) -> int:
    """Return how many of so many non-members may be accused at a false-positive rate."""
    return math.floor(nonmembers * fpr + 1e-9)


def threshold_at(others: Floats, fpr: float) -> float | None:
    """Return the score above which at most a share ``fpr`` of the non-members lie.

    ``others``: shape (n,), the non-members' scores. None: too few to allow a single alarm.
    """
    allowed = alarms_allowed(len(others), fpr)
    if allowed < 1:
        return None
    return float(np.sort(others)[::-1][min(allowed, len(others) - 1)])


def tpr_at(members: Floats, others: Floats, fpr: float, level: float = LEVEL) -> Estimate:
    """Return the largest TPR whose FPR is at most ``fpr``, of all thresholds on the scores.

    With n non-members it allows floor(n·fpr) false alarms; where that is none, the rate cannot be
    measured and the estimate is missing. The interval covers the threshold as well, which n
    non-members fix only roughly: of the n, Binomial(n, fpr) lie above the true threshold, so order
    statistics bracket it (97.5 %), and Clopper-Pearson (97.5 %) bounds the rate of members at each
    bracket's end. It covers at 95 % or more, and is wide where n·fpr is a handful: that is what
    such a sample knows. (Percentages for a ``level`` of 95 %.)
    """
    n = len(others)
    allowed = alarms_allowed(n, fpr)
    if allowed < 1:
        return Estimate.missing(f"not measurable with {n} non-members")
    descending = np.sort(others)[::-1]
    side = (1 - level) / 4
    least, most = (int(stats.binom.ppf(q, n, fpr)) for q in (side, 1 - side))

    def found_above(count: int) -> int:  # members above all but `count` non-members
        if count < 0:
            return 0
        return len(members) if count >= n else int((members > descending[count]).sum())

    each = 1 - 2 * side
    low = clopper_pearson(found_above(least - 1), len(members), each)[0]
    high = clopper_pearson(found_above(most), len(members), each)[1]
    return Estimate(found_above(allowed) / len(members), low, high)


def expit(x: float) -> float:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
