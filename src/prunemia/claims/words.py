"""Claims and effects in words that know their sign, their number and what was not measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from prunemia.claims.base import (
    CONTRADICTED,
    DEPENDS,
    MOST_SEEDS,
    NEGLIGIBLE,
    SUPPORTED,
    UNDECIDED,
    Claim,
    agreed,
    seeds_needed,
    verdict,
)
from prunemia.metrics import Estimate, over_seeds

VERBS = {
    SUPPORTED: "raises",
    CONTRADICTED: "lowers",
    NEGLIGIBLE: "hardly changes",
    UNDECIDED: "has an undecided effect on",
}

PREDICATES = {
    SUPPORTED: ("is supported", "are supported"),
    CONTRADICTED: ("is contradicted", "are contradicted"),
    NEGLIGIBLE: ("shows a difference too small to matter", "show a difference too small to matter"),
    UNDECIDED: ("is left undecided", "are left undecided"),
}
"""What one claim, and several, with a verdict do."""


def table(claims: Iterable[Claim]) -> pd.DataFrame:
    """Return one line per claim: effect, simultaneous interval, verdict, seeds to decide.

    The column on stopping rules is there where a claim was tested under several.
    """
    lines = [
        {
            "claim": claim.text,
            "effect": claim.statistic,
            "estimate [simultaneous 95 % interval]": str(claim.effect),
            "verdict": claim.verdict,
            "stopping rules": rules_said(claim),
            "runs needed (estimate)": seeds_to_decide(claim),
        }
        for claim in claims
    ]
    found = pd.DataFrame(lines)
    alone = lines and all(line["stopping rules"] == "–" for line in lines)
    return found.drop(columns="stopping rules") if alone else found


def seeds_to_decide(claim: Claim) -> str:
    """Say how many seeds would decide an effect of this size; a dash where it is decided."""
    if claim.verdict != UNDECIDED:
        return "–"
    if math.isnan(claim.effect.low):
        return "unknown"
    if agreed(claim.verdicts) == DEPENDS:
        return "none: it depends on the stopping rule"
    needed = seeds_needed(claim)
    return f"over {MOST_SEEDS}" if needed is None else f"about {needed}"


def rules_said(claim: Claim) -> str:
    """Say whether the stopping rules agree; a dash where there is one alone."""
    if not claim.also:
        return "–"
    return "agree" if len(set(claim.verdicts)) == 1 else " / ".join(claim.verdicts)


def tally(claims: Iterable[Claim]) -> str:
    """Say how many claims got each verdict: "2 claims are supported, 1 claim is contradicted …".

    Differences too small to matter are rare with few seeds; that there are none goes unsaid.
    """
    verdicts = [claim.verdict for claim in claims]
    clauses = []
    for word, (one, several) in PREDICATES.items():
        count = verdicts.count(word)
        if word == NEGLIGIBLE and count == 0:
            continue
        clauses.append(f"{counted(count, 'claim')} {several if count > 1 else one}")
    return f"{', '.join(clauses[:-1])} and {clauses[-1]}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "no claim", "1 claim", "2 claims"."""
    if count == 0:
        return f"no {noun}"
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def verb(effect: Estimate, margin: float = 0.0) -> str:
    """Return the verb that an interval allows: "pruning {verb} the leakage"."""
    return VERBS[verdict(effect, margin)]


def changes(effect: Estimate, what: str, margin: float = 0.0) -> str:
    """Say what is done to ``what``, and by how much: "lowers the accuracy by 0.05 [0.03, 0.07]"."""
    if not effect.resolved:
        return f"changes {what} by an amount that cannot be measured ({effect.note})"
    judged = verdict(effect, margin)
    said = f"{VERBS[judged]} {what}"
    if judged == SUPPORTED:
        return f"{said} by {effect}"
    if judged == CONTRADICTED:
        return f"{said} by {turned(effect)}"
    return f"{said} (difference {effect})"


def turned(effect: Estimate) -> Estimate:
    """Return the effect with the opposite sign: what was raised by −0.1 was lowered by 0.1."""
    return Estimate(-effect.value, -effect.high, -effect.low, effect.note)


def better_of(values: Mapping[str, Sequence[float]]) -> str:
    """Say which of two things has the larger value, by the paired difference over seeds."""
    (first, a), (second, b) = values.items()
    difference = over_seeds(np.subtract(a, b).tolist())
    judged = verdict(difference)
    if judged == SUPPORTED:
        return f"{first} ranks better than {second}, by {difference}"
    if judged == CONTRADICTED:
        return f"{second} ranks better than {first}, by {turned(difference)}"
    return f"whether {first} or {second} ranks better is not decided (difference {difference})"


def weights_regained(regained: Sequence[int]) -> str:
    """Say in how many runs removed weights came back; ``regained``: how many in each run."""
    missed = sum(count > 0 for count in regained)
    whole = counted(len(regained), "run")
    if missed == 0:
        return f"no removed weight came back in {whole}"
    weights = "weight" if sum(regained) == 1 else "weights"
    return f"{sum(regained)} removed {weights} came back, in {missed} of {whole}"


def chosen_way(name: str, start: str, lost: float, before: float, after: float) -> str:
    """Say what a way to prune or defend does against ``start``; a description, not a test.

    ``lost``: test accuracy; ``before`` and ``after``: the strongest attack's accuracy; all 0 … 1.
    """
    if name == start:
        return f"{start} itself: within this price nothing makes the strongest attack weaker"
    points = round(100 * lost, 1)
    price = "costs no test accuracy"
    if points:
        price = f"{'costs' if points > 0 else 'gains'} {abs(points):.1f} points of test accuracy"
    return f"{name}, which {price}; the strongest attack goes from {before:.3f} to {after:.3f}"


def price(lost: Estimate) -> str:
    """Say a loss of test accuracy (0 … 1) in points, a negative one as a gain."""
    what, shown = ("gain", turned(lost)) if lost.value < 0 else ("loss", lost)
    said = f"a {what} of {100 * shown.value:.1f} points of test accuracy"
    if math.isnan(lost.low):
        return said
    low, high = (round(100 * end, 1) + 0.0 for end in (shown.low, shown.high))  # never −0.0
    return f"{said} [{low:.1f}, {high:.1f}]"


def dearest(losses: Mapping[str, Estimate]) -> str:
    """Say which mistake costs most accuracy, in the mean; a description, not a test.

    ``losses``: accuracy lost by being wrong about each key; missing ones are left out.
    """
    measured = {name: loss for name, loss in losses.items() if loss.resolved}
    if not measured:
        return "no mistake about the pruning could be measured"
    name, loss = max(measured.items(), key=lambda entry: entry[1].value)
    if loss.value <= 0:
        return "no mistake about the pruning costs an attack accuracy"
    return f"the mistake that costs most is about {name}: {loss}"


def extremes(accuracies: Mapping[str, Sequence[float]]) -> str:
    """Say under which pruning method an attack is most and least accurate, in the mean over seeds.

    ``accuracies``: for each method one value per seed, 0 … 1. A description, not a test.
    """
    means = {name: over_seeds(values, rate=True) for name, values in accuracies.items()}
    low = min(means, key=lambda name: means[name].value)
    high = max(means, key=lambda name: means[name].value)
    if len(means) == 1:
        return f"reaches {means[high]} on networks pruned by {high}, the only method tried"
    if means[low].value == means[high].value:
        return f"is equally accurate whichever method pruned the network: {means[high]}"
    return (
        f"is most accurate on networks pruned by {high} ({means[high]}) "
        f"and least on those pruned by {low} ({means[low]})"
    )
