"""Means over runs, one value per seed; the interval covers training, pruning and attack."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from prunemia.metrics.intervals import LEVEL, Estimate, expit

RATES = frozenset(
    {"accuracy", "auc", "members_found", "false_alarms", "train", "validation", "test"}
)
"""Columns of the tables here that hold rates, 0 … 1; so does every ``tpr@…``."""


def over_seeds(values: Sequence[float], *, rate: bool = False, level: float = LEVEL) -> Estimate:
    """Return the mean of one value per run, with a t-interval.

    Parameters
    ----------
    values : one number per run (seed), whose networks share nothing with another run's.
    rate : True for rates, 0 … 1. The interval is then taken on the logit scale of the mean (the
        standard error divided by m(1 − m), the delta method), which keeps it inside 0 … 1.
        Differences and other numbers keep the plain t-interval.
    level : how often the interval covers the mean.

    Returns
    -------
    The estimate. One run has no interval; neither have rates that are all 0 or all 1, since runs
    without any spread do not tell how far the next one may lie. A run that could not be measured
    (NaN) makes the mean missing.

    Raises
    ------
    ValueError
        There is no value, or a rate lies outside 0 … 1.
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
    centre = math.log(mean / (1 - mean))
    reach = width / (mean * (1 - mean))
    return Estimate(mean, expit(centre - reach), expit(centre + reach))


def summarize(table: pd.DataFrame, columns: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return the mean of each column over the rows of each group, with its t-interval.

    Parameters
    ----------
    table : one row per run (and whatever ``by`` distinguishes).
    columns : what is averaged; rates (`RATES`, ``tpr@…``) as `over_seeds` does with ``rate``.
    by : the columns that make a group, which stay as columns in their order of appearance; none:
        one row of all.

    Returns
    -------
    The columns of ``by``, runs, and for each of ``columns``: name, name_low, name_high; NaN where
    a value could not be measured in every run.
    """
    groups = table.groupby(list(by), sort=False) if by else [((), table)]
    rows = []
    for key, group in groups:
        row: dict[str, Any] = dict(zip(by, key, strict=True)) | {"runs": len(group)}
        for column in columns:
            mean = over_seeds(group[column].to_list(), rate=_is_rate(column))
            row |= {column: mean.value, f"{column}_low": mean.low, f"{column}_high": mean.high}
        rows.append(row)
    return pd.DataFrame(rows)


def _is_rate(column: str) -> bool:
    return column in RATES or column.startswith("tpr@")
