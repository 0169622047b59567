"""What a claim is, and the one rule that gives it a verdict: the interval of its effect decides.

A claim is put so that it holds where its effect is positive. The unit of evidence is the seed:
another split, other networks, other attacks.

The claims of one family get simultaneous intervals: of m claims, each has a t-interval over seeds
at the level 1 − 0.05/m, so that with 95 % probability all m cover their effects (Bonferroni's
inequality; Dunn, Journal of the American Statistical Association 1961). Holm's step-down tests
decide a little more, but the intervals that go with them end at zero for each claim they decide
(Guilbaud, Biometrical Journal 2008) and say nothing of the effect's size, which the verdict "no
difference that matters" needs. The price is power, and it is high with few seeds: with three
seeds t is 4.3 for one claim, 8.9 for each of four and 12.6 for each of eight; ten seeds bring the
last down to 3.5.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.lab.steps import Of
from prunemia.metrics import LEVEL, Estimate, over_seeds

SUPPORTED, CONTRADICTED = "supported", "contradicted"
NEGLIGIBLE, UNDECIDED = "no difference that matters", "not decided by these runs"
DEPENDS = "depends on the stopping rule"
VERDICTS = (SUPPORTED, CONTRADICTED, NEGLIGIBLE, UNDECIDED)

MARGIN = 0.01
"""The difference in balanced accuracy or AUC up to which it does not matter; fixed beforehand."""

TEST_MARGIN = 0.02
"""The same for the test accuracy."""

MOST_SEEDS = 1000
"""How many seeds `seeds_needed` tries before it gives up."""


PAPERS_ATTACKS = ("conf", "xent", "mentr", "top1conf", "nn", "top3nn", "nncls", "blindmi", "samia")
PAPERS_PRUNERS = ("l1unstructured", "l1structured", "l2structured", "slim")
"""What the paper's claims are about, whatever else is registered: a new attack is no new claim."""


@dataclass(frozen=True)
class Claim:
    """A claim and what the seeds say of it.

    Attributes
    ----------
    text : the claim in words; true where the effect is positive.
    statistic : what the effect is, and its unit.
    values : the effect with each seed.
    margin : the size up to which an effect does not matter; 0: no such size was stated beforehand.
    tests : how many claims its family has, itself included.
    also : the effect with each seed under each other stopping rule, where fine-tuning is involved:
        they have to give the same verdict.
    source : the table of results/ that it was read from; empty: it was computed.
    """

    text: str
    statistic: str
    values: tuple[float, ...]
    margin: float = 0.0
    tests: int = 1
    also: tuple[tuple[float, ...], ...] = ()
    source: str = ""

    @property
    def effect(self) -> Estimate:
        """The mean over seeds with its interval, simultaneous over the family."""
        return simultaneous(self.values, self.tests)

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`, from intervals alone; undecided where the stopping rules disagree."""
        found = agreed(self.verdicts)
        return UNDECIDED if found == DEPENDS else found

    @property
    def verdicts(self) -> list[str]:
        """The verdict under its own stopping rule, and under each other one."""
        effects = [simultaneous(values, self.tests) for values in (self.values, *self.also)]
        return [verdict(effect, self.margin) for effect in effects]


def agreed(verdicts: Sequence[str]) -> str:
    """Return the verdict that holds under every rule.

    Rules that contradict one another say so; where one leaves the claim undecided, or one finds no
    difference that matters and another finds one, it is undecided.
    """
    kinds = set(verdicts)
    if len(kinds) == 1:
        return verdicts[0]
    if {SUPPORTED, CONTRADICTED} <= kinds:
        return DEPENDS
    return UNDECIDED


def simultaneous(values: Sequence[float], tests: int) -> Estimate:
    """Return the mean of one value per seed with its t-interval as one of ``tests`` intervals.

    One seed has no interval. Nor have seeds that agree: they show no spread to judge by, and an
    interval of no width would decide everything.
    """
    # Equal differences of accuracies may differ in the last binary digit.
    if len(values) > 1 and np.ptp(values) < 1e-12:
        return Estimate(values[0], note="all seeds agree: no interval")
    return over_seeds(values, level=1 - (1 - LEVEL) / tests)


def verdict(effect: Estimate, margin: float = 0.0) -> str:
    """Return the verdict that an interval gives: its place relative to zero and to ``margin``.

    Supported above 0, contradicted below 0, no difference that matters within ± ``margin``, else
    not decided. Where several effects are judged together the interval has to be simultaneous.
    """
    if math.isnan(effect.low):
        return UNDECIDED
    if effect.low > 0:
        return SUPPORTED
    if effect.high < 0:
        return CONTRADICTED
    return NEGLIGIBLE if -margin < effect.low and effect.high < margin else UNDECIDED


def over_runs(text: str, statistic: str, values: Sequence[float], margin: float = 0.0) -> Claim:
    """Return the claim that the mean of one value per seed is positive, as a family of one."""
    return Claim(text, statistic, tuple(float(value) for value in values), margin)


def family(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims as one family: their intervals hold together."""
    claims = list(claims)
    return [dataclasses.replace(claim, tests=len(claims)) for claim in claims]


def seeds_needed(claim: Claim) -> int | None:
    """Return how many seeds would decide an effect of this size; None where that is not known.

    Nor is it where `MOST_SEEDS` are too few. It takes mean and spread over seeds for known, so with
    that many seeds about one repetition in two decides; plan for more. Where stopping rules have to
    agree, it is the most that any of them needs.
    """
    each = [_seeds_needed(values, claim) for values in (claim.values, *claim.also)]
    known = [needed for needed in each if needed is not None]
    return max(known) if len(known) == len(each) else None


def _seeds_needed(values: Sequence[float], claim: Claim) -> int | None:
    effect = simultaneous(values, claim.tests)
    if math.isnan(effect.low):
        return None
    seeds = np.arange(2, MOST_SEEDS + 1)
    spread, size = np.std(values, ddof=1), abs(effect.value)
    half = stats.t.isf((1 - LEVEL) / claim.tests / 2, seeds - 1) * spread / np.sqrt(seeds)
    decided = seeds[(half < size) | (size + half < claim.margin)]
    return int(decided[0]) if len(decided) else None


def counts(claims: Iterable[Claim]) -> dict[str, int]:
    """Return how many claims got each verdict: supported_count, contradicted_count, and so on."""
    verdicts = [claim.verdict for claim in claims]
    names = ("supported_count", "contradicted_count", "negligible_count", "undecided_count")
    return {name: verdicts.count(word) for name, word in zip(names, VERDICTS, strict=True)}


def named(attack: str) -> str:
    """Return an attack's name as it stands in a sentence."""
    return "SAMIA" if attack == "samia" else attack


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
