"""The leak of validation samples: judged against test samples by the attacks on members."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import prunemia as pm
from prunemia.lab import networks
from prunemia.lab.attacking import judged, validation_leaks
from prunemia.lab.steps import VICTIM
from prunemia.metrics import evaluate
from prunemia.models import one_thread
from prunemia.signals import Signals

FIT = {"epochs": 25, "stopping": "last", "finetune_epochs": 5}
EXP = pm.Experiment(model="columnfc", samples=2000, shadows=2, draws=2, **FIT)
NAMES = ("conf", "mentr", "rmia")


def test_validation_samples_are_judged_against_test_samples_and_members_left_out():
    # two members, then tests .2 .4 .6, then validation .3 .7 .9
    p = np.array([0.99, 0.01, 0.2, 0.4, 0.6, 0.3, 0.7, 0.9])
    member = np.arange(8) < 2
    target = Signals(np.stack([p, 1 - p], axis=1), None, np.zeros(8, dtype=int), member)

    def decide(seen):
        assert (seen.membership, len(seen)) == (None, 8)  # members are there, but not told
        return seen.posteriors[:, 0].astype(float) - 0.5

    attack = SimpleNamespace(decision_function=decide, ranks=True)
    found = judged(attack, target, np.arange(8) >= 5).evaluation
    # at .5: two of three validation samples accused, one of three tests
    assert found.accuracy.value == pytest.approx((2 / 3 + 2 / 3) / 2)
    # pairs with validation above test: .3 beats .2; .7 and .9 beat all three: 7 of 9
    assert found.auc.value == pytest.approx(7 / 9)
    assert (found.members, found.nonmembers) == (3, 3)


def overfitted(lab):
    """The victim, fitted once more on its validation samples."""
    victim, rows, data = lab.pruned(EXP), lab.split(EXP).validation, lab.dataset(EXP)
    x, y = torch.from_numpy(data.features[rows]), torch.from_numpy(data.labels[rows])
    optimizer = torch.optim.Adam(victim.module.parameters(), lr=3e-3)
    with one_thread():
        for _ in range(100):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(victim.module(x), y).backward()
            optimizer.step()
    assert (victim.module(x).argmax(dim=1) == y).all()
    return victim


def test_a_network_that_fits_its_validation_samples_leaks_them(lab, monkeypatch):
    usual, again = (validation_leaks(lab, EXP, NAMES) for _ in range(2))
    victim, value = overfitted(lab), lab.value

    def of_victim(step):
        if step.stage == "pruned":
            return [victim]
        if step.stage == "signals" and step.group == (VICTIM,):
            return networks.ask(EXP, lab, VICTIM, victim, lab.split(EXP).asked)
        return value(step)

    monkeypatch.setattr(lab, "value", of_victim)
    found = validation_leaks(lab, EXP, NAMES)

    parts = lab.split(EXP)
    for name in NAMES:
        assert usual[name].auc.value == pytest.approx(0.5, abs=0.1)  # the null: 100 against 450
        assert usual[name].to_dict() == again[name].to_dict()
        assert found[name].auc.low > 0.6
        assert found[name].accuracy.value > usual[name].accuracy.value + 0.1
        sizes = (found[name].members, found[name].nonmembers)
        assert sizes == (len(parts.validation), len(parts.test))


def test_the_attack_is_the_one_that_finds_members(lab):
    """By hand: conf's threshold for each class, on the posteriors of both kinds of samples."""
    parts, data, victim = lab.split(EXP), lab.dataset(EXP), lab.pruned(EXP)
    rows = np.concatenate([parts.validation, parts.test])
    p = pm.query.posteriors(victim.module, data.features[rows]).numpy()
    scores = lab.fitted(EXP, "conf").decision_function(Signals(p, None, data.labels[rows]))
    member = np.arange(len(rows)) < len(parts.validation)

    found = validation_leaks(lab, EXP, ["conf"])["conf"]

    by_hand = evaluate(member, scores, scores >= 0)
    assert found.accuracy.value == pytest.approx(by_hand.accuracy.value, abs=1e-3)
    assert found.auc.value == pytest.approx(by_hand.auc.value, abs=1e-3)
