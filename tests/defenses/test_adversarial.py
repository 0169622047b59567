import numpy as np
import pytest
import torch
from bumps import bumps, pruned_jobs
from torch import nn

from prunemia import defenses, training
from prunemia.training import FitSettings, fit


@pytest.fixture(scope="module")
def series():
    """Give features and labels."""
    return bumps()


def started(series, count: int = 1):
    defense = defenses.get("adv", 3)
    run = training.Run(pruned_jobs("columnfc", count), *series, FitSettings(epochs=1), defense)
    defense.start(run)
    return defense, run


def test_the_inference_network_learns_to_tell_members_from_others(series):
    # Members are sure of class 0, non-members know nothing: told apart at sight. Guessing costs 2
    # ln 2.
    defense, _ = started(series)
    logits = torch.cat(
        [torch.tensor([8.0, 0.0, 0.0]).expand(1, 20, 3), torch.zeros(1, 20, 3)], dim=1
    )
    losses = [defense.learn(logits, torch.zeros(1, 40, dtype=torch.long)).item() for _ in range(80)]
    assert losses[0] == pytest.approx(2 * np.log(2), rel=0.2)
    assert losses[-1] < 0.1


def test_the_network_can_lower_the_inference_networks_gain(series):
    # Against a trained inference network, gradient steps on the members' logits alone fool it.
    defense, run = started(series)
    labels = torch.zeros(1, 20, dtype=torch.long)
    sure = torch.tensor([2.0, 0.0, 0.0]).expand(1, 20, 3)
    for _ in range(80):
        defense.learn(
            torch.cat([sure, torch.zeros(1, 20, 3)], dim=1), torch.cat([labels, labels], dim=1)
        )
    logits = sure.clone().requires_grad_()
    gains = []
    for _ in range(200):
        gain = nn.functional.logsigmoid(defense._guess(logits, labels)).mean()
        (slope,) = torch.autograd.grad(gain, logits)
        logits = (logits - 50 * slope).detach().requires_grad_()
        gains.append(gain.item())
    assert gains[-1] < gains[0] - 1
    penalty = defense.penalty(run, run.features[run.train[:, :20]], labels, logits)
    assert penalty.shape == (1,)
    assert bool((torch.autograd.grad(penalty.sum(), logits)[0] != 0).any())


def test_a_penalty_leaves_the_network_in_training_mode_and_its_statistics_alone(series):
    defense = defenses.get("adv", 3)
    run = training.Run(pruned_jobs("cnn1d", 2), *series, FitSettings(epochs=1), defense)
    defense.start(run)
    run.networks.train(True)
    before = {name: value.clone() for name, value in run.networks.buffers.items()}
    rows = run.train[:, :16]
    logits = torch.zeros(2, 16, 3, requires_grad=True)
    defense.penalty(run, run.features[rows], run.labels[rows], logits)
    assert run.networks.training
    assert all(torch.equal(value, run.networks.buffers[name]) for name, value in before.items())


def test_adversarial_regularization_closes_the_gap_between_members_and_others(series):
    features, labels = series

    def gap(job):
        confidence = job.module(features).softmax(dim=1)[torch.arange(300), labels]
        return (confidence[job.train].mean() - confidence[job.test].mean()).item()

    plain, defended = (
        pruned_jobs("columnfc", 1, sparsity=0.3),
        pruned_jobs("columnfc", 1, sparsity=0.3),
    )
    settings = FitSettings(epochs=60, patience=60, warmup=59, batch_size=32)
    fit(plain, *series, settings)
    fit(defended, *series, settings, defense=defenses.get("adv", 10))
    assert gap(*defended) < gap(*plain)
