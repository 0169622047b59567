"""The empirical lower bound on ε at δ, from bounds on TPR and FPR.

An (ε, δ)-differentially private training allows no attack TPR > e^ε FPR + δ, nor TNR > e^ε FNR + δ.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from prunemia.audit.fitting import AttackOutput
from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.metrics import LEVEL
from prunemia.metrics.intervals import Bools, Floats

Counts = NDArray[np.int64]
DELTA = 1e-5


def lower_bound(
    found: int, members: int, alarms: int, nonmembers: int, delta: float, level: float = LEVEL
) -> float:
    """Return the lower bound on ε, 0 or more, at a confidence of ``level``: see `_bounds`."""
    counts = np.array([found]), members, np.array([alarms]), nonmembers
    return max(0.0, float(_bounds(*counts, delta, level)[0]))


def _bounds(
    found: Counts, members: int, alarms: Counts, nonmembers: int, delta: float, level: float
) -> Floats:
    """Return the larger bound at every threshold (-inf: none), of Clopper-Pearson's TPR and FPR."""
    half, beyond = (1 - level) / 2, nonmembers - alarms
    # a bound of 0 or 1 where the formula has no value
    tpr = np.where(found > 0, stats.beta.ppf(half, np.maximum(found, 1), members - found + 1), 0.0)
    fpr = np.where(beyond > 0, stats.beta.ppf(1 - half, alarms + 1, np.maximum(beyond, 1)), 1.0)
    with np.errstate(divide="ignore"):
        above = np.log(np.maximum(tpr - delta, 0)) - np.log(fpr)
        below = np.log(np.maximum(1 - fpr - delta, 0)) - np.log(1 - tpr)
    larger: Floats = np.maximum(above, below)
    return larger


def in_few_runs(
    right: int, guesses: int, canaries: int, delta: float = DELTA, level: float = LEVEL
) -> float:
    """Return the lower bound on ε, 0 or more, that ``right`` of ``guesses`` about canaries show.

    Each canary was included with probability 1/2, independently; some may be passed over. Under
    (ε, δ)-privacy a guess is right with probability e^ε / (1 + e^ε) at most, up to a term of δ; the
    bound is the smallest ε that is not refuted at ``level``. Runs add up: guesses, and canaries.
    ValueError: not 0 ≤ right ≤ guesses ≤ canaries. Source: Steinke, Nasr & Jagielski (2023),
    theorem 5.2 and appendix D.
    """
    if not 0 <= right <= guesses <= canaries:
        raise ValueError(
            f"right: {right} of {guesses} guesses about {canaries} canaries; "
            "allowed: 0 <= right <= guesses <= canaries"
        )

    def excess(epsilon: float) -> float:  # of the probability over what refutes
        rate = 1 / (1 + math.exp(-epsilon))
        chance = float(stats.binom.sf(right - 1, guesses, rate))
        fewer = np.arange(1, right + 1)
        near = np.cumsum(stats.binom.pmf(right - fewer, guesses, rate)) / fewer
        return chance + 2 * canaries * delta * float(near.max()) - (1 - level)

    if not right or excess(0.0) >= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, 50.0, xtol=1e-12))  # at 50 every guess is right


def bound(
    verdicts: Mapping[str, AttackOutput], membership: Bools, delta: float = DELTA
) -> dict[str, Any]:
    """Return the best bound that the attacks show, and the decision that shows it.

    Attack and threshold are chosen on one half of the target and judged on the other, and the other
    way round; the larger bound counts (each holds at 97.5 %, so both at 95 %). ``attack``: "" where
    none ranks, "…, turned round" where members score low; the counts are the judging half's, for
    scores from ``threshold``; a perfect attack would have shown ``attainable``.
    """
    level = 1 - (1 - LEVEL) / 2
    members, nonmembers = (int(side.sum()) // 2 for side in (membership, ~membership))
    counts = {"found": 0, "members": members, "alarms": 0, "nonmembers": nonmembers}
    attainable = lower_bound(**counts | {"found": members}, delta=delta, level=level)
    best: dict[str, Any] = {"epsilon": 0.0, "delta": delta, "attack": "", "threshold": None}
    ranking = {name: output for name, output in verdicts.items() if output.ranks}
    turned = {f"{name}, turned round": output.turned for name, output in ranking.items()}
    for direction in (0, 1) if ranking else ():
        choices = {}  # the best bound on the choosing half over all thresholds, and its threshold
        for name, output in (ranking | turned).items():
            choosing, scores, _, _ = output.transfers[direction]
            order = np.argsort(-scores, kind="stable")
            scores, member = scores[order], membership[choosing][order]
            last_of_ties = np.append(scores[1:] < scores[:-1], True)
            found, alarms = np.cumsum(member), np.cumsum(~member)
            sides = found[last_of_ties], int(found[-1]), alarms[last_of_ties], int(alarms[-1])
            bounds_of = _bounds(*sides, delta, level)
            at = int(bounds_of.argmax())
            choices[name] = float(bounds_of[at]), float(scores[last_of_ties][at])
        name, other = (max(each, key=lambda n: choices[n][0]) for each in (ranking, turned))
        if choices[name][0] <= 0 < choices[other][0]:
            name = other  # turned round only where that alone shows something
        threshold = choices[name][1]
        _, _, judging, scores = (ranking | turned)[name].transfers[direction]
        judged = _counts(scores >= threshold, membership[judging])
        epsilon = lower_bound(**judged, delta=delta, level=level)
        if epsilon > best["epsilon"] or not best["attack"]:
            best |= {"epsilon": epsilon, "attack": name, "threshold": threshold}
            counts = judged
    return best | counts | {"attainable": attainable}


def _counts(accused: Bools, member: Bools) -> dict[str, int]:
    sides = {"found": accused & member, "members": member}
    sides |= {"alarms": accused & ~member, "nonmembers": ~member}
    return {name: int(side.sum()) for name, side in sides.items()}


def bounds(lab: Lab, exp: Experiment, canaries: int, attack: str = "conf") -> dict[str, float]:
    """Return a victim's ε at `DELTA`: "promised" (NaN without DP-SGD), and shown "by attack"."""
    result = lab.attack(exp, attack)
    right, made = lab.canaries(exp, count=canaries).guesses()
    return {
        "promised": lab.pruned(exp).privacy.get("epsilon", math.nan),
        "by attack": lower_bound(**_counts(result.predictions, result.membership), delta=DELTA),
        "by canaries": in_few_runs(right, made, canaries),
    }
