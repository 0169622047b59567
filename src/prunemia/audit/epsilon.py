"""The empirical lower bound on ε at δ: what no differentially private training could have allowed.

An (ε, δ)-differentially private training allows no attack TPR > e^ε FPR + δ, nor, seen from the
non-members, TNR > e^ε FNR + δ. So bounds on TPR and FPR bound ε from below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from prunemia.audit.fitting import AttackOutput
from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.metrics import LEVEL

Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]
DELTA = 1e-5


@dataclass(frozen=True)
class Bound:
    """A lower bound on ε at confidence 95 %, and the decision that shows it.

    Attributes
    ----------
    epsilon, delta : the bound; 0 where nothing is shown.
    attack : whose scores; "" where no attack ranks; "…, turned round" where members score low and
        the scores' signs are changed.
    threshold : members are the samples whose score is at least that.
    found, members, alarms, nonmembers : counts on the half that judged.
    attainable : the bound that a perfect attack would have shown with as many samples.
    """

    epsilon: float
    delta: float
    attack: str
    threshold: float
    found: int
    members: int
    alarms: int
    nonmembers: int
    attainable: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; a threshold that there is none of becomes None."""
        return asdict(self) | {"threshold": self.threshold if self.attack else None}


def lower_bound(
    found: int, members: int, alarms: int, nonmembers: int, delta: float, level: float = LEVEL
) -> float:
    """Return the lower bound on ε, 0 or more, at a confidence of ``level``.

    TPR is bounded from below and FPR from above (Clopper-Pearson, one-sided, half of 1 - level
    each); both hold at once, so both inequalities may use them, and the larger bound counts.
    """
    counts = np.array([found]), members, np.array([alarms]), nonmembers
    return max(0.0, float(_bounds(*counts, delta, level)[0]))


def _bounds(
    found: Counts, members: int, alarms: Counts, nonmembers: int, delta: float, level: float
) -> NDArray[np.float64]:
    """Return both inequalities' larger bound at every threshold; -inf where there is none."""
    half, beyond = (1 - level) / 2, nonmembers - alarms
    # a bound of 0 or 1 where the formula has no value
    tpr = np.where(found > 0, stats.beta.ppf(half, np.maximum(found, 1), members - found + 1), 0.0)
    fpr = np.where(beyond > 0, stats.beta.ppf(1 - half, alarms + 1, np.maximum(beyond, 1)), 1.0)
    with np.errstate(divide="ignore"):
        above = np.log(np.maximum(tpr - delta, 0)) - np.log(fpr)
        below = np.log(np.maximum(1 - fpr - delta, 0)) - np.log(1 - tpr)
    larger: NDArray[np.float64] = np.maximum(above, below)
    return larger


def in_few_runs(
    right: int, guesses: int, canaries: int, delta: float = DELTA, level: float = LEVEL
) -> float:
    """Return the lower bound on ε that right guesses about planted canaries show, 0 or more.

    Each canary was included with probability 1/2, independently of the others. If training is
    (ε, δ)-differentially private, each guess is right with probability e^ε / (1 + e^ε) at most,
    whatever the other canaries, up to a term of δ. The bound is the smallest ε that so many right
    guesses do not refute at a confidence of ``level``. Several runs add up: their guesses, and
    their canaries.

    Parameters
    ----------
    right, guesses : how many guesses are right, of those made; a canary may be passed over.
    canaries : how many there were, those passed over included.

    Raises
    ------
    ValueError
        The numbers are not 0 ≤ right ≤ guesses ≤ canaries.

    Source: Steinke, Nasr & Jagielski (2023), theorem 5.2 and appendix D.
    """
    if not 0 <= right <= guesses <= canaries:
        raise ValueError(
            f"right: {right} of {guesses} guesses about {canaries} canaries; "
            "allowed: 0 <= right <= guesses <= canaries"
        )
    refuted = 1 - level
    if not guesses or _chance(0.0, right, guesses, canaries, delta) >= refuted:
        return 0.0
    low, high = 0.0, 1.0
    while _chance(high, right, guesses, canaries, delta) < refuted:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        below = _chance(middle, right, guesses, canaries, delta) < refuted
        low, high = (middle, high) if below else (low, middle)
    return low


