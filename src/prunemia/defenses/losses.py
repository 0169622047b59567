"""Defenses that change what is minimized, or which epoch is kept."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor

from prunemia.training import Defense, Run


class EarlyStopping(Defense):
    """Stop at the best validation loss, even in the warm-up (Yuan & Zhang 2022, section 7)."""

    keeps_early = True

    def score(self, accuracy: float, loss: float) -> float:
        """Return the validation loss, sign turned."""
        return -loss


def ppb_divergence(logits: Tensor) -> Tensor:
    """Return PPB's Kullback–Leibler term of logits (…, B, C), without strength: (…), nats, ≥ 0.

    With h = ⌊B/2⌋, each sample's logits in descending order, z′ the first h samples and z″ the next
    h: (1/h) Σᵢ KL(softmax(zᵢ″) ‖ softmax(zᵢ′)), with gradients through both. An odd batch's last is
    left out; one sample gives 0. Source: Yuan & Zhang (2022), section 7.1, and its code (order).
    """
    if logits.ndim < 2:
        raise ValueError(f"logits: shape {tuple(logits.shape)}; allowed: (B, C), or (…, B, C)")
    half = logits.shape[-2] // 2
    ranked = logits.sort(dim=-1, descending=True).values.log_softmax(dim=-1)
    first = ranked[..., :half, :]
    second = ranked[..., half : 2 * half, :]
    return (second.exp() * (second - first)).sum(dim=(-2, -1)) / max(half, 1)


class PosteriorAlignment(Defense):
    """PPB, strength λ: cross-entropy + λ · `ppb_divergence` (Yuan & Zhang 2022, section 7.1)."""

    def penalty(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        """Return λ times each network's divergence."""
        return self.strength * ppb_divergence(logits)


def flattened(logits: Tensor, labels: Tensor) -> Tensor:
    """Return soft labels that flatten posteriors, (…, C), of logits (…, C) and labels (…).

    The true class keeps its probability p, the others get (1 − p) / (C − 1); no gradient goes
    through them. Source: Chen, Yu & Fritz (2022), equation 5.
    """
    own = F.one_hot(labels, logits.shape[-1])
    posteriors = logits.detach().softmax(dim=-1)
    sure = (posteriors * own).sum(dim=-1, keepdim=True)
    return torch.where(own.bool(), sure, (1 - sure) / (logits.shape[-1] - 1))


class RelaxLoss(Defense):
    """RelaxLoss; the strength is the target ω of a batch's mean cross-entropy, in nats.

    Above ω a step descends on cross-entropy; below, it ascends in even epochs (from 0), and in odd
    ones descends with `flattened` labels, which levels wrong classes and keeps the prediction.
    Source: Chen, Yu & Fritz (2022), algorithm 1, without the ascent on right answers of their code.
    """

    def loss(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor) -> Tensor:
        """Return |mean − ω| in even epochs; in odd ones the mean, or the flattening below ω."""
        means = each.mean(dim=1)
        if run.epoch % 2 == 0:
            return (means - self.strength).abs()
        ranked = logits.log_softmax(dim=2)
        flat = -(flattened(logits, labels) * ranked).sum(dim=2).mean(dim=1)
        return torch.where(means.detach() > self.strength, means, flat)


class Distillation(Defense):
    """Distillation for membership privacy; the strength is the temperature T.

    Fine-tuning never sees a member (what pruning leaves did): it minimizes T² · KL(softmax(t / T) ‖
    softmax(z / T)), t the unpruned original's logits and z the network's, on validation samples,
    the only ones neither members nor judged as non-members, in as many batches as without the
    defense. Source: Shejwalkar & Houmansadr (2021), who distill into a fresh network on reference
    data; T² keeps the gradient's size (Hinton, Vinyals & Dean 2015).
    """

    needs_original = True

    @torch.no_grad()
    def start(self, run: Run) -> None:
        """Ask each original network about its validation samples."""
        teachers = []
        for job, samples in zip(run.jobs, run.validation, strict=True):
            assert job.original is not None
            teachers.append(job.original.to(samples.device).eval()(run.features[samples]))
        self.answers = torch.stack(teachers)  # (jobs, samples, C)

    def batches(self, run: Run) -> Iterator[Tensor]:
        """Yield as many batches of validation samples as an epoch has of members."""
        device, count = run.validation.device, run.validation.shape[1]
        needed = run.cuts[-1][1]
        orders = []
        for i in run.active:
            # one shuffle of the samples after the other, cut to what an epoch needs
            draw, turns = run.generators[i], range(-(-needed // count))
            shuffles = [torch.randperm(count, generator=draw, device=device) for _ in turns]
            orders.append(torch.cat(shuffles)[:needed])
        order = torch.stack(orders)
        samples = run.validation[run.active].gather(1, order)
        answers = self.answers[run.active]
        for start, stop in run.cuts:
            places = order[:, start:stop, None].expand(-1, -1, answers.shape[2])
            self.taught = answers.gather(1, places)
            yield samples[:, start:stop]

    def loss(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor) -> Tensor:
        """Return each network's divergence from its original's answers; labels do not enter."""
        taught = (self.taught / self.strength).log_softmax(dim=2)
        learned = (logits / self.strength).log_softmax(dim=2)
        divergence = F.kl_div(learned, taught, log_target=True, reduction="none").sum(dim=2)
        return self.strength**2 * divergence.mean(dim=1)
