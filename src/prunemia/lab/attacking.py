"""Attacks: built from a step, fitted on the shadows, deciding on the victim and on its validation.

Validation samples stop training and select epochs, which gives hardly anything away. A defense that
trains on them in the members' place moves the leak to them (`DefenseKind.uses_validation`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from prunemia import attacks
from prunemia.data import split
from prunemia.experiment import Experiment
from prunemia.files import pack_arrays, pack_json, unpack_arrays, unpack_json
from prunemia.lab import networks, references
from prunemia.lab.context import Context, Files
from prunemia.lab.steps import VICTIM, Release, Step, attack_step, shadow_signals
from prunemia.metrics import Evaluation, evaluate
from prunemia.models import one_thread
from prunemia.signals import JointSignals, SignalPair, Signals

Bools = NDArray[np.bool_]


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
    predictions: Bools
    membership: Bools
    evaluation: Evaluation

    def pack(self) -> Files:
        """Return the result as files."""
        names = ("scores", "predictions", "membership")
        return {
            "decisions.npz": pack_arrays({name: getattr(self, name) for name in names}),
            "evaluation.json": pack_json(self.evaluation.to_dict()),
        }

    @classmethod
    def unpack(cls, files: Files) -> AttackResult:
        """Return what `pack` wrote."""
        return cls(**unpack_arrays(files["decisions.npz"]), evaluation=read_evaluation(files))


def read_evaluation(files: Files) -> Evaluation:
    """Return the evaluation alone, from the file that holds it."""
    return Evaluation.from_dict(unpack_json(files["evaluation.json"]))


def build(step: Step, context: Context) -> attacks.Attack:
    """Return the step's attack, not fitted; seeded by the experiment, on the context's device.

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
    given = {"seed": step.exp.seed, "device": str(context.device), "progress": context.progress}
    return kind(**{name: value for name, value in given.items() if name in allowed} | options)


def fit(attack: attacks.Attack, shadow: Signals) -> attacks.Attack:
    """Fit an attack on the shadow networks' signals."""
    with same_bits():
        return attack.fit(shadow)


def judged(attack: attacks.Attack, target: Signals) -> AttackResult:
    """Return what a fitted attack says of the target, and how right it is."""
    membership = target.require_membership()
    with same_bits():
        scores = attack.decision_function(target.observed())
        predictions = scores >= 0
        evaluation = evaluate(membership, scores, predictions, ranks=attack.ranks)
    return AttackResult(scores, predictions, membership, evaluation)


def release_signals(context: Context, releases: Sequence[Release]) -> SignalPair:
    """Return what the adversary learns on and what it attacks, all releases side by side."""
    shadows = [
        Signals.concatenate([context.value(part) for part in shadow_signals(exp, of)])
        for exp, of in releases
    ]
    targets = [context.value(Step("signals", exp, of)) for exp, of in releases]
    return SignalPair(JointSignals.of(shadows), JointSignals.of(targets))


def validation_leaks(
    context: Context, exp: Experiment, names: Sequence[str]
) -> dict[str, Evaluation]:
    """Return how well each attack tells the victim's validation samples from its test samples.

    The attacks are those that find its members: fitted on the shadow networks' members and
    non-members, their thresholds included.
    """
    (victim,) = context.value(Step("pruned", exp))
    answers = networks.query_validation(exp, context, victim)
    target = Signals.concatenate([context.value(Step("signals", exp)), answers])
    parts = split(context.dataset(exp), exp.seed, VICTIM)
    samples = np.concatenate([parts.asked, parts.validation])
    validation = np.arange(len(samples)) >= len(parts.asked)
    found = {}
    for name in names:
        step = attack_step(exp, name, "pruned")
        seen = references.attach(context, references.for_attack(step), samples, target)
        fitted = context.value(Step("fit", exp, "pruned", (), name))
        found[name] = judge_validation(fitted, seen, validation)
    return found


def judge_validation(attack: attacks.Attack, target: Signals, validation: Bools) -> Evaluation:
    """Let a fitted attack decide on all of the target, and judge it without the members.

    ``validation``, shape (n,), True: those to be told from the test samples, which are all the
    other non-members. The members are there for attacks that rank a sample among all others (rmia).
    """
    judged = ~target.require_membership()
    with same_bits():
        scores = attack.decision_function(target.observed())[judged]
        return evaluate(validation[judged], scores, scores >= 0, ranks=attack.ranks)


@contextlib.contextmanager
def same_bits() -> Iterator[None]:
    """Compute on one thread: the same bits on any machine load and in any worker."""
    with one_thread(), threadpool_limits(1):
        yield
