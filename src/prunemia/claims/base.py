"""Each claim of the paper as a test: an effect, its interval, a corrected p, and a verdict in words.

A claim is put so that it holds where its effect is positive. The unit of evidence is the seed:
another split, other networks, other attacks. Claims of one family are corrected together (Holm).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.lab.steps import Of
from prunemia.metrics import LEVEL, Estimate, holm, over_seeds

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "not decided at this size"
VERDICTS = (SUPPORTED, CONTRADICTED, UNDECIDED)


@dataclass(frozen=True)
class Claim:
    """A claim and what the runs say of it.

    Attributes
    ----------
    text : the claim in words; true where ``effect`` is positive.
    statistic : what the effect is, and its unit.
    effect : mean over seeds with a 95 % t-interval, not corrected.
    p : two-sided, corrected within its family; NaN with a single seed.
    """

    text: str
    statistic: str
    effect: Estimate
    p: float

    @property
    def verdict(self) -> str:
        """Return supported or contradicted where p is below 5 %, by the effect's sign; else not decided."""
        if math.isnan(self.p) or self.p >= 1 - LEVEL:
            return UNDECIDED
        return SUPPORTED if self.effect.value > 0 else CONTRADICTED


def verdict(effect: Estimate) -> str:
    """Say whether ``effect`` is positive: supported, contradicted (its interval excludes 0), or not decided."""
    if math.isnan(effect.low) or effect.low <= 0 <= effect.high:
        return UNDECIDED
    return SUPPORTED if effect.low > 0 else CONTRADICTED


def verb(effect: Estimate) -> str:
    """Return raises, lowers, or does not measurably change: "pruning {verb} the leakage"."""
    words = {SUPPORTED: "raises", CONTRADICTED: "lowers", UNDECIDED: "does not measurably change"}
    return words[verdict(effect)]


def over_runs(text: str, statistic: str, values: Sequence[float]) -> Claim:
    """Return the claim that the mean of one value a seed is positive (t-test, not corrected yet)."""
    alike = len(values) < 2 or all(value == values[0] for value in values)
    p = math.nan if alike else float(stats.ttest_1samp(values, 0).pvalue)
    return Claim(text, statistic, over_seeds(values), p)


def family(claims: Iterable[Claim]) -> list[Claim]:
    """Correct the claims' p-values for being tested together (Holm); claims without a p stay as they are."""
    claims = list(claims)
    tested = [i for i, claim in enumerate(claims) if not math.isnan(claim.p)]
    if tested:
        for i, p in zip(tested, holm([claims[i].p for i in tested]), strict=True):
            claims[i] = dataclasses.replace(claims[i], p=float(p))
    return claims


def table(claims: Iterable[Claim]) -> pd.DataFrame:
    """Return one row a claim: claim, effect (statistic), estimate with interval, corrected p, verdict."""
    rows = [
        {
            "claim": c.text,
            "effect": c.statistic,
            "estimate [95 % interval]": str(c.effect),
            "p (Holm)": "–" if math.isnan(c.p) else f"{c.p:.3f}",
            "verdict": c.verdict,
        }
        for c in claims
    ]
    return pd.DataFrame(rows)


def counts(claims: Iterable[Claim]) -> dict[str, int]:
    """Return how many claims got each verdict: supported_count, contradicted_count, undecided_count."""
    found = [claim.verdict for claim in claims]
    names = ("supported_count", "contradicted_count", "undecided_count")
    return {name: found.count(word) for name, word in zip(names, VERDICTS, strict=True)}


def accuracies(
    lab: Lab, experiments: Iterable[Experiment], name: str, of: Of = "pruned"
) -> list[float]:
    """Return an attack's balanced accuracy on each experiment's victim."""
    return [lab.attack(exp, name, of=of).evaluation.accuracy.value for exp in experiments]


def minus(first: Iterable[float], second: Iterable[float]) -> list[float]:
    """Return the differences, pair by pair."""
    return [a - b for a, b in zip(first, second, strict=True)]


def runs(exp: Experiment, seeds: int) -> list[Experiment]:
    """Return the experiment ``seeds`` times, with the seeds that follow its own."""
    return [exp.replace(seed=exp.seed + i) for i in range(seeds)]
