"""The leak of the victim's validation samples.

They stop training and select epochs, which gives hardly anything away. A defense that trains on
them in the members' place moves the leak to them (`DefenseKind.uses_validation`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prunemia.attacks import Attack
from prunemia.data import split
from prunemia.experiment import Experiment
from prunemia.lab import attacking, computing, networks, references
from prunemia.lab.bench import Bench
from prunemia.lab.steps import VICTIM, Step, attack_step
from prunemia.metrics import Evaluation, evaluate
from prunemia.metrics.intervals import Bools
from prunemia.signals import Signals


def leaks(bench: Bench, exp: Experiment, attacks: Sequence[str]) -> dict[str, Evaluation]:
    """Return how well each attack tells the victim's validation samples from its test samples.

    The attacks are those that find its members: fitted on the shadow networks' members and
    non-members, their thresholds included. The answers to members and test samples are those that
    they decide on there, too.
    """
    dataset = bench.dataset(exp)
    (victim,) = bench.value(Step("pruned", exp))
    answers = networks.query_validation(exp, dataset, victim, bench.device)
    target = Signals.concatenate([bench.value(Step("signals", exp)), answers])
    parts = split(dataset, exp.seed, VICTIM)
    samples = np.concatenate([parts.asked, parts.validation])
    validation = np.arange(len(samples)) >= len(parts.asked)
    found = {}
    for name in attacks:
        fit, _, *asked = computing.attack_needs(attack_step(exp, name, "pruned"))
        seen = references.attach(bench, asked, samples, target)
        found[name] = judge(bench.value(fit), seen, validation)
    return found


def judge(attack: Attack, target: Signals, validation: Bools) -> Evaluation:
    """Let a fitted attack decide on all of the target, and judge it without the members.

    ``validation``, shape (n,), True: those to be told from the test samples, which are all the
    other non-members. The members are there for attacks that rank a sample among all others (rmia).
    """
    judged = ~target.require_membership()
    with attacking.same_bits():
        scores = attack.decision_function(target.observed())[judged]
        return evaluate(validation[judged], scores, scores >= 0, ranks=attack.ranks)
