"""Attacks: built from a step, fitted on the shadows, deciding; the functions of their stages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from prunemia import attacks
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

    ``scores``: shape (n,), float64; larger = more likely a member, 0 = the threshold.
    ``predictions``, ``membership``: shape (n,), bool. ``evaluation``: with 95 % intervals.
    """

    scores: NDArray[np.float64]
    predictions: Bools
    membership: Bools
    evaluation: Evaluation


def build(step: Step, context: Context) -> attacks.Attack:
    """Return the step's attack, not fitted; ValueError for an unknown attack or option."""
    kind = (attacks.together if step.stage == "releases" else attacks.get)(step.attack)
    allowed = kind().get_params()
    options = dict(step.options)
    if unknown := sorted(options.keys() - allowed.keys()):
        known = ", ".join(sorted(allowed)) or "none"
        raise ValueError(f"{step.attack}: no option {', '.join(unknown)}; allowed: {known}")
    given = {"seed": step.exp.seed, "device": str(context.device), "progress": context.progress}
    return kind(**{name: value for name, value in given.items() if name in allowed} | options)


def fit(attack: attacks.Attack, shadow: Signals) -> attacks.Attack:
    """Fit an attack on one thread: the same bits on any machine load and in any worker."""
    with one_thread(), threadpool_limits(1):
        return attack.fit(shadow)


def judged(
    attack: attacks.Attack, target: Signals, validation: Bools | None = None
) -> AttackResult:
    """Return what a fitted attack says of the target, and how right it is.

    ``validation``, shape (n,): instead, how well it tells these from the other non-members. Members
    are left out afterwards: some attacks rank a sample among all others (rmia).
    """
    positive = target.require_membership()
    rows = np.ones(len(positive), dtype=bool) if validation is None else ~positive
    positive = (positive if validation is None else validation)[rows]
    with one_thread(), threadpool_limits(1):
        scores = attack.decision_function(target.observed())[rows]
        predictions = scores >= 0
        evaluation = evaluate(positive, scores, predictions, ranks=attack.ranks)
    return AttackResult(scores, predictions, positive, evaluation)


def fit_needs(step: Step) -> list[Step]:
    """Return the steps to the references or shadows that the attack learns from, if any."""
    if attacks.get(step.attack).blind:
        return []
    asked = references.for_attack(step)
    return [*asked, *references.queried(step)] if asked else shadow_signals(step.exp, step.of)


def fit_settings(step: Step, context: Context) -> list[Any]:
    """Return what decides a fit; a blind attack keeps the number of classes alone."""
    attack = build(step, context)
    classes = context.facts(step.exp)["classes"] if attack.blind else None
    return [step.attack, attack.version, attack.identity(), classes]


def fit_attack(step: Step, context: Context) -> Files:
    """Fit the attack on the shadow networks or the references."""
    attack = build(step, context)
    if attack.blind:
        attack.restore({"n_classes_": np.array(context.facts(step.exp)["classes"])})
    else:
        if asked := references.for_attack(step):
            shadows = references.as_shadows(context, asked, references.queried(step))
        else:
            shadows = [context.value(part) for part in context.needs(step)]
        fit(attack, Signals.concatenate(shadows))
    return {"attack.npz": pack_arrays(attack.learned())}


def decision_needs(step: Step) -> list[Step]:
    """Return the steps to the fitted attack, to the target, and to its references."""
    fitted = replace(step, stage="fit", group=())
    return [fitted, Step("signals", step.exp, step.of, step.group), *references.for_attack(step)]


def decide(step: Step, context: Context) -> Files:
    """Let a fitted attack decide on the victim's samples."""
    fitted, signals, *asked = context.needs(step)
    samples = [context.split(step.exp, number).asked for number in step.group]
    target = context.value(signals)
    target = references.attach(context, asked, np.concatenate(samples), target)
    return _pack(judged(context.value(fitted), target))


def release_needs(step: Step) -> list[Step]:
    """Return the steps to the shadows' and the victim's signals of every release."""
    needs: list[Step] = []
    for exp, of in step.releases:
        needs += [*shadow_signals(exp, of), Step("signals", exp, of)]
    return needs


def decide_on_releases(step: Step, context: Context) -> Files:
    """Let an attack decide that sees several releases of each network at once."""
    pair = release_signals(context, step.releases)
    return _pack(judged(fit(build(step, context), pair.shadow), pair.target))


def release_signals(context: Context, releases: Sequence[Release]) -> SignalPair:
    """Return what the adversary learns on and what it attacks, all releases side by side."""
    asked = [shadow_signals(exp, of) for exp, of in releases]
    shadows = [Signals.concatenate([context.value(part) for part in parts]) for parts in asked]
    targets = [context.value(Step("signals", exp, of)) for exp, of in releases]
    return SignalPair(JointSignals.of(shadows), JointSignals.of(targets))


def _pack(result: AttackResult) -> Files:
    arrays = {name: value for name, value in vars(result).items() if name != "evaluation"}
    evaluation = pack_json(result.evaluation.to_dict())
    return {"decisions.npz": pack_arrays(arrays), "evaluation.json": evaluation}


def load_result(files: Files, *_: Any) -> AttackResult:
    """Return what an attack said and how right it was."""
    evaluation = Evaluation.from_dict(unpack_json(files["evaluation.json"]))
    return AttackResult(**unpack_arrays(files["decisions.npz"]), evaluation=evaluation)


def validation_leaks(
    context: Context, exp: Experiment, names: Sequence[str]
) -> dict[str, Evaluation]:
    """Return how well attacks on members tell the victim's validation from its test samples."""
    (victim,) = context.value(Step("pruned", exp))
    parts = context.split(exp)
    answers = networks.ask(exp, context, VICTIM, victim, parts.validation, "query validation")
    target = Signals.concatenate([context.value(Step("signals", exp)), answers])
    samples = np.concatenate([parts.asked, parts.validation])
    validation = np.arange(len(samples)) >= len(parts.asked)
    found = {}
    for name in names:
        fitted, _, *asked = decision_needs(attack_step(exp, name, "pruned"))
        seen = references.attach(context, asked, samples, target)
        found[name] = judged(context.value(fitted), seen, validation).evaluation
    return found
