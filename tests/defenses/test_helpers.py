"""Defenses that train other networks: adversarial regularization, and weighting by memorization."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from bumps import pruned_jobs

from prunemia import defenses
from prunemia.defenses import losses
from prunemia.defenses.losses import weights
from prunemia.models import one_thread
from prunemia.training import FitSettings, Run, fit


def started(series, kind: str = "columnfc", count: int = 1):
    defense = defenses.get("adv", 3)
    run = Run(pruned_jobs(kind, count), *series, FitSettings(epochs=1), defense)
    defense.start(run)
    return defense, run


@one_thread()
def test_the_players_learn_against_each_other(series):
    # Members are sure of class 0, non-members know nothing: told apart at sight. Guessing costs 2
    # ln 2. Against the trained inference network, gradient steps on the members' logits fool it.
    defense, run = started(series)
    sure = torch.tensor([8.0, 0.0, 0.0]).expand(1, 20, 3)
    logits, labels = torch.cat([sure, torch.zeros(1, 20, 3)], dim=1), torch.zeros(1, 40).long()
    losses = [defense.learn(logits, labels).item() for _ in range(80)]
    assert losses[0] == pytest.approx(2 * math.log(2), rel=0.2)
    assert losses[-1] < 0.1

    members, labels = (sure / 4).clone().requires_grad_(), labels[:, :20]
    gains = []
    for _ in range(40):
        gain = F.logsigmoid(defense._guess(members, labels)).mean()
        (slope,) = torch.autograd.grad(gain, members)
        members = (members - 200 * slope).detach().requires_grad_()
        gains.append(gain.item())
    assert gains[-1] < gains[0] - 0.5
    penalty = defense.penalty(run, run.features[run.train[:, :20]], labels, members)
    assert penalty.shape == (1,)
    assert bool((torch.autograd.grad(penalty.sum(), members)[0] != 0).any())


def test_a_penalty_leaves_the_network_in_training_mode_and_its_statistics_alone(series):
    defense, run = started(series, "cnn1d", 2)
    run.networks.train(True)
    before = {name: value.clone() for name, value in run.networks.buffers.items()}
    rows = run.train[:, :16]
    logits = torch.zeros(2, 16, 3, requires_grad=True)
    defense.penalty(run, run.features[rows], run.labels[rows], logits)
    assert run.networks.training
    assert all(torch.equal(value, run.networks.buffers[name]) for name, value in before.items())


def test_adversarial_regularization_closes_the_gap_between_members_and_others(series):
    features, labels = series

    def gap(defense):
        (job,) = pruned_jobs("columnfc", 1, sparsity=0.3)
        settings = FitSettings(epochs=30, batch_size=32, learning_rate=3e-3, keeps_last=True)
        fit([job], *series, settings, defense=defense)
        confidence = job.module(features).softmax(dim=1)[torch.arange(300), labels]
        return (confidence[job.train].mean() - confidence[job.test].mean()).item()

    assert gap(defenses.get("adv", 10)) < gap(None)


def test_weights_by_hand():
    # s = ln 4: a member that an unseen network gets right weighs 1, one at 1/2 weighs 1/2, one at 0
    # weighs 1/4; their mean is 7/12.
    got = weights(torch.tensor([1.0, 0.5, 0.0]), math.log(4))
    torch.testing.assert_close(got, torch.tensor([12 / 7, 6 / 7, 3 / 7]))


def test_without_slope_it_is_no_defense(series):
    settings = FitSettings(epochs=3, batch_size=32)
    with_it, without = pruned_jobs("columnfc", 2), pruned_jobs("columnfc", 2)
    one = fit(with_it, *series, settings, defense=defenses.get("wemem", 0))
    other = fit(without, *series, settings)
    for a, b in zip(one, other, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-5)


def test_members_with_a_wrong_label_weigh_least(series):
    features, labels = series
    (job,) = pruned_jobs("columnfc", 1)
    wrong = job.train[::10]
    labels = labels.clone()
    labels[wrong] = (labels[wrong] + 1) % 3
    defense = defenses.get("wemem", 2)
    settings = FitSettings(epochs=12, batch_size=32, learning_rate=3e-3)
    run = Run([job], features, labels, settings, defense)
    defense.start(run)
    others = torch.tensor(sorted(set(job.train.tolist()) - set(wrong.tolist())))
    mine = defense.weights[0]
    assert mine[wrong].mean() < mine[others].mean() / 2
    assert mine[job.train].mean().item() == pytest.approx(1, rel=1e-5)


def test_no_helper_judges_a_member_that_it_trained_on(series, monkeypatch):
    # Helpers that answer by memory alone would be sure of every member; held back they are not.
    asked = []
    truth = losses._true_class

    def noted(helper, run, samples):
        asked.append((helper, samples))
        return truth(helper, run, samples)

    monkeypatch.setattr(losses, "_true_class", noted)
    (job,) = pruned_jobs("columnfc", 1)
    defense = defenses.get("wemem")
    defense.start(Run([job], *series, FitSettings(epochs=1), defense))
    assert len(asked) == 2
    judged = torch.cat([samples for _, samples in asked])
    assert sorted(judged.tolist()) == sorted(job.train.tolist())
    for helper, samples in asked:
        assert not set(helper.train.tolist()) & set(samples.tolist())
