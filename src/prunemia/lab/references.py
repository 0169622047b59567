"""How other networks answer the samples of a target: what lira and rmia compare with.

*Offline*, the references are the adversary's shadow networks, none of which trained on the victim's
samples. *Online*, they are cut from the victim's half as the victim is (`prunemia.data.OWN`), in
pairs, so that each sample trained about half of them, and so are as good as the victim.
Each reference is asked every sample of the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from prunemia.attacks import get as attack_class
from prunemia.attacks import log_odds
from prunemia.attacks.referenced import SETTINGS
from prunemia.data import OWN, Dataset, split
from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.lab.bench import Bench, Files
from prunemia.lab.fitting import TrainedModel, features_of
from prunemia.lab.steps import VICTIM, Of, Step, assumed_of, chunks
from prunemia.registry import ATTACKS
from prunemia.signals import Signals, posteriors
from prunemia.store import pack_arrays, unpack_arrays

TARGETS = 8
"""Shadow networks, at most, that play the target: thresholds and options are chosen on them."""

Bools = NDArray[np.bool_]
Floats32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class References:
    """How k networks answer n samples, and which of them trained on which.

    Attributes
    ----------
    samples : shape (n,), row numbers in the data set.
    labels : shape (n,), their true classes.
    log_odds : shape (k, n), of the true class: ln p_y − ln(1 − p_y).
    posteriors : shape (k, n, C).
    trained_on : shape (k, n), True for training samples; offline, never.
    """

    samples: NDArray[np.int64]
    labels: NDArray[np.int64]
    log_odds: Floats32
    posteriors: Floats32
    trained_on: Bools

    @property
    def probabilities(self) -> Floats32:
        """The posterior of the true class, shape (k, n)."""
        picked: Floats32 = self.posteriors[:, np.arange(len(self.samples)), self.labels]
        return picked

    @property
    def right(self) -> Bools:
        """True where a network classifies a sample right, shape (k, n)."""
        right: Bools = self.posteriors.argmax(axis=2) == self.labels
        return right

    def others(self, network: int, samples: Bools) -> Signals:
        """Return a network's answers to some of the samples, shape (n,), the others' as references.

        Its membership is whether it trained on them.
        """
        rest = np.arange(len(self.log_odds)) != network
        return Signals(
            self.posteriors[network, samples],
            None,
            self.labels[samples],
            self.trained_on[network, samples],
            np.full(int(samples.sum()), network),
            self.log_odds[rest][:, samples].T,
            self.trained_on[rest][:, samples].T,
        )


def numbers(count: int, setting: str) -> range:
    """Return the references' network numbers; ValueError for another setting, or none of them."""
    if setting not in SETTINGS:
        raise UsageError(f"setting: {setting!r} is not allowed; allowed: {', '.join(SETTINGS)}")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count < OWN:
        raise UsageError(f"count: {count!r} is not allowed; allowed: a whole number from 1")
    return range(1, count + 1) if setting == "offline" else range(OWN, OWN + count)


def steps(exp: Experiment, of: Of, count: int, setting: str) -> list[Step]:
    """Return the steps to so many references' answers, trained as ``exp.adversary`` assumes."""
    assumed, which = assumed_of(exp, of)
    groups = chunks(assumed, numbers(count, setting))
    return [Step("references", assumed, which, group) for group in groups]


def ask(step: Step, bench: Bench) -> Files:
    """Ask each network of the step every sample of the data set."""
    models = bench.value(Step(step.of, step.exp, step.of, step.group))
    dataset = bench.dataset(step.exp)
    answers = [
        _posteriors(step.exp, dataset, number, model, bench.device)
        for number, model in zip(step.group, models, strict=True)
    ]
    odds = [log_odds(p, dataset.labels) for p in answers]
    fields = {"posteriors": answers, "log_odds": odds}
    return {"answers.npz": pack_arrays({n: np.asarray(v, np.float32) for n, v in fields.items()})}


