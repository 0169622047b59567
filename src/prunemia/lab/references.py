"""How other networks answer the samples of a target: what lira and rmia compare with.

*Offline*, the references are the adversary's shadow networks, none of which trained on the victim's
samples. *Online*, they are cut from the victim's half in pairs, so that each sample trained about
half of them; each can be the target once, with the others as its references (`InTurn`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from prunemia.attacks import lira_scores, log_odds, rmia_scores
from prunemia.attacks.likelihood import SETTINGS, deviations, on_both_sides, rmia_among
from prunemia.data import OWN, victims_half
from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.files import pack_arrays
from prunemia.lab.context import Context, Files
from prunemia.lab.networks import inputs
from prunemia.lab.steps import Of, Step, assumed_steps, attack_step
from prunemia.metrics.intervals import threshold_at
from prunemia.registry import ATTACKS
from prunemia.signals import Signals, posteriors

TARGETS = 8  # shadow networks, at most, as targets to choose thresholds and options on
LEAST = 4  # networks in turn: with fewer, many samples lack one that trained on them
BY_REFERENCES = ("confidence", "lira offline", "lira online", "rmia offline", "rmia online")

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class References:
    """How k networks answer n samples: log-odds of the true class (k, n), posteriors (k, n, C).

    ``samples``: shape (n,), rows of the data set. ``trained_on``: (k, n), which did on which.
    """

    samples: NDArray[np.int64]
    labels: NDArray[np.int64]
    log_odds: NDArray[np.float32]
    posteriors: NDArray[np.float32]
    trained_on: Bools


def steps(exp: Experiment, of: Of, count: int, setting: str) -> list[Step]:
    """Return the steps to so many references' answers, trained as ``exp.adversary`` assumes."""
    if setting not in SETTINGS:
        raise UsageError(f"setting: {setting!r} is not allowed; allowed: {', '.join(SETTINGS)}")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count < OWN:
        raise UsageError(f"count: {count!r} is not allowed; allowed: a whole number from 1")
    first = 1 if setting == "offline" else OWN
    return assumed_steps("references", exp, of, range(first, first + count))


def ask(step: Step, context: Context) -> Files:
    """Ask each network of the step every sample of the data set: (g, N, C), and log-odds (g, N)."""
    answers, odds = [], []
    for number, network in zip(step.group, context.value(step.networks), strict=True):
        answers.append(posteriors(network.module, inputs(step.exp, context, number)).cpu().numpy())
        odds.append(log_odds(answers[-1], context.dataset(step.exp).labels))
    fields = {"posteriors": answers, "log_odds": odds}
    return {"answers.npz": pack_arrays({n: np.asarray(v, np.float32) for n, v in fields.items()})}


def gather(context: Context, asked: Sequence[Step], samples: NDArray[np.int64]) -> References:
    """Return the answers of the steps' networks to some samples of the data set."""
    dataset = context.dataset(asked[0].exp)
    found = [context.value(step) for step in asked]
    parts = [context.split(step.exp, number) for step in asked for number in step.group]
    return References(
        samples,
        dataset.labels[samples],
        np.concatenate([each["log_odds"][:, samples] for each in found]),
        np.concatenate([each["posteriors"][:, samples] for each in found]),
        np.stack([np.isin(samples, part.train) for part in parts]),
    )


def for_attack(step: Step) -> list[Step]:
    """Return the steps to the references of an attack; none for one that takes none."""
    if not ATTACKS.find(step.attack).needs_references:
        return []
    setting = dict(step.options).get("setting", "offline")
    return steps(step.exp, step.of, step.exp.shadows, setting)


def queried(step: Step) -> list[Step]:
    """Return the steps to the sensitivities of those that play the target, where they are used."""
    if dict(step.options).get("second", "none") == "none":
        return []
    asked = for_attack(step)
    targets = [part for part in asked if part.group[0] - asked[0].group[0] < TARGETS]
    return [replace(part, stage="signals") for part in targets]


def as_shadows(
    context: Context, asked: Sequence[Step], queries: Sequence[Step] = ()
) -> list[Signals]:
    """Return references as targets, each with the others; ``queries`` bring sensitivities."""
    everyone = [number for step in asked for number in step.group]
    if len(everyone) < 2:
        said = "allowed for an attack with references: 2 or more, to choose its threshold on"
        raise UsageError(f"shadows: {len(everyone)}; {said}")
    whole = gather(context, asked, np.arange(len(context.dataset(asked[0].exp))))
    moved = Signals.concatenate([context.value(step) for step in queries]) if queries else None
    shadows = []
    for place, number in enumerate(everyone[:TARGETS]):
        own = context.split(asked[0].exp, number).asked
        rows, rest = np.sort(own), np.arange(len(everyone)) != place
        sensitivities = None
        if moved is not None:  # in the order of `own`; the answers are in the data's
            theirs = moved.subset(moved.model == number).require_sensitivities()
            sensitivities = theirs[np.argsort(own)]
        signals = Signals(
            whole.posteriors[place, rows],
            sensitivities,
            whole.labels[rows],
            whole.trained_on[place, rows],
            np.full(len(rows), place),
            whole.log_odds[rest][:, rows].T,
            whole.trained_on[rest][:, rows].T,
        )
        shadows.append(signals)
    return shadows


