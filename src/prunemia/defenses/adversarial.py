"""Adversarial regularization: training plays against a network that tells members from others."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from prunemia.experiment import seed_of
from prunemia.training import DefendedRun, Defense
from prunemia.training.stacking import gather

HIDDEN = (256, 64)
"""Hidden units of an inference network. Nasr et al. use two towers of up to 1,024, on more data."""

LEARNING_RATE = 1e-3


class AdversarialRegularization(Defense):
    """A min-max game, both players moving once per batch; the strength is α.

    An inference network h reads a posterior and its one-hot label and maximizes its gain
    mean log h(members) + mean log(1 − h(non-members)), members being the batch and non-members as
    many drawn from the validation samples, all answered in evaluation mode, so that it cannot
    tell the mode instead. Then the network minimizes cross-entropy + α · mean log h(members).

    Source: Nasr, Shokri & Houmansadr (2018), algorithm 1. Ours: one step of each player per batch,
    a smaller inference network with one tower.
    """

    def start(self, run: DefendedRun) -> None:
        """Build an inference network for each network."""
        device = run.train.device
        seeds = [seed_of(job.seed, "inference network") for job in run.jobs]
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        with torch.no_grad():
            run.networks.train(False)
            classes = run.networks(run.features[run.train[:, :1]]).shape[2]
        modules = [_inference_network(classes, seed).to(device) for seed in seeds]
        self.inference = gather(modules, self.generators)
        self.optimizer = torch.optim.Adam(self.inference.parameters.values(), lr=LEARNING_RATE)

    def penalty(self, run: DefendedRun, x: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        """Let the inference networks move, then return α times their gain on the members."""
        candidates = run.validation[run.index]
        drawn = [
            torch.randint(candidates.shape[1], labels.shape[1:], generator=g, device=x.device)
            for g in self.generators
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
        """Move the inference networks once, and return their losses, shape (M,), in nats.

        The first half of the samples are members, the second half are not.
        """
        guess = self._guess(logits, labels)
        members, nonmembers = guess.chunk(2, dim=1)
        losses = -F.logsigmoid(members).mean(dim=1) - F.logsigmoid(-nonmembers).mean(dim=1)
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimizer.step()
        return losses.detach()

    def keep(self, slots: list[int]) -> None:
        """Let the inference networks of those that stopped go."""
        self.generators = [self.generators[slot] for slot in slots]
        self.inference.keep(slots, self.optimizer)

    def _guess(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the inference networks' logits that a sample is a member, shape (M, b)."""
        one_hot = F.one_hot(labels, logits.shape[2])
        return self.inference(torch.cat([logits.softmax(dim=2), one_hot], dim=2)).squeeze(2)


def _inference_network(classes: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wide, narrow = HIDDEN
        return nn.Sequential(
            nn.Linear(2 * classes, wide),
            nn.ReLU(),
            nn.Linear(wide, narrow),
            nn.ReLU(),
            nn.Linear(narrow, 1),
        )