def _posteriors(
    exp: Experiment, dataset: Dataset, number: int, model: TrainedModel, device: torch.device
) -> NDArray[np.float64]:
    x = torch.from_numpy(features_of(exp, dataset, number)).to(device)
    answers: NDArray[np.float64] = posteriors(model.module, x).cpu().numpy()
    return answers


def read(files: Files, _: Step, __: Bench) -> dict[str, Floats32]:
    """Return what `ask` packed: "posteriors" (g, N, C) and "log_odds" (g, N)."""
    return unpack_arrays(files["answers.npz"])


def gather(bench: Bench, asked: Sequence[Step], samples: NDArray[np.int64]) -> References:
    """Return the answers of the steps' networks to some samples of the data set."""
    dataset = bench.dataset(asked[0].exp)
    odds, answers, trained = [], [], []
    for step in asked:
        found = bench.value(step)
        odds.append(found["log_odds"][:, samples])
        answers.append(found["posteriors"][:, samples])
        for number in step.group:
            trained.append(np.isin(samples, split(dataset, step.exp.seed, number).train))
    return References(
        samples,
        dataset.labels[samples],
        np.concatenate(odds),
        np.concatenate(answers),
        np.stack(trained),
    )


def asked_of(bench: Bench, exp: Experiment, number: int = VICTIM) -> NDArray[np.int64]:
    """Return the samples that a network's `Signals` hold, in their order."""
    return split(bench.dataset(exp), exp.seed, number).asked


def for_attack(step: Step) -> list[Step]:
    """Return the steps to the references of an attack; none for one that takes none."""
    if not ATTACKS.find(step.attack).needs_references:
        return []
    setting = attack_class(step.attack)(**dict(step.options)).setting
    return steps(step.exp, step.of, step.exp.shadows, setting)


def queried(step: Step) -> list[Step]:
    """Return the steps to the sensitivities of those that play the target, where they are used."""
    if dict(step.options).get("second", "none") == "none":
        return []
    shown: list[Step] = []
    for part in for_attack(step):
        if sum(len(each.group) for each in shown) < TARGETS:
            shown.append(Step("signals", part.exp, part.of, part.group))
    return shown


def as_shadows(bench: Bench, asked: Sequence[Step], queries: Sequence[Step] = ()) -> list[Signals]:
    """Return references in the role of the target, each with the others as its references.

    ``queries``: of `queried`; they bring the sensitivities.
    """
    exp = asked[0].exp
    everyone = [number for step in asked for number in step.group]
    if len(everyone) < 2:
        raise UsageError(
            f"shadows: {len(everyone)}; allowed for an attack with references: 2 or more, "
            "to choose its threshold on"
        )
    rows = np.arange(len(bench.dataset(exp)))
    whole = gather(bench, asked, rows)
    shadows = [
        whole.others(place, np.isin(rows, asked_of(bench, exp, number)))
        for place, number in enumerate(everyone[:TARGETS])
    ]
    if not queries:
        return shadows
    moved = Signals.concatenate([bench.value(step) for step in queries])
    return [
        _with_sensitivities(shadow, moved, number, np.argsort(asked_of(bench, exp, number)))
        for shadow, number in zip(shadows, everyone, strict=False)
    ]


def _with_sensitivities(
    shadow: Signals, moved: Signals, number: int, order: NDArray[np.int64]
) -> Signals:
    """Return a network's answers, which are in the data's order, with its sensitivities."""
    own = moved.subset(moved.model == number).require_sensitivities()
    return Signals.from_arrays({**shadow.arrays(), "sensitivities": own[order]})


def attach(
    bench: Bench, asked: Sequence[Step], samples: NDArray[np.int64], target: Signals
) -> Signals:
    """Return the target's signals, which are of these samples of the data, with its references."""
    if not asked:
        return target
    found = gather(bench, asked, samples)
    fields = {"references": found.log_odds.T, "trained_on": found.trained_on.T}
    return Signals.from_arrays({**target.arrays(), **fields})
