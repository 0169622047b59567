"""Attacks on answers from elsewhere: fitted on shadow networks, or on the other half of the target.

*Cross-fitting.* The auditor knows who is a member. So the target's samples are cut into two halves,
at random, members and non-members apart; an attack fitted on one half decides on the other. The two
fits put their scores on two scales, and each scale depends on who is a member in the half that it
was fitted on. To pool the halves without that, each half's scores become ranks within the half:
(rank - ½) / size, a number in 0 … 1. The decisions stay those of the fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from prunemia import attacks
from prunemia.errors import UsageError
from prunemia.models import one_thread
from prunemia.registry import ATTACKS
from prunemia.signals import Signals

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Tell = Callable[[str], None]

RATES = {"learned": 500.0, "blindmi": 5_000.0}
"""Samples a second, assumed: of attacks that train a network, and of BlindMI; others are quick."""
MINUTE = 60.0
"""Seconds that an attack may take unless it was asked for by name."""


@dataclass(frozen=True, eq=False)
class AttackOutput:
    """What one attack says of the target's n samples.

    Attributes
    ----------
    scores : shape (n,), larger = more likely a member; ranks in 0 … 1 where it was cross-fitted.
    predictions : shape (n,), True where it takes the sample for a member.
    ranks : False for an attack that decides on a set: no ROC.
    transfers : for each half, what it was fitted on or not, both halves' scores by *one* fit that
        has not seen the second half's membership: (choosing samples, their scores, judging samples,
        their scores). For thresholds that are chosen on one half and judged on the other.
    """

    scores: Floats
    predictions: Bools
    ranks: bool
    transfers: tuple[tuple[NDArray[np.int64], Floats, NDArray[np.int64], Floats], ...]


def halves(membership: Bools, seed: int = 0, samples: NDArray[np.int64] | None = None) -> Bools:
    """Return True for one half of the members and of the non-members, drawn at random.

    ``samples``: shape (n,), the sample of each row, where several rows are of one: then the samples
    are halved, and each keeps its rows together.
    """
    if samples is not None:
        found, rows = np.unique(samples, return_inverse=True)
        member = np.zeros(len(found), dtype=bool)
        np.logical_or.at(member, rows, membership)
        return halves(member, seed)[rows]
    draw = np.random.default_rng([seed, 0xA0D17])
    first = np.zeros(len(membership), dtype=bool)
    for side in (membership, ~membership):
        order = draw.permutation(np.flatnonzero(side))
        first[order[: len(order) // 2]] = True
    return first


def chosen(names: Iterable[str] | None, target: Signals) -> tuple[list[str], dict[str, str]]:
    """Return the attacks to carry out, and why others are left out, by name.

    ``names`` None: all that the signals allow and that take a minute at most, by `RATES`. Otherwise
    a UsageError says what one lacks.
    """
    asked = list(ATTACKS) if names is None else list(dict.fromkeys(names))
    left_out: dict[str, str] = {}
    for name in asked:
        try:
            kind = ATTACKS.find(name)
        except ValueError as error:
            raise UsageError(f"--attacks {error}") from None
        if kind.needs_sensitivity and target.sensitivities is None:
            left_out[name] = "it needs sensitivities, which were not given"
        elif kind.needs_references and target.references is None:
            left_out[name] = "it needs reference networks' answers, which were not given"
        elif names is None and seconds(name, len(target)) > MINUTE:
            left_out[name] = f"it would take {duration(name, len(target))}; ask for it by name"
    if names is not None and left_out:
        raise UsageError(f"--attacks {next(iter(left_out))}: {next(iter(left_out.values()))}")
    kept = [name for name in asked if name not in left_out]
    if not kept:
        raise UsageError("--attacks: none is left; allowed: one or more")
    return kept, left_out


def seconds(name: str, samples: int) -> float:
    """Return about how long an attack takes on so many samples, by `RATES`."""
    return samples / RATES.get("learned" if ATTACKS[name].learned else name, 1e6)


def duration(name: str, samples: int) -> str:
    """Return that time for people."""
    time = seconds(name, samples)
    if time < 1:
        return "a moment"
    return f"about {time:.0f} s" if time < 120 else f"about {time / 60:.0f} min"


def carry_out(
    names: Sequence[str],
    target: Signals,
    shadow: Signals | None,
    seed: int,
    tell: Tell,
    samples: NDArray[np.int64] | None = None,
) -> dict[str, AttackOutput]:
    """Return each attack's output on the target; ``tell`` is given a line before each.

    ``samples``: see `halves`.
    """
    first = halves(target.require_membership(), seed, samples)
    outputs = {}
    for place, name in enumerate(names, 1):
        tell(f"attack {place} of {len(names)}: {name}, {duration(name, len(target))}")
        with one_thread(), threadpool_limits(1):
            if attacks.get(name).blind:  # it learns nothing from whatever it is given
                outputs[name] = _with_shadow(name, target, shadow or target, first, seed)
            elif shadow is not None and not ATTACKS[name].needs_references:
                outputs[name] = _with_shadow(name, target, shadow, first, seed)
            else:
                outputs[name] = cross_fitted(name, target, first, seed)
    return outputs


def _with_shadow(
    name: str, target: Signals, shadow: Signals, first: Bools, seed: int
) -> AttackOutput:
    attack = _build(name, seed, target).fit(shadow)
    scores = attack.decision_function(target)
    parts = [np.flatnonzero(first), np.flatnonzero(~first)]
    transfers = tuple((a, scores[a], b, scores[b]) for a, b in (parts, parts[::-1]))
    return AttackOutput(scores, scores >= 0, attack.ranks, transfers)


def cross_fitted(name: str, target: Signals, first: Bools, seed: int) -> AttackOutput:
    """Fit on each half and decide on the other."""
    scores = np.empty(len(target))
    predictions = np.empty(len(target), dtype=bool)
    transfers = []
    for learn in (first, ~first):
        known, held = np.flatnonzero(learn), np.flatnonzero(~learn)
        attack = _build(name, seed, target).fit(target.subset(known))
        answers = attack.decision_function(target.subset(held))
        predictions[held] = answers >= 0
        scores[held] = (rankdata(answers) - 0.5) / len(held)
        transfers.append((known, attack.decision_function(target.subset(known)), held, answers))
    return AttackOutput(scores, predictions, attack.ranks, tuple(transfers))


def _build(name: str, seed: int, target: Signals) -> attacks.Attack:
    """Return an attack, not fitted: with the seed and the references' setting, if it takes them."""
    kind = attacks.get(name)
    given = {"seed": seed, "setting": "online" if target.online else "offline"}
    return kind(**{k: v for k, v in given.items() if k in kind().get_params()})


