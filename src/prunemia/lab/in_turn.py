"""Every network a victim in turn: per-sample attacks judged over many networks of one kind.

One victim with a thousand non-members says little of a false-positive rate of 0.1 %. Here each of k
networks on the victim's half is the target once and the others are its references, so each sample
is a member of some targets and a non-member of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from prunemia.attacks import lira_scores, rmia_scores
from prunemia.attacks.likelihood import deviations, on_both_sides, rmia_offline
from prunemia.data import victims_half
from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.lab import references
from prunemia.lab.bench import Bench
from prunemia.lab.references import References
from prunemia.lab.steps import Of, Step, attack_step
from prunemia.metrics.intervals import threshold_at

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST = 4
"""Networks: with fewer, too many samples lack a network that trained on them."""
BY_REFERENCES = ("confidence", "lira offline", "lira online", "rmia offline", "rmia online")


@dataclass(frozen=True, eq=False)
class InTurn:
    """What attacks say of n samples on each of k networks.

    Attributes
    ----------
    references : the networks' answers, (k, n), and who trained on what.
    scores : by name, shape (k, n), larger = more likely a member; NaN where a network was not
        asked, or a sample lacks networks.
    """

    references: References
    scores: dict[str, Floats]

    @property
    def trained_on(self) -> Bools:
        """Who is a member, shape (k, n)."""
        return self.references.trained_on

    def exposure(self) -> pd.DataFrame:
        """Return, per score and sample, the AUC of telling networks that trained on it from others.

        One column per score, one row per sample in the order of ``references.samples``; NaN where a
        sample has networks of one kind alone. Half is chance level.
        """
        return pd.DataFrame({name: aucs(s, self.trained_on) for name, s in self.scores.items()})

    def memorization(self) -> Floats:
        """Return P[right | trained on it] − P[right | not], per sample, shape (n,).

        Source: Feldman, "Does Learning Require Memorization?" (STOC 2020); Feldman & Zhang (2020).
        """
        right, trained = self.references.right, self.trained_on
        inside, outside = (_share(right, side) for side in (trained, ~trained))
        return inside - outside

    def rates(self, name: str, fpr: float) -> tuple[Floats, Floats]:
        """Return each network's TPR, and each sample's FPR, at one threshold for all networks.

        The threshold is the smallest score that at most ``fpr`` of all pairs of a network and a
        non-member lie above. Shapes (k,) and (n,); NaN where there is nothing to count.
        """
        scores = self.scores[name]
        known = np.isfinite(scores)
        outside, inside = ~self.trained_on & known, self.trained_on & known
        threshold = threshold_at(scores[outside], fpr)
        if threshold is None:
            raise UsageError(
                f"fpr: {fpr:g} with {int(outside.sum())} non-members; allowed: one or more"
            )
        above = scores > threshold
        with np.errstate(invalid="ignore"):
            found = (above & inside).sum(axis=1) / inside.sum(axis=1)
            alarms = (above & outside).sum(axis=0) / outside.sum(axis=0)
        return found, alarms


def steps(exp: Experiment, of: Of, count: int, attacks: Sequence[str]) -> list[Step]:
    """Return what is to be computed: the networks' answers, and the attacks on their signals."""
    asked = references.steps(exp, of, count, "online")
    return [*asked, *(_attack(exp, of, name, step) for name in attacks for step in asked)]


def carried_out(
    bench: Bench, exp: Experiment, of: Of, count: int, attacks: Sequence[str]
) -> InTurn:
    """Return the scores of `BY_REFERENCES`, and of attacks that are fitted on the shadows."""
    if count < LEAST:
        raise UsageError(f"count: {count} is not allowed; allowed: {LEAST} or more")
    asked = references.steps(exp, of, count, "online")
    samples = np.sort(victims_half(bench.dataset(exp), exp.seed))
    found = references.gather(bench, asked, samples)
    scores = by_references(found)
    for name in attacks:
        parts = [_scattered(bench, exp, of, name, step, samples) for step in asked]
        scores[name] = np.concatenate(parts)
    return InTurn(found, scores)


def by_references(found: References) -> dict[str, Floats]:
    """Return the scores of `BY_REFERENCES` on each network, the others being its references."""
    odds, p = (np.asarray(each, dtype=np.float64) for each in (found.log_odds, found.probabilities))
    everyone = np.arange(len(odds))
    scores: dict[str, Floats] = {name: np.full(odds.shape, np.nan) for name in BY_REFERENCES}
    scores["confidence"] = odds
    for network in everyone:
        rest = everyone != network
        trained = found.trained_on[rest]
        able = on_both_sides(trained)
        phi, others, trained = odds[network, able], odds[rest][:, able], trained[:, able]
        mine, theirs = p[network, able], p[rest][:, able]
        rows = {
            "lira offline": deviations(phi, others, ~trained, "pooled")[0],
            "lira online": lira_scores(phi, others, trained),
            "rmia offline": rmia_offline(mine, theirs, trained),
            "rmia online": rmia_scores(mine, theirs, mine, theirs, trained),
        }
        for name, row in rows.items():
            scores[name][network, able] = row
    return scores


def aucs(scores: Floats, trained_on: Bools) -> Floats:
    """Return per sample the AUC over networks, shape (n,): P[score trained on it > score not]."""
    known = np.isfinite(scores)
    inside, outside = trained_on & known, ~trained_on & known
    members = inside.sum(axis=0)
    ranks = np.where(inside, rankdata(scores, axis=0, nan_policy="omit"), 0).sum(axis=0)
    wins = ranks - members * (members + 1) / 2  # Mann and Whitney's U; a tie is half a win
    pairs = members * outside.sum(axis=0)
    return np.where(pairs > 0, wins / np.maximum(pairs, 1), np.nan)


def _attack(exp: Experiment, of: Of, name: str, asked: Step) -> Step:
    return replace(attack_step(exp, name, of), group=asked.group)


def _scattered(
    bench: Bench, exp: Experiment, of: Of, name: str, asked: Step, samples: NDArray[np.int64]
) -> Floats:
    """Return an attack's scores on each network of a step, at the samples' places, shape (g, n)."""
    result: Any = bench.value(_attack(exp, of, name, asked))
    scores = np.full((len(asked.group), len(samples)), np.nan)
    start = 0
    for place, number in enumerate(asked.group):
        rows = references.asked_of(bench, exp, number)
        scores[place, np.searchsorted(samples, rows)] = result.scores[start : start + len(rows)]
        start += len(rows)
    return scores


def _share(right: Bools, among: Bools) -> Floats:
    with np.errstate(invalid="ignore"):
        share: Floats = (right & among).sum(axis=0) / among.sum(axis=0)
    return share
