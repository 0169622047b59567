"""Estimates with 95 % intervals: of rates, balanced accuracies, AUCs, a TPR at a fixed FPR, runs.

Those of one attack cover the drawing of the target's samples, given networks and attack;
`over_seeds` covers training, pruning and attack, from one value per run.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
LEVEL = 0.95
RATES = ("accuracy", "auc", "members_found", "false_alarms", "train", "validation", "test")
# columns of tables that hold rates, 0 … 1; so does every tpr@…


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval: NaN where there is none, and ``note`` says why."""

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

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval is above or below zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def __neg__(self) -> Self:
        """Return the same difference, the other way round."""
        return type(self)(-self.value, -self.high, -self.low, self.note)

    def text(self, digits: int = 3, scale: int = 1, unit: str = "", *, signed: bool = False) -> str:
        """Return the value and its interval, or what takes its place, as text."""
        if not self.resolved:
            return self.note
        value = f"{scale * self.value:{'+' if signed else ''}z.{digits}f}"
        low, high = (f"{scale * x:z.{digits}f}" for x in (self.low, self.high))
        rest = f"({self.note})" if math.isnan(self.low) else f"[{low}, {high}]"
        return f"{value}{unit} {rest}"

    def __str__(self) -> str:
        return self.text()

    @property
    def points(self) -> str:
        """A difference of rates in percentage points, as text: "4.5 points [1.2, 7.6]"."""
        return self.text(1, 100, " points")

    def columns(self, name: str) -> dict[str, float]:
        """Return the cells of a table's row: name, name_low, name_high."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; NaN becomes None."""
        return {name: None if pd.isna(entry) else entry for name, entry in vars(self).items()}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        fields: dict[str, Any] = {k: math.nan if v is None else v for k, v in record.items()}
        return cls(**fields)


