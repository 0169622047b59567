"""Defenses that train other networks beside the defended one."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from prunemia.experiment import seed_of
from prunemia.training import Defense, Job, Run, fit
from prunemia.training.stacking import Stack

HIDDEN = (256, 64)
"""Units of an inference network. Nasr et al. use two towers of up to 1,024, on more data."""
LEARNING_RATE = 1e-3


class AdversarialRegularization(Defense):
    """A min-max game, both players moving once per batch; the strength is α.

    An inference network h reads a posterior and its one-hot label and maximizes mean log h(members)
    + mean log(1 − h(non-members)): the batch, and as many validation samples, answered in
    evaluation mode alike. The network minimizes cross-entropy + α · mean log h(members). Source:
    Nasr, Shokri & Houmansadr (2018), algorithm 1; single steps and one tower are ours.
    """

    def start(self, run: Run) -> None:
        """Build an inference network for each network."""
        device = run.train.device
        seeds = [seed_of(job.seed, "inference network") for job in run.jobs]
        with torch.no_grad():
            run.networks.train(False)
            classes = run.networks(run.features[run.train[:, :1]]).shape[2]
        modules = [_inference_network(classes, seed).to(device) for seed in seeds]
        generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self.inference = Stack(modules, generators)
        self.optimizer = torch.optim.Adam(self.inference.parameters.values(), lr=LEARNING_RATE)

    def penalty(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        """Let the inference networks move, then return α times their gain on the members."""
        candidates = run.validation[run.active]
        drawn = [
            torch.randint(candidates.shape[1], labels.shape[1:], generator=g, device=x.device)
            for g in self.inference.generators
        ]
        nonmembers = candidates.gather(1, torch.stack(drawn))
        with torch.no_grad():
            run.networks.train(False)
            answers = run.networks(torch.cat([x, run.features[nonmembers]], dim=1))
            run.networks.train(True)
        self.learn(answers, torch.cat([labels, run.labels[nonmembers]], dim=1))
        # The network's own move: its gradient goes through the logits in training mode.
        return self.strength * F.logsigmoid(self._guess(logits, labels)).mean(dim=1)

    def learn(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Move once, members in the first half of the samples; return losses, (M,), in nats."""
        guess = self._guess(logits, labels)
        members, nonmembers = guess.chunk(2, dim=1)
        losses = -F.logsigmoid(members).mean(dim=1) - F.logsigmoid(-nonmembers).mean(dim=1)
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        return losses.detach()

    def keep(self, slots: list[int]) -> None:
        """Let the inference networks of those that stopped go."""
        self.inference.keep(slots, self.optimizer)

    def _guess(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the inference networks' logits that a sample is a member, shape (M, b)."""
        one_hot = F.one_hot(labels, logits.shape[2])
        return self.inference(torch.cat([logits.softmax(dim=2), one_hot], dim=2)).squeeze(2)


def _inference_network(classes: int, seed: int) -> nn.Module:
    wide, narrow = HIDDEN
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(2 * classes, wide), nn.Linear(wide, narrow), nn.Linear(narrow, 1)]
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def weights(unseen: Tensor, strength: float) -> Tensor:
    """Return the members' weights, (…, n), of mean 1: proportional to exp(−s · (1 − p)).

    ``unseen``, (…, n): p, the true class's probability from a network not trained on the sample; a
    small one is got right by memory alone. ``strength``: s ≥ 0; at 0 all weights are 1.
    """
    raw = (-strength * (1 - unseen)).exp()
    return raw / raw.mean(dim=-1, keepdim=True)


class MemorizationWeighting(Defense):
    """Cross-entropy, each member weighted by `weights`; the strength is s.

    Memorization is what a network gets right of a sample because it trained on it (Feldman 2020).
    Two helper networks of the same kind, each trained anew on one half of the members for as many
    epochs as fine-tuning may take, give the other half its p. Source: after WeMem (Shang et al.
    2025), which holds such members back while pruning; weights and estimate are ours.
    """

    def start(self, run: Run) -> None:
        """Train the helper networks, and weight the members."""
        half = run.train.shape[1] // 2
        first, rest = run.train[:, :half], run.train[:, half:]
        unseen = torch.zeros(len(run.jobs), len(run.labels), device=run.train.device)
        for side, (members, others) in enumerate([(first, rest), (rest[:, :half], first)]):
            helpers = [_helper(job, members[i], side) for i, job in enumerate(run.jobs)]
            fit(helpers, run.features, run.labels, replace(run.settings, keeps_last=True))
            for i, helper in enumerate(helpers):
                unseen[i, others[i]] = _true_class(helper, run, others[i])
        own = weights(unseen.gather(1, run.train), self.strength)
        self.weights = torch.ones_like(unseen).scatter(1, run.train, own)

    def loss(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor) -> Tensor:
        """Return the weighted mean of each network's cross-entropy."""
        return (self.weights[run.active].gather(1, run.batch) * each).mean(dim=1)


def _helper(job: Job, half: Tensor, side: int) -> Job:
    seed = seed_of(job.seed, "helper network", side)
    module = copy.deepcopy(job.module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in module.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
    return Job(f"helper of {job.name}", module, half, job.validation, job.test, seed)


@torch.no_grad()
def _true_class(helper: Job, run: Run, samples: Tensor) -> Tensor:
    posteriors: Tensor = helper.module.eval()(run.features[samples]).softmax(dim=1)
    return posteriors.gather(1, run.labels[samples][:, None])[:, 0]
