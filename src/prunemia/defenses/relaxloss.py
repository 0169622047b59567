"""RelaxLoss: members are trained to a target loss, not to the smallest one."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from prunemia.training import DefendedRun, Defense


def flattened(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the soft labels that flatten posteriors, shape (…, C).

    The true class keeps the probability p that the network gives it; every other class gets
    (1 − p) / (C − 1). No gradient goes through them.

    Parameters
    ----------
    logits : shape (…, C).
    labels : shape (…), integer classes.

    Source: Chen, Yu & Fritz (2022), equation 5.
    """
    own = F.one_hot(labels, logits.shape[-1])
    posteriors = logits.detach().softmax(dim=-1)
    sure = (posteriors * own).sum(dim=-1, keepdim=True)
    return torch.where(own.bool(), sure, (1 - sure) / (logits.shape[-1] - 1))


class RelaxLoss(Defense):
    """RelaxLoss; the strength is the target ω of a batch's mean cross-entropy, in nats.

    Above ω a step descends on cross-entropy. Below ω it ascends in even epochs (from 0), and in odd
    ones it descends on the cross-entropy with `flattened` labels, which levels the wrong classes
    and keeps the prediction.

    Source: Chen, Yu & Fritz (2022), algorithm 1. Their published code adds to the second case an
    ascent on correctly classified samples; the algorithm has none.
    """

    def loss(
        self, run: DefendedRun, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor
    ) -> Tensor:
        """Return |mean − ω| in even epochs; in odd ones the mean, or the flattening below ω."""
        means = each.mean(dim=1)
        if run.epoch % 2 == 0:
            return (means - self.strength).abs()
        ranked = logits.log_softmax(dim=2)
        flat = -(flattened(logits, labels) * ranked).sum(dim=2).mean(dim=1)
        return torch.where(means.detach() > self.strength, means, flat)
