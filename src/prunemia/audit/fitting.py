"""Attacks on answers from elsewhere: fitted on shadow networks, or on the other half of the target.

*Cross-fitting.* The target's samples are halved at random, members and non-members apart; an attack
fitted on one half decides on the other. The fits' scales depend on the members of the half that was
fitted on; to pool without that, scores become ranks within the half: (rank - ½) / size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from prunemia import attacks
from prunemia.errors import UsageError
from prunemia.metrics.intervals import Bools, Floats
from prunemia.models import one_thread
from prunemia.registry import ATTACKS
from prunemia.signals import Signals

Transfer = tuple[NDArray[np.int64], Floats, NDArray[np.int64], Floats]
A_MINUTE = {"learned": 30_000, "blindmi": 300_000}  # samples that take about a minute


@dataclass(frozen=True, eq=False)
class AttackOutput:
    """What one attack says of the target's n samples.

    ``scores``: shape (n,), larger = more likely a member; ranks in 0 … 1 where it was cross-fitted.
    ``ranks``: False for an attack that decides on a set: no ROC. ``transfers``: each half once as
    the one that chooses a threshold, (choosing samples, their scores, judging samples, their
    scores), by *one* fit that has not seen the judging half's membership.
    """

    scores: Floats
    predictions: Bools
    ranks: bool
    transfers: tuple[Transfer, ...]

    @property
    def turned(self) -> AttackOutput:
        """The same turned round: likely members are those who score low."""
        transfers = tuple((a, -scores, b, -others) for a, scores, b, others in self.transfers)
        return AttackOutput(-self.scores, ~self.predictions, self.ranks, transfers)


def halves(membership: Bools, ids: ArrayLike, seed: int = 0) -> Bools:
    """Return True for half of the members and of the non-members, at random; an id stays whole."""
    _, rows = np.unique(ids, return_inverse=True)
    if rows.max() + 1 == len(rows):
        rows = np.arange(len(rows))
    member = np.zeros(rows.max() + 1, dtype=bool)
    np.logical_or.at(member, rows, membership)
    draw = np.random.default_rng([seed, 0xA0D17])
    first = np.zeros(len(member), dtype=bool)
    for side in (member, ~member):
        order = draw.permutation(np.flatnonzero(side))
        first[order[: len(order) // 2]] = True
    return first[rows]


def chosen(
    names: Iterable[str] | None, target: Signals, shadow: Signals | None = None
) -> tuple[list[str], dict[str, str]]:
    """Return the attacks to carry out, and why others are left out, by name.

    ``names`` None: all that the signals allow and that take a minute at most. UsageError: one that
    is named lacks something.
    """
    asked = list(ATTACKS) if names is None else list(dict.fromkeys(names))
    left_out: dict[str, str] = {}
    for name in asked:
        try:
            kind = ATTACKS.find(name)
        except ValueError as error:
            raise UsageError(f"--attacks {error}") from None
        why = lacking(name, target)
        if kind.needs_sensitivity and shadow is not None and shadow.sensitivities is None:
            why = "it needs sensitivities, which the shadow networks' answers lack"
        if why and names is not None:
            raise UsageError(f"--attacks {name}: {why}")
        most = A_MINUTE.get("learned" if kind.learned else name, math.inf)
        if not why and names is None and len(target) > most:
            why = "it would take more than a minute; ask for it by name"
        left_out |= {name: why} if why else {}
    if len(left_out) == len(asked):
        raise UsageError("--attacks: none is left; allowed: one or more")
    return [name for name in asked if name not in left_out], left_out


def lacking(name: str, signals: Signals) -> str:
    """Return what an attack needs and the signals do not have, as a clause; else ""."""
    if ATTACKS[name].needs_sensitivity and signals.sensitivities is None:
        return "it needs sensitivities, which were not given"
    if ATTACKS[name].needs_references and signals.references is None:
        return "it needs reference networks' answers, which were not given"
    return ""


def carry_out(
    names: Sequence[str],
    target: Signals,
    shadow: Signals | None,
    first: Bools,
    seed: int,
    tell: Callable[[str], None],
) -> dict[str, AttackOutput]:
    """Return each attack's output on the target; ``first``: see `halves`."""
    outputs = {}
    for place, name in enumerate(names, 1):
        tell(f"attack {place} of {len(names)}: {name}")
        learned_from = None if ATTACKS[name].needs_references else shadow
        if attacks.get(name).blind:
            learned_from = shadow or target  # it learns nothing from whatever it is given
        with one_thread(), threadpool_limits(1):
            outputs[name] = attacked(name, target, learned_from, first, seed)
    return outputs


def attacked(
    name: str, target: Signals, shadow: Signals | None, first: Bools, seed: int = 0
) -> AttackOutput:
    """Decide by one fit on shadows' answers, or (None) on each half by a fit on the other half."""
    kind = attacks.get(name)
    options = {"seed": seed, "setting": "online" if target.online else "offline"}
    attack = kind(**{k: v for k, v in options.items() if k in kind().get_params()})
    halved = np.flatnonzero(first), np.flatnonzero(~first)
    if shadow is not None:
        scores = attack.fit(shadow).decision_function(target)
        transfers = [(a, scores[a], b, scores[b]) for a, b in (halved, halved[::-1])]
        return AttackOutput(scores, scores >= 0, kind.ranks, tuple(transfers))
    scores, predictions = np.empty(len(target)), np.empty(len(target), dtype=bool)
    transfers = []
    for known, held in (halved, halved[::-1]):
        attack = clone(attack).fit(target.subset(known))
        answers = attack.decision_function(target.subset(held))
        predictions[held] = answers >= 0
        scores[held] = (rankdata(answers) - 0.5) / len(held)
        transfers.append((known, attack.decision_function(target.subset(known)), held, answers))
    return AttackOutput(scores, predictions, kind.ranks, tuple(transfers))
