"""What a defense may change of training; the class itself is no defense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from prunemia.training.job import FitSettings, Job
from prunemia.training.stacking import Networks


class TrainingError(RuntimeError):
    """Training diverged, or a defense cannot take the network; the message names both."""


class DefendedRun(Protocol):
    """What a defense may read, replace and call of a fit that is under way (`training.Run`).

    Attributes
    ----------
    jobs : the networks to fit, as they were given.
    networks : those still training, as one function; each has a slot in it.
    active : the job in each slot; ``index`` the same as a tensor, on the networks' device.
    generators : of each job's batches and dropout, by job.
    features, labels : every sample of the data set, (n, …) and (n,).
    train, validation : sample numbers, shape (jobs, samples).
    cuts : (start, stop) of an epoch's batches.
    optimizer : of the networks' parameters.
    masks : parameter name → 1 where pruning left a weight, else 0; applied after every step.
    settings : how the networks are fitted.
    epoch : the epoch under way, from 0.
    batch : sample numbers of the step under way, (M, b).
    """

    jobs: list[Job]
    networks: Networks
    active: list[int]
    index: Tensor
    generators: list[torch.Generator]
    features: Tensor
    labels: Tensor
    train: Tensor
    validation: Tensor
    cuts: list[tuple[int, int]]
    optimizer: torch.optim.Optimizer
    masks: dict[str, Tensor]
    settings: FitSettings
    epoch: int
    batch: Tensor

    def shuffled(self) -> Iterator[Tensor]:
        """Yield an epoch's batches of sample numbers, (M, b), each network's in its own order."""


class Defense:
    """No defense: cross-entropy, and the epoch of the best validation accuracy.

    The others override some of these methods. Each call of `training.fit` takes a fresh object and
    calls, in this order: ``start``; every epoch ``batches``; every batch ``loss``, which asks for
    the ``penalty``, and ``differentiated``; after each epoch ``score``, and ``keep`` when networks
    have stopped; at last ``finish``.

    Parameters
    ----------
    strength : in the defense's own units; 0 where it has none.
    """

    one_by_one: ClassVar[bool] = False
    """Whether networks must be trained one at a time, never as a stack."""

    keeps_early: ClassVar[bool] = False
    """Whether an epoch of the warm-up can be the one that is kept."""

    needs_original: ClassVar[bool] = False
    """Whether the jobs bring the networks as they were before pruning (`Job.original`)."""

    def __init__(self, strength: float = 0.0) -> None:
        self.strength = strength

    def start(self, run: DefendedRun) -> None:
        """Prepare for the networks of ``run``; called once."""

    def batches(self, run: DefendedRun) -> Iterator[Tensor]:
        """Return one epoch's batches of sample numbers, (M, b), each network's in its own order."""
        return run.shuffled()

    def loss(
        self, run: DefendedRun, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor
    ) -> Tensor:
        """Return what each network minimizes in this step, shape (M,), in nats.

        ``each`` is the samples' cross-entropy, (M, b); the rest is as in `penalty`.
        """
        # A random batch can be empty: its mean would be NaN, its sum is 0.
        losses = each.mean(dim=1) if each.shape[1] else each.sum(dim=1)
        penalty = self.penalty(run, x, labels, logits)
        return losses if penalty is None else losses + penalty

    def penalty(
        self,
        run: DefendedRun,
        x: Tensor,
        labels: Tensor,
        logits: Tensor,
    ) -> Tensor | None:
        """Return what is added to each network's cross-entropy, shape (M,), in nats; None: nothing.

        ``x`` is (M, b, …), ``labels`` (M, b), ``logits`` (M, b, C), with gradients.
        """
        return None

    def differentiated(self, run: DefendedRun) -> None:
        """Change a batch's gradients before the optimizer takes its step."""

    def keep(self, slots: list[int]) -> None:
        """Go on with the networks in these slots only, which are renumbered in this order."""

    def score(self, accuracy: float, loss: float) -> float:
        """Return how good an epoch is by its validation accuracy and loss; the best one is kept."""
        return accuracy

    def finish(self, run: DefendedRun) -> dict[str, Any]:
        """Clean up, and return what the defense guarantees, as JSON."""
        return {}