def _chance(epsilon: float, right: int, guesses: int, canaries: int, delta: float) -> float:
    """Return the probability, at most, of so many right guesses under (ε, δ)."""
    rate = 1 / (1 + math.exp(-epsilon))
    beyond = float(stats.binom.sf(right - 1, guesses, rate))
    if not right:
        return beyond
    fewer = np.arange(1, right + 1)
    near = np.cumsum(stats.binom.pmf(right - fewer, guesses, rate)) / fewer
    return beyond + 2 * canaries * delta * float(near.max())


def bound(verdicts: Mapping[str, AttackOutput], membership: Bools, delta: float = DELTA) -> Bound:
    """Return the best bound that the attacks show.

    Attack and threshold are chosen on one half of the target and judged on the other, by a fit that
    has not seen the judging half's membership, and the other way round. The larger of the two
    bounds counts; each holds at 97.5 %, so that both hold at 95 %.
    """
    level = 1 - (1 - LEVEL) / 2
    half = [int(side.sum()) // 2 for side in (membership, ~membership)]
    attainable = lower_bound(half[0], half[0], 0, half[1], delta, level)
    best = Bound(0.0, delta, "", math.inf, 0, half[0], 0, half[1], attainable)
    for direction in (0, 1):
        choices = [
            (*_chosen(output, direction, sign, membership, delta, level), name, sign)
            for sign in (1, -1)
            for name, output in verdicts.items()
            if output.ranks
        ]
        if not choices:
            continue
        if max(choices)[0] <= 0 or max(c[0] for c in choices if c[-1] > 0) > 0:
            choices = [c for c in choices if c[-1] > 0]  # turned round only where that alone shows
        _, threshold, name, sign = max(choices, key=lambda each: each[0])
        _, _, judging, scores = verdicts[name].transfers[direction]
        scores = sign * scores
        member, accused = membership[judging], scores >= threshold
        counts = (
            int((accused & member).sum()), int(member.sum()),
            int((accused & ~member).sum()), int((~member).sum()),
        )  # fmt: skip
        epsilon = lower_bound(*counts, delta, level)
        if epsilon > best.epsilon or not best.attack:
            shown = name if sign > 0 else f"{name}, turned round"
            best = Bound(epsilon, delta, shown, threshold, *counts, attainable)
    return best


def _chosen(
    output: AttackOutput, direction: int, sign: int, membership: Bools, delta: float, level: float
) -> tuple[float, float]:
    """Return the best bound on the choosing half over all thresholds, and its threshold."""
    choosing, scores, _, _ = output.transfers[direction]
    scores = sign * scores
    member = membership[choosing]
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(scores[order][1:] < scores[order][:-1], True)
    found = np.cumsum(member[order])[last_of_ties]
    alarms = np.cumsum(~member[order])[last_of_ties]
    sides = int(member.sum()), int((~member).sum())
    bounds = _bounds(found, sides[0], alarms, sides[1], delta, level)
    best = int(bounds.argmax())
    return float(bounds[best]), float(scores[order][last_of_ties][best])


def bounds(lab: Lab, exp: Experiment, canaries: int, attack: str = "conf") -> dict[str, float]:
    """Return what is known of a victim's ε at `DELTA`: proved from above, shown from below.

    "promised" is the accountant's (missing without DP-SGD); "by attack" follows from the counts of
    an attack named beforehand, "by canaries" from guesses about ``canaries`` planted ones.
    """
    result = lab.attack(exp, attack)
    member, accused = result.membership, result.predictions
    counts = [int(part.sum()) for part in (accused & member, member, accused & ~member, ~member)]
    right, made = lab.canaries(exp, count=canaries).guesses()
    return {
        "promised": lab.pruned(exp).privacy.get("epsilon", math.nan),
        "by attack": lower_bound(*counts, DELTA),  # type: ignore[call-arg]
        "by canaries": in_few_runs(right, made, canaries),
    }