@functools.lru_cache(maxsize=2**16)
def clopper_pearson(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact interval of a binomial rate (Clopper & Pearson, Biometrika 1934)."""
    limits = stats.binomtest(int(successes), int(trials)).proportion_ci(level, method="exact")
    return float(limits.low), float(limits.high)


def rate(successes: int, trials: int) -> Estimate:
    """Return successes / trials with its Clopper-Pearson interval."""
    return Estimate(successes / trials, *clopper_pearson(successes, trials))


def mean_of_rates(counts: Sequence[tuple[int, int]], level: float = LEVEL) -> Estimate:
    """Return the plain mean of independent rates, each (successes, trials): the balanced accuracy.

    The interval is MOVER, by Wilson limits (Newcombe, Stat. Med. 1998; Zou & Donner, ibid. 2008).
    """
    values = np.array([k / n for k, n in counts])
    limits = np.array(
        [stats.binomtest(int(k), int(n)).proportion_ci(level, method="wilson") for k, n in counts]
    )
    below, above = np.sqrt(((values[:, None] - limits) ** 2).sum(axis=0)) / len(counts)
    mean = float(values.mean())
    return Estimate(mean, max(0.0, mean - float(below)), min(1.0, mean + float(above)))


def placements(members: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Return DeLong's components, whose means are the AUC, by midranks in O(n log n).

    The share of non-members each member outscores, ties counting half, and of members that outscore
    each non-member. Source: DeLong et al. (Biometrics 1988); Sun & Xu (IEEE SPL 2014).
    """
    ranks = stats.rankdata(np.concatenate([members, others]))
    m, n = len(members), len(others)
    wins = (ranks[:m] - stats.rankdata(members)) / n
    losses = 1 - (ranks[m:] - stats.rankdata(others)) / m
    return wins, losses


def auc(members: Floats, others: Floats, level: float = LEVEL) -> Estimate:
    """Return the area under the ROC with DeLong's interval on the logit scale (Pepe 2003, 5.2).

    At 0 and 1, where DeLong's variance vanishes, limits are exact: k of k disjoint pairs are won or
    lost (Clopper-Pearson). Else a side of one sample says nothing, 0 … 1; equal scores: no width.
    """
    wins, losses = placements(members, others)
    value = float(wins.mean())
    pairs = min(len(wins), len(losses))
    if value in (0.0, 1.0):
        return Estimate(value, *clopper_pearson(round(value) * pairs, pairs, level))
    if pairs < 2:
        return Estimate(value, 0.0, 1.0)
    error = math.sqrt(wins.var(ddof=1) / len(wins) + losses.var(ddof=1) / len(losses))
    return _on_logit_scale(value, float(stats.norm.isf((1 - level) / 2)) * error)


def _on_logit_scale(value: float, width: float) -> Estimate:
    """Return value ± width within 0 … 1, by the delta method: the logit's slope is 1 / v(1 − v)."""
    centre = math.log(value / (1 - value))
    reach = width / (value * (1 - value))
    return Estimate(value, _expit(centre - reach), _expit(centre + reach))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def false_positives_allowed(nonmembers: int, fpr: float) -> int:
    """Return how many of so many non-members may be accused at a false-positive rate."""
    # 100 · 0.29 is 28.999…: counted as written
    return math.floor(nonmembers * fpr + 1e-9)


def threshold_at(others: Floats, fpr: float) -> float | None:
    """Return the score above which at most a share ``fpr`` of non-members lie; None: too few."""
    allowed = false_positives_allowed(len(others), fpr)
    return float(np.sort(others)[::-1][min(allowed, len(others) - 1)]) if allowed else None


def tpr_at(members: Floats, others: Floats, fpr: float, level: float = LEVEL) -> Estimate:
    """Return the largest TPR whose FPR is at most ``fpr``, of all thresholds on the scores.

    Of n non-members floor(n·fpr) may be accused; where that is none, the estimate is missing. The
    interval covers at 95 % or more, threshold included: Binomial(n, fpr) lie above the true one, so
    order statistics bracket it, and Clopper-Pearson bounds the rate at each end (both at 97.5 %).
    """
    n = len(others)
    allowed = false_positives_allowed(n, fpr)
    if allowed < 1:
        return Estimate.missing(f"not measurable with {n} non-members")
    side = (1 - level) / 4
    least, most = (int(stats.binom.ppf(q, n, fpr)) for q in (side, 1 - side))
    # at most k others exceed bounds[1 + k]
    bounds = np.array([np.inf, *np.sort(others)[::-1], -np.inf])
    ends = (bounds[1 + min(count, n)] for count in (least - 1, allowed, most))
    fewest, found, largest = (int((members > bound).sum()) for bound in ends)
    low = clopper_pearson(fewest, len(members), 1 - 2 * side)[0]
    high = clopper_pearson(largest, len(members), 1 - 2 * side)[1]
    return Estimate(found / len(members), low, high)


def over_seeds(values: Sequence[float], *, rate: bool = False, level: float = LEVEL) -> Estimate:
    """Return the mean of one value per run, with a t-interval; of a ``rate`` on the logit scale.

    One run has none, nor have rates that are all 0 or all 1; a run without a value (NaN) makes the
    mean missing. ValueError: there is no value, or a rate lies outside 0 … 1.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) < 1:
        raise ValueError("values: allowed: one or more numbers")
    if not np.isfinite(x).all():
        return Estimate.missing("not measurable with every seed")
    if rate and not ((x >= 0) & (x <= 1)).all():
        raise ValueError(f"values: {x.min():g} to {x.max():g}; allowed for rates: 0 to 1")
    mean = float(x.mean())
    if len(x) == 1:
        return Estimate(mean, note="one seed: no interval")
    quantile = float(stats.t.isf((1 - level) / 2, len(x) - 1))
    width = quantile * float(x.std(ddof=1)) / math.sqrt(len(x))
    if not rate:
        return Estimate(mean, mean - width, mean + width)
    if mean in (0.0, 1.0):
        return Estimate(mean, note="the same in every run: no interval")
    return _on_logit_scale(mean, width)


def summarize(table: pd.DataFrame, columns: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return runs and each column's `over_seeds` (name, name_low, name_high), by group ``by``."""
    rows = []
    for key, group in table.groupby(list(by), sort=False) if by else [((), table)]:
        row: dict[str, Any] = dict(zip(by, key, strict=True)) | {"runs": len(group)}
        for column in columns:
            rate = column in RATES or column.startswith("tpr@")
            row |= over_seeds(group[column].to_list(), rate=rate).columns(column)
        rows.append(row)
    return pd.DataFrame(rows)