def attach(
    context: Context, asked: Sequence[Step], samples: NDArray[np.int64], target: Signals
) -> Signals:
    """Return the target's signals, of these samples of the data, with its references."""
    if not asked:
        return target
    found = gather(context, asked, samples)
    fields = {"references": found.log_odds.T, "trained_on": found.trained_on.T}
    return Signals.from_arrays(target.arrays() | fields)


@dataclass(frozen=True, eq=False)
class InTurn:
    """What attacks say of n samples on each of k networks, every one a victim in turn.

    ``scores``: by name, shape (k, n), larger = more likely a member; NaN where not asked.
    """

    references: References
    scores: dict[str, Floats]

    @property
    def trained_on(self) -> Bools:
        """Who is a member, shape (k, n)."""
        return self.references.trained_on

    def exposure(self) -> pd.DataFrame:
        """Return each score's `aucs`: a column per score, a row per sample of ``references``."""
        return pd.DataFrame({name: aucs(s, self.trained_on) for name, s in self.scores.items()})

    def memorization(self) -> Floats:
        """Return P[right | trained on it] − P[right | not], per sample, shape (n,).

        Source: Feldman, "Does Learning Require Memorization?" (STOC 2020); Feldman & Zhang (2020).
        """
        right = self.references.posteriors.argmax(axis=2) == self.references.labels
        trained = self.trained_on
        with np.errstate(invalid="ignore"):
            inside: Floats = (right & trained).sum(axis=0) / trained.sum(axis=0)
            return inside - (right & ~trained).sum(axis=0) / (~trained).sum(axis=0)

    def rates(self, name: str, fpr: float) -> tuple[Floats, Floats]:
        """Return each network's TPR (k,), and each sample's FPR (n,), at ``fpr`` over all pairs."""
        scores = self.scores[name]
        known = np.isfinite(scores)
        outside, inside = ~self.trained_on & known, self.trained_on & known
        threshold = threshold_at(scores[outside], fpr)
        if threshold is None:
            raise UsageError(f"fpr: {fpr:g} with {outside.sum()} non-members; allowed: one or more")
        above = scores > threshold
        with np.errstate(invalid="ignore"):
            found = (above & inside).sum(axis=1) / inside.sum(axis=1)
            false_positives = (above & outside).sum(axis=0) / outside.sum(axis=0)
        return found, false_positives


def steps_in_turn(exp: Experiment, of: Of, count: int, attacks: Sequence[str]) -> list[Step]:
    """Return what is to be computed: the networks' answers, and the attacks on their signals."""
    asked = steps(exp, of, count, "online")
    if count < LEAST:
        raise UsageError(f"count: {count} is not allowed; allowed: {LEAST} or more")
    decided = [attack_step(exp, name, of) for name in attacks]
    return [*asked, *(replace(one, group=step.group) for one in decided for step in asked)]


def in_turn(
    context: Context, exp: Experiment, of: Of, count: int, attacks: Sequence[str]
) -> InTurn:
    """Return the scores of `BY_REFERENCES`, and of attacks that are fitted on the shadows."""
    todo = steps_in_turn(exp, of, count, attacks)
    asked = [step for step in todo if step.stage == "references"]
    samples = np.sort(victims_half(context.dataset(exp), exp.seed))
    found = gather(context, asked, samples)
    scores = by_references(found)
    own = [context.split(exp, number).asked for step in asked for number in step.group]
    network = np.repeat(np.arange(len(own)), [len(rows) for rows in own])
    place = np.searchsorted(samples, np.concatenate(own))
    for name in attacks:
        results = [context.value(step) for step in todo if step.attack == name]
        scores[name] = np.full(found.log_odds.shape, np.nan)
        scores[name][network, place] = np.concatenate([result.scores for result in results])
    return InTurn(found, scores)


def by_references(found: References) -> dict[str, Floats]:
    """Return the scores of `BY_REFERENCES` on each network, the others being its references."""
    picked = found.posteriors[:, np.arange(len(found.samples)), found.labels]
    odds, p = (np.asarray(each, dtype=np.float64) for each in (found.log_odds, picked))
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
            "rmia offline": rmia_among(mine, theirs, trained),
            "rmia online": rmia_scores(mine, theirs, mine, theirs, trained),
        }
        for name, row in rows.items():
            scores[name][network, able] = row
    return scores


def aucs(scores: Floats, trained_on: Bools) -> Floats:
    """Return each sample's AUC over networks, (n,): P[score of who trained on it > of who did not].

    NaN where it has networks of one kind alone.
    """
    known = np.isfinite(scores)
    inside, outside = trained_on & known, ~trained_on & known
    members = inside.sum(axis=0)
    ranks = np.where(inside, rankdata(scores, axis=0, nan_policy="omit"), 0).sum(axis=0)
    wins = ranks - members * (members + 1) / 2  # Mann and Whitney's U; a tie is half a win
    pairs = members * outside.sum(axis=0)
    return np.where(pairs > 0, wins / np.maximum(pairs, 1), np.nan)
