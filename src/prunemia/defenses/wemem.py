"""Weighting by memorization: members that only memory gets right count less."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from prunemia.experiment import seed_of
from prunemia.training import DefendedRun, Defense, Job, fit


def weights(unseen: Tensor, strength: float) -> Tensor:
    """Return the members' weights, mean 1: proportional to exp(−s · (1 − p)).

    Parameters
    ----------
    unseen : shape (…, n), p: the probability that a network not trained on the sample gives its
        true class. Members with a small p can be got right by memory alone.
    strength : s ≥ 0; 0: all weights are 1.
    """
    raw = (-strength * (1 - unseen)).exp()
    return raw / raw.mean(dim=-1, keepdim=True)


class MemorizationWeighting(Defense):
    """Cross-entropy, each member weighted by `weights`; the strength is s.

    Memorization is what a network gets right of a sample because it trained on it (Feldman 2020).
    Two helper networks of the same kind, each trained anew on one half of the members for as many
    epochs as fine-tuning may take, give the members of the other half the p of `weights`.

    Source: after Shang et al. (2025), WeMem, whose defenses hold back or regularize the members of
    high memorization while a network is pruned; that weighting, and its estimate from two helper
    networks instead of many, are ours.
    """

    def start(self, run: DefendedRun) -> None:
        """Train the helper networks, and weight the members."""
        self.weights = torch.ones(len(run.jobs), len(run.labels), device=run.train.device)
        half = run.train.shape[1] // 2
        seen = [run.train[:, :half], run.train[:, half : 2 * half]]
        held_back = [run.train[:, half:], run.train[:, :half]]
        unseen = torch.zeros_like(self.weights)
        for side, (members, others) in enumerate(zip(seen, held_back, strict=True)):
            helpers = [_helper(job, members[i], side) for i, job in enumerate(run.jobs)]
            fit(helpers, run.features, run.labels, replace(run.settings, keeps_last=True))
            for i, helper in enumerate(helpers):
                unseen[i, others[i]] = _true_class(helper, run, others[i])
        members = unseen.gather(1, run.train)
        self.weights.scatter_(1, run.train, weights(members, self.strength))

    def loss(
        self, run: DefendedRun, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor
    ) -> Tensor:
        """Return the weighted mean of each network's cross-entropy."""
        return (self.weights[run.index].gather(1, run.batch) * each).mean(dim=1)


def _helper(job: Job, half: Tensor, side: int) -> Job:
    """Return the job of a fresh network on half of the members."""
    seed = seed_of(job.seed, "helper network", side)
    module = copy.deepcopy(job.module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in module.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
    return Job(f"helper of {job.name}", module, half, job.validation, job.test, seed)


@torch.no_grad()
def _true_class(helper: Job, run: DefendedRun, samples: Tensor) -> Tensor:
    """Return the probabilities that a helper network gives the samples' true classes."""
    posteriors: Tensor = helper.module.eval()(run.features[samples]).softmax(dim=1)
    return posteriors.gather(1, run.labels[samples][:, None])[:, 0]
