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
class Verdict:
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


def halves(membership: Bools, seed: int = 0) -> Bools:
    """Return True for one half of the members and of the non-members, drawn at random."""
    draw = np.random.default_rng([seed, 0xA0D17])
    first = np.zeros(len(membership), dtype=bool)
    for side in (membership, ~membership):
        samples = draw.permutation(np.flatnonzero(side))
        first[samples[: len(samples) // 2]] = True
    return first


def chosen(names: Iterable[str] | None, target: Signals) -> tuple[list[str], dict[str, str]]:
    """Return the attacks to carry out, and why others are left out, by name.

    ``names`` None: all that the signals allow and that take a minute at most, by `RATES`.

    Raises
    ------
    UsageError
        There is no such attack, or one needs sensitivities and there are none.
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
            left_out[name] = f"it would take {said(name, len(target))}; ask for it by name"
    if names is not None and left_out:
        raise UsageError(f"--attacks {next(iter(left_out))}: {next(iter(left_out.values()))}")
    kept = [name for name in asked if name not in left_out]
    if not kept:
        raise UsageError("--attacks: none is left; allowed: one or more")
    return kept, left_out


def seconds(name: str, samples: int) -> float:
    """Return about how long an attack takes on so many samples, by `RATES`."""
    kind = "learned" if ATTACKS[name].learned else name
    return samples / RATES.get(kind, 1e6)


def said(name: str, samples: int) -> str:
    """Return that time for people."""
    time = seconds(name, samples)
    if time < 1:
        return "a moment"
    return f"about {time:.0f} s" if time < 120 else f"about {time / 60:.0f} min"


def carry_out(
    names: Sequence[str], target: Signals, shadow: Signals | None, seed: int, tell: Tell
) -> dict[str, Verdict]:
    """Return each attack's verdict on the target; ``tell`` is given a line before each."""
    first = halves(target.require_membership(), seed)
    verdicts = {}
    for place, name in enumerate(names, 1):
        tell(f"attack {place} of {len(names)}: {name}, {said(name, len(target))}")
        blind = attacks.get(name).blind
        with one_thread(), threadpool_limits(1):
            if blind or (shadow is not None and not ATTACKS[name].needs_references):
                verdicts[name] = _with_shadow(name, target, shadow, first, seed)
            else:
                verdicts[name] = _cross_fitted(name, target, first, seed)
    return verdicts


def _with_shadow(
    name: str, target: Signals, shadow: Signals | None, first: Bools, seed: int
) -> Verdict:
    """Fit on the shadows (a blind attack learns nothing from whatever it is given) and decide."""
    attack = build(name, seed, target).fit(target if shadow is None else shadow)
    scores = attack.decision_function(target)
    parts = [np.flatnonzero(first), np.flatnonzero(~first)]
    transfers = tuple((a, scores[a], b, scores[b]) for a, b in (parts, parts[::-1]))
    return Verdict(scores, scores >= 0, attack.ranks, transfers)


def _cross_fitted(name: str, target: Signals, first: Bools, seed: int) -> Verdict:
    scores = np.empty(len(target))
    predictions = np.empty(len(target), dtype=bool)
    transfers = []
    ranks = True
    for learn in (first, ~first):
        known, held = np.flatnonzero(learn), np.flatnonzero(~learn)
        attack = build(name, seed, target).fit(target.subset(known))
        answers = attack.decision_function(target.subset(held))
        predictions[held] = answers >= 0
        scores[held] = (rankdata(answers) - 0.5) / len(held)
        transfers.append((known, attack.decision_function(target.subset(known)), held, answers))
        ranks = attack.ranks
    return Verdict(scores, predictions, ranks, tuple(transfers))


def build(name: str, seed: int, target: Signals) -> attacks.Attack:
    """Return an attack, not fitted: with the seed and the references' setting, if it takes them."""
    kind = attacks.get(name)
    given = {"seed": seed, "setting": "online" if target.online else "offline"}
    return kind(**{k: v for k, v in given.items() if k in kind().get_params()})
