"""A table of how unevenly a leak falls on samples, run by run: few numbers, so many runs fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from prunemia.experiment import Experiment
from prunemia.lab import Lab, in_turn
from prunemia.lab.effects import fields, networks
from prunemia.lab.in_turn import InTurn
from prunemia.metrics.intervals import threshold_at

COUNT = 64
"""Networks of each kind; each sample trains about half of them. With few, most ranks are ties."""
SCORE = "lira online"
OTHERS = ("confidence", "rmia online")
TENTH = 0.1
TOP = 0.05
CHANCE = TOP / (2 - TOP)
"""The Jaccard index of two random sets of `TOP` of the samples."""
FPR = 0.01


def concentration(
    lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str], count: int = COUNT
) -> pd.DataFrame:
    """Return statistics of exposure, one row per run and statistic.

    Columns: the experiment's fields, statistic, value. The statistics, all of LiRA online on the
    pruned network: "share of a tenth" (of the members that are found at 1 % FPR on one half of the
    networks, how many are among the tenth of samples most exposed on the other half), "rank
    correlation" and "overlap" (Jaccard index of the most exposed `TOP`) with the exposure on the
    original network, and the overlap with the exposure to each of `OTHERS`. ``attacks`` play no
    part.
    """
    del attacks
    cases = [(exp, n, *case) for exp in experiments for n, case in networks(exp).items()]
    judged = [(each, of) for _, name, each, of in cases if name != "dense"]
    lab.run(step for each, of in judged for step in in_turn.steps(each, of, count, ()))
    rows = [
        {**fields(exp), "statistic": name, "value": value}
        for exp in experiments
        for name, value in _statistics(lab, exp, count).items()
    ]
    return pd.DataFrame(rows)


def _statistics(lab: Lab, exp: Experiment, count: int) -> dict[str, float]:
    known = networks(exp)
    turns = {name: lab.in_turn(*known[name], count) for name in ("original", "pruned")}
    exposure = {name: turn.exposure() for name, turn in turns.items()}
    pruned, original = (exposure[name][SCORE] for name in ("pruned", "original"))
    found: dict[str, Any] = {
        "share of a tenth": share_of_a_tenth(turns["pruned"]),
        "rank correlation": spearmanr(pruned, original, nan_policy="omit").statistic,
        "overlap with the original": overlap(pruned.to_numpy(), original.to_numpy()),
    }
    found |= {
        f"overlap with {name}": overlap(pruned.to_numpy(), exposure["pruned"][name].to_numpy())
        for name in OTHERS
    }
    return {name: float(value) for name, value in found.items()}


def share_of_a_tenth(turn: InTurn) -> float:
    """Return the share of found members that the tenth of samples most exposed holds.

    Exposed by the even networks, found on the odd ones, so that neither is counted on itself; 0.1
    is chance level.
    """
    scores, trained = turn.scores[SCORE], turn.trained_on
    exposed = in_turn.aucs(scores[::2], trained[::2])
    usable = np.isfinite(exposed)
    most = most_exposed(np.where(usable, exposed, -np.inf), TENTH, np.random.default_rng(0))
    judging, members = scores[1::2], trained[1::2]
    known = np.isfinite(judging)
    threshold = threshold_at(judging[known & ~members], FPR)
    if threshold is None:
        return float("nan")
    found = (judging > threshold) & members & known & usable
    return float(found[:, most].sum() / max(found.sum(), 1))


def overlap(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Return the Jaccard index of the most exposed `TOP` of the samples by two exposures."""
    usable = np.isfinite(one) & np.isfinite(two)
    draw = np.random.default_rng(0)
    a, b = (most_exposed(values[usable], TOP, draw) for values in (one, two))
    return len(np.intersect1d(a, b)) / len(np.union1d(a, b))


def most_exposed(
    values: NDArray[np.float64], share: float, draw: np.random.Generator
) -> NDArray[np.int64]:
    """Return the indices of the largest ``share`` of the values, ties in random order.

    Many samples are exposed to the full. Taken by their place in the data, the same ones would come
    first in every ranking, and rankings without anything in common would overlap.
    """
    count = max(1, round(share * len(values)))
    return np.lexsort((draw.random(len(values)), -values))[:count]