def copies(signals: Signals) -> tuple[Bools, int]:
    """Return which rows repeat an earlier one of the same sample, (n,), and how many are identical.

    Answers with all their digits do not coincide by chance. So rows that share network, label,
    membership and answers are of one sample, unless the answers take few values altogether: those
    of a tree, rounded or saturated ones, whose second posterior is shared by other rows as well.
    """
    p = signals.posteriors
    rows, counts = _groups(signals.model, signals.labels, p)
    second = np.partition(p, -2, axis=1)[:, -2]
    telling = second > 0
    _, firsts = np.unique(rows[telling], return_index=True)
    values, shares = np.unique(second[telling][firsts], return_counts=True)
    repeated = np.zeros(len(p), dtype=bool)
    if len(values) and (shares > 1).sum() <= 0.05 * len(values):
        same, _ = _groups(rows, signals.require_membership())
        _, earliest = np.unique(same, return_index=True)
        repeated[telling] = True
        repeated[earliest] = False
    return repeated, int((counts[rows] > 1).sum())


def _groups(*columns: object) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each row's group of identical rows, and the groups' sizes."""
    table = np.column_stack([np.asarray(each, dtype=np.float64) for each in columns])
    table = np.ascontiguousarray(table + 0.0)  # -0 is 0
    whole = table.view(np.dtype((np.void, table.dtype.itemsize * table.shape[1]))).ravel()
    _, rows, counts = np.unique(whole, return_inverse=True, return_counts=True)
    return rows, counts
