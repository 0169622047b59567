"""Attacks as stages: built from a step, fitted on the shadows, deciding on the victim."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from prunemia import attacks
from prunemia.lab.bench import Bench, Files
from prunemia.lab.steps import Step
from prunemia.metrics import Evaluation, evaluate
from prunemia.models import one_thread
from prunemia.signals import Signals
from prunemia.store import pack_arrays, pack_json, unpack_arrays, unpack_json


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What an attack said of the target's n samples, and how right it was.

    Attributes
    ----------
    scores : shape (n,), float64; larger = more likely a member, 0 = the threshold.
    predictions, membership : shape (n,), bool.
    evaluation : accuracy, AUC, TPR at low FPR, each with its 95 % interval.
    """

    scores: NDArray[np.float64]
    predictions: NDArray[np.bool_]
    membership: NDArray[np.bool_]
    evaluation: Evaluation


def build(step: Step, bench: Bench) -> attacks.Attack:
    """Return the step's attack, not fitted; seeded by the experiment, on the bench's device.

    Raises
    ------
    ValueError
        There is no such attack or option.
    """
    kind = (attacks.together if step.stage == "releases" else attacks.get)(step.attack)
    allowed = kind().get_params()
    options = dict(step.options)
    if unknown := sorted(options.keys() - allowed.keys()):
        known = ", ".join(sorted(allowed)) or "none"
        raise ValueError(f"{step.attack}: no option {', '.join(unknown)}; allowed: {known}")
    given = {"seed": step.exp.seed, "device": str(bench.device), "progress": bench.progress}
    return kind(**{name: value for name, value in given.items() if name in allowed} | options)


def fit(step: Step, bench: Bench, shadows: Sequence[Signals]) -> Files:
    """Fit the attack on the shadow networks' signals; a blind attack has none and keeps C alone."""
    attack = build(step, bench)
    if attack.blind:
        classes = np.array(bench.facts(step.exp).classes)
        return {"attack.npz": pack_arrays(attack.restore({"n_classes_": classes}).learned())}
    shadow = Signals.concatenate(shadows)
    with same_bits():
        return {"attack.npz": pack_arrays(attack.fit(shadow).learned())}


def decide(attack: attacks.Attack, target: Signals) -> Files:
    """Let a fitted attack decide on the target, and judge it."""
    result = judged(attack, target)
    decisions = {
        "scores": result.scores,
        "predictions": result.predictions,
        "membership": result.membership,
    }
    return {
        "decisions.npz": pack_arrays(decisions),
        "evaluation.json": pack_json(result.evaluation.to_dict()),
    }


def judged(attack: attacks.Attack, target: Signals) -> AttackResult:
    """Return what a fitted attack says of the target, and how right it is."""
    membership = target.require_membership()
    with same_bits():
        scores = attack.decision_function(target.observed())
        predictions = scores >= 0
        evaluation = evaluate(membership, scores, predictions, ranks=attack.ranks)
    return AttackResult(scores, predictions, membership, evaluation)


def own(attack: attacks.Attack, shadow: Signals, target: Signals) -> AttackResult:
    """Return what an attack of the reader's own says of the target, fitted on the shadows."""
    with same_bits():
        attack.fit(shadow)
    return judged(attack, target)


def read(files: Files, _: Step, __: Bench) -> AttackResult:
    """Return what `decide` packed."""
    decisions = unpack_arrays(files["decisions.npz"])
    return AttackResult(**decisions, evaluation=read_evaluation(files))


def read_evaluation(files: Files) -> Evaluation:
    """Return the evaluation alone, from the file that holds it."""
    return Evaluation.from_dict(unpack_json(files["evaluation.json"]))


@contextlib.contextmanager
def same_bits() -> Iterator[None]:
    """Compute on one thread: the same bits on any machine load and in any worker."""
    with one_thread(), threadpool_limits(1):
        yield
