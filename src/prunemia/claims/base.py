"""What a claim is, and the one rule that gives it a verdict: the interval of its effect decides.

The unit of evidence is the run. A claim's family is the same claim on all m data sets that were
asked; each has a t-interval over runs at level 1 − 0.05/m, so that with 95 % probability all cover
their effects (Bonferroni; Dunn 1961). Holm's would end at zero where they decide (Guilbaud 2008).
Which epoch is kept moves the leak as much as pruning does: a claim about it covers three rules.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from prunemia.metrics import LEVEL, Estimate, over_seeds

SUPPORTED, CONTRADICTED = "supported", "contradicted"
NEGLIGIBLE, UNDECIDED = "no difference that matters", "not decided"
OPEN = "open"
VERDICTS = (SUPPORTED, CONTRADICTED, NEGLIGIBLE, UNDECIDED, OPEN)

RULES = ("warm-up", "published", "last")  # of stopping, ours first (`Experiment.stopping`)

MARGIN = 0.01  # a difference in balanced accuracy or AUC that does not matter; fixed beforehand
LEAST_RUNS = 3  # with fewer a claim is open: two runs' interval is twelve times their gap


@dataclass(frozen=True)
class Claim:
    """A claim on one data set, true where its effect is positive, and what its runs say of it.

    ``by_rule``: stopping rule → the effect in each run, the ``comparison`` of ``measure``.
    ``margin``: the size up to which it does not matter, stated beforehand. ``ruled``: it has to
    hold under all of `RULES`. ``paper``: Yuan & Zhang (2022) make it. ``source``: its table of
    results/. ``tests``: the size of its family. ``open``: why it is open though all was tried.
    """

    id: str
    text: str
    by_rule: Mapping[str, tuple[float, ...]]
    measure: str = "balanced accuracy"
    comparison: str = ""
    margin: float = MARGIN
    sparsity: float | None = None
    ruled: bool = False
    paper: bool = False
    dataset: str = ""
    source: str = ""
    tests: int = 1
    note: str = ""
    open: str = ""

    @cached_property
    def effects(self) -> dict[str, Estimate]:
        """The mean over runs by stopping rule, with intervals simultaneous over the family."""
        return {rule: simultaneous(values, self.tests) for rule, values in self.by_rule.items()}

    @cached_property
    def effect(self) -> Estimate:
        """The mean over stopping rules, with the interval that covers the interval of each."""
        found = list(self.effects.values())
        low = float(np.min([effect.low for effect in found]))  # NaN where one is
        high = float(np.max([effect.high for effect in found]))
        note = found[0].note or "no interval under every rule" if math.isnan(low) else ""
        return Estimate(float(np.mean([effect.value for effect in found])), low, high, note)

    @property
    def runs(self) -> int:
        """The number of runs under the stopping rule that has fewest."""
        return min(len(values) for values in self.by_rule.values())

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`; open where it says why, or where rules or runs are missing."""
        untried = self.ruled and set(self.by_rule) != set(RULES)
        if self.open or untried or self.runs < LEAST_RUNS:
            return OPEN
        return verdict(self.effect, self.margin)

    @property
    def remark(self) -> str:
        """What a reader has to know beside the verdict: rules, regime, comparators."""
        values = {rule: effect.value for rule, effect in self.effects.items()}
        rules = ", ".join(f"{rule} {value:+.3f}" for rule, value in values.items())
        if len(values) < len(RULES):
            count = "one stopping rule" if len(values) == 1 else "two stopping rules"
            rules = f"tried under {count} alone ({', '.join(values)})"
        elif len({value > 0 for value in values.values()}) > 1:
            rules += ": the rules differ in sign"
        parts = (
            rules if self.ruled else "",
            f"{self.runs} run{'s' * (self.runs > 1)} alone" if self.runs < LEAST_RUNS else "",
            self.open,
            self.note,
        )
        return "; ".join(filter(None, parts))


def where(table: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    """Return the rows whose columns have these values."""
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def simultaneous(values: Sequence[float], tests: int) -> Estimate:
    """Return the mean of one value per run with its t-interval as one of ``tests`` intervals."""
    if len(values) < LEAST_RUNS:
        return Estimate(float(np.mean(values)), note=f"{len(values)} runs: no interval")
    # it would decide everything; equal differences may differ in the last binary digit
    if np.ptp(values) < 1e-12:
        return Estimate(values[0], note="all runs agree: no interval")
    return over_seeds(values, level=1 - (1 - LEVEL) / tests)


def verdict(effect: Estimate, margin: float = 0.0) -> str:
    """Return what a simultaneous interval decides; what is too small to matter is no finding."""
    if -margin < effect.low and effect.high < margin:
        return NEGLIGIBLE
    return (UNDECIDED, SUPPORTED, CONTRADICTED)[effect.sign]


def by_verdict(claim: Claim | None, below: str, around: str, above: str, unknown: str) -> str:
    """Return the words that a verdict calls for; ``unknown`` without a claim (`registry.of`)."""
    words = {SUPPORTED: above, CONTRADICTED: below}
    return words.get(claim.verdict, around) if claim else unknown


def runs_needed(claim: Claim) -> int | None:
    """Return how many runs would decide an effect of this size, at most 1000; None: not known.

    Mean and spread are taken for known. The most that any rule needs; none where signs differ.
    """
    means = np.array([effect.value for effect in claim.effects.values()])
    if len({*(means > 0)}) > 1 or math.isnan(claim.effect.low):
        return None
    runs = np.arange(2, 1001)
    quantiles = stats.t.isf((1 - LEVEL) / claim.tests / 2, runs - 1)
    spreads = [np.std(values, ddof=1) for values in claim.by_rule.values()]
    half, size = np.outer(spreads, quantiles / np.sqrt(runs)), np.abs(means)[:, None]
    decided = ((half < size) | (size + half < claim.margin)).all(axis=0)
    return int(runs[decided.argmax()]) if decided.any() else None
