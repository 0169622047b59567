"""Distillation: fine-tuning learns the original's answers to samples that are no members."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from prunemia.training import DefendedRun, Defense


class Distillation(Defense):
    """Distillation for membership privacy; the strength is the temperature T.

    Fine-tuning never sees a member. It minimizes T² · KL(softmax(t / T) ‖ softmax(z / T)), where t
    are the original network's logits, unpruned, and z the pruned network's, on the validation
    samples, the only ones at hand that are neither members nor judged as non-members. An epoch has
    as many batches as without the defense, so each sample comes several times. The weights that
    pruning leaves still come from training on the members.

    Source: Shejwalkar & Houmansadr (2021), who distill into a fresh network on reference data;
    T² keeps the gradient's size (Hinton, Vinyals & Dean 2015).
    """

    needs_original = True

    @torch.no_grad()
    def start(self, run: DefendedRun) -> None:
        """Ask each original network about its validation samples."""
        teachers = []
        for job, samples in zip(run.jobs, run.validation, strict=True):
            assert job.original is not None
            teachers.append(job.original.to(samples.device).eval()(run.features[samples]))
        self.answers = torch.stack(teachers)  # (jobs, samples, C)

    def batches(self, run: DefendedRun) -> Iterator[Tensor]:
        """Yield as many batches of validation samples as an epoch has of members."""
        count = run.validation.shape[1]
        needed = run.cuts[-1][1]
        orders = torch.stack([self._order(run, i, count, needed) for i in run.active])
        samples = run.validation[run.active].gather(1, orders)
        answers = self.answers[run.active]
        for start, stop in run.cuts:
            places = orders[:, start:stop]
            self.taught = answers.gather(1, places[..., None].expand(-1, -1, answers.shape[2]))
            yield samples[:, start:stop]

    def loss(
        self, run: DefendedRun, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor
    ) -> Tensor:
        """Return each network's divergence from its original's answers; labels do not enter."""
        taught = (self.taught / self.strength).log_softmax(dim=2)
        learned = (logits / self.strength).log_softmax(dim=2)
        divergence = F.kl_div(learned, taught, log_target=True, reduction="none").sum(dim=2)
        return self.strength**2 * divergence.mean(dim=1)

    @staticmethod
    def _order(run: DefendedRun, job: int, count: int, needed: int) -> Tensor:
        """Return one shuffle of the samples after the other, cut to what an epoch needs."""
        device = run.validation.device
        shuffles = [
            torch.randperm(count, generator=run.generators[job], device=device)
            for _ in range(-(-needed // count))
        ]
        return torch.cat(shuffles)[:needed]
