"""Fit one network, or many of one shape at once, in memory; each with its own seed and stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from prunemia.models import one_thread
from prunemia.training.defense import Defense, TrainingError
from prunemia.training.job import FitSettings, History, Job
from prunemia.training.stacking import Alone, Networks, gather

VALIDATION_BATCH = 1024


def fit(
    jobs: Sequence[Job],
    features: Tensor,
    labels: Tensor,
    settings: FitSettings,
    *,
    defense: Defense | None = None,
    report: Callable[[str], None] | None = None,
) -> list[History]:
    """Fit the networks of ``jobs`` side by side, in place, and return their histories.

    Parameters
    ----------
    jobs : one network each; more than one only if `stacking.stackable` and the defense is not one
        by one. All have equally many samples.
    features : shape (n, …), every sample of the data set, on the device to train on.
    labels : shape (n,), integer classes.
    settings : shared by all.
    defense : a fresh one; None: no defense.
    report : called after each epoch with a line that says how it goes.

    Raises
    ------
    TrainingError
        A loss became NaN or infinite, or the defense cannot take the network.
    """
    run = Run(list(jobs), features, labels, settings, defense or Defense())
    with one_thread(), torch.backends.cudnn.flags(enabled=True, deterministic=True):
        run.defense.start(run)
        for epoch in range(settings.epochs):
            run.train_epoch(epoch)
            run.validate(epoch)
            if report is not None:
                report(run.line())
            if run.finished:
                break
    for job, best in zip(jobs, run.best, strict=True):
        job.module.load_state_dict(best)
        job.module.eval()
    # Only now: a defense may have wrapped the modules that the best states are loaded into.
    guarantee = run.defense.finish(run)
    for history in run.histories:
        history.guarantee = guarantee
    return run.histories


@torch.no_grad()
def accuracy(
    module: nn.Module, features: Tensor, labels: Tensor, samples: Tensor, batch: int = 1024
) -> float:
    """Return the share of the samples, given by their numbers, that ``module`` classifies right."""
    module.eval()
    with one_thread():
        right = [
            (module(features[part]).argmax(dim=1) == labels[part]).sum()
            for part in samples.split(batch)
        ]
    return int(torch.stack(right).sum()) / len(samples)


class Run:
    """The state of one call of `fit`; its defense reads and extends what `DefendedRun` lists.

    Attributes
    ----------
    masks : parameter name → what pruning left of it, for each network that still trains.
    histories, best, best_score : by job; ``best`` is the state dict of the epoch kept.
    """

    def __init__(
        self,
        jobs: list[Job],
        features: Tensor,
        labels: Tensor,
        settings: FitSettings,
        defense: Defense,
    ) -> None:
        device = features.device
        self.jobs = jobs
        self.features = features
        if device.type == "cuda" and features.ndim == 4:
            # as 2-D kernels lie: once here, instead of batch by batch
            self.features = features.contiguous(memory_format=torch.channels_last)
        self.labels = labels
        self.settings = settings
        self.defense = defense
        self.generators = [torch.Generator(device).manual_seed(job.seed) for job in jobs]
        modules = [job.module.to(device).train() for job in jobs]
        self.networks: Networks = gather(modules, self.generators, one_by_one=defense.one_by_one)
        self.active = list(range(len(jobs)))
        self.index = torch.arange(len(jobs), device=device)
        self.epoch = 0
        self.train = torch.stack([job.train for job in jobs]).to(device)
        self.validation = torch.stack([job.validation for job in jobs]).to(device)
        self.batch = self.train[:, :0]
        self.cuts = batches(self.train.shape[1], settings.batch_size)
        self.masks = _gathered_masks(jobs, self.networks)
        self.histories = [History() for _ in jobs]
        self.best: list[dict[str, Tensor]] = [{} for _ in jobs]
        self.best_score = [-math.inf] * len(jobs)
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            self.networks.parameters.values(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    @property
    def finished(self) -> bool:
        """Whether no network is training any more."""
        return not self.active

    def shuffled(self) -> Iterator[Tensor]:
        """Yield an epoch's batches of sample numbers, (M, b): each network's, in its own order."""
        samples = self.train[self.index]
        n = samples.shape[1]
        # A network's order comes from its own generator, so that it does not depend on its company.
        orders = [
            torch.randperm(n, generator=self.generators[i], device=samples.device)
            for i in self.active
        ]
        samples = samples.gather(1, torch.stack(orders))
        for start, stop in self.cuts:
            yield samples[:, start:stop]

    def train_epoch(self, epoch: int) -> None:
        """Pass once over each network's samples, in the batches that the defense chooses."""
        self.networks.train(True)
        total = torch.zeros(len(self.active), device=self.train.device)
        n = 0
        self.epoch = epoch
        for batch in self.defense.batches(self):
            total += self._step(batch) * batch.shape[1]
            n += batch.shape[1]
        means = total / max(n, 1)  # all of an epoch's random batches can be empty
        for i, summed, loss in zip(self.active, total.tolist(), means.tolist(), strict=True):
            self._require_finite(summed, i, "loss", epoch)
            self.histories[i].loss.append(loss)

    def _step(self, batch: Tensor) -> Tensor:
        """Take one step of the optimizer; return each network's loss, shape (M,), in nats."""
        self.batch = batch
        x, y = self.features[batch], self.labels[batch]
        self.optimizer.zero_grad(set_to_none=True)
        reduced = self.settings.precision == "bfloat16"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=reduced):
            logits = self.networks(x).float()
        each = _cross_entropy(logits, y)
        losses = self.defense.loss(self, x, y, logits, each)
        # A network's loss depends on its own parameters alone, so the sum's gradient is each one's.
        losses.sum().backward()
        self.defense.differentiated(self)
        self.optimizer.step()
        if self.masks:  # Adam's momentum and weight decay move masked weights too
            masked = [self.networks.parameters[name] for name in self.masks]
            with torch.no_grad():
                torch._foreach_mul_(masked, list(self.masks.values()))
        return losses.detach()

    @torch.no_grad()
    def validate(self, epoch: int) -> None:
        """Note each network's validation, keep its best state, and let the exhausted ones go."""
        self.networks.train(False)
        right, loss = self._validation_sums()
        n = self.validation.shape[1]
        staying = []
        for slot, i in enumerate(self.active):
            self._require_finite(loss[slot] / n, i, "validation loss", epoch)
            self._note(slot, epoch, right[slot] / n, loss[slot] / n)
            if self._goes_on(i, epoch):
                staying.append(slot)
        if len(staying) < len(self.active):
            self._keep(staying)

    def _validation_sums(self) -> tuple[list[float], list[float]]:
        """Return how many samples each slot's network gets right, and its summed loss in nats."""
        samples = self.validation[self.index]
        right, loss = torch.zeros(2, len(self.active), dtype=torch.float64, device=samples.device)
        for batch in samples.split(VALIDATION_BATCH, dim=1):
            logits = self.networks(self.features[batch])
            labels = self.labels[batch]
            right += (logits.argmax(dim=2) == labels).sum(dim=1)
            loss += _cross_entropy(logits, labels).sum(dim=1)
        return right.tolist(), loss.tolist()

    def _note(self, slot: int, epoch: int, accuracy: float, loss: float) -> None:
        """Add an epoch to a network's history, and keep its state where it is the best so far."""
        i = self.active[slot]
        history = self.histories[i]
        history.validation.append(accuracy)
        history.validation_loss.append(loss)
        last = self.settings.keeps_last
        score = float(epoch) if last else self.defense.score(accuracy, loss)
        eligible = epoch >= self.settings.first_counted or self.defense.keeps_early
        if eligible and score > self.best_score[i]:
            history.best_epoch = epoch
            self.best_score[i] = score
            self.best[i] = self.networks.state(slot)

    def _goes_on(self, i: int, epoch: int) -> bool:
        """Tell whether a network trains for another epoch, after this one was noted."""
        if self.settings.keeps_last:
            return True
        history = self.histories[i]
        # The first epoch after the warm-up is better than nothing, so from there on one is kept:
        # below, best_epoch is never the -1 that stands for none.
        if epoch < self.settings.first_counted:
            return True
        if epoch - history.best_epoch < self.settings.patience:
            return True
        # A heavily pruned network can stand still for longer than patience before it recovers.
        # Ended there, it would be compared with the original while it is simply broken.
        return history.validation[history.best_epoch] < self.jobs[i].floor

    def _require_finite(self, loss: float, i: int, what: str, epoch: int) -> None:
        if math.isfinite(loss):
            return
        strength = self.defense.strength
        weaker = f", or a strength other than {strength:g}" if strength else ""
        rate = self.settings.learning_rate
        raise TrainingError(
            f"{self.jobs[i].name}: the {what} is {loss} in epoch {epoch + 1} "
            f"at learning rate {rate:g}; try a smaller learning_rate{weaker}"
        )

    def _keep(self, staying: list[int]) -> None:
        """Go on with the networks in these slots only."""
        self.active = [self.active[slot] for slot in staying]
        self.index = self.index[staying]
        if not staying:  # nothing trains any more; a network alone, which is no stack, ends here
            return
        self.networks.keep(staying, self.optimizer)
        self.defense.keep(staying)
        self.masks = {name: mask[staying] for name, mask in self.masks.items()}

    def line(self) -> str:
        """Return how it goes: the networks still training and their mean loss and accuracy."""
        loss = sum(history.loss[-1] for history in self.histories) / len(self.histories)
        accuracy = sum(history.validation[-1] for history in self.histories) / len(self.histories)
        return f"{len(self.active)} training, loss {loss:.3f}, validation accuracy {accuracy:.3f}"


def batches(n: int, size: int) -> list[tuple[int, int]]:
    """Cut n samples into (start, stop); a last batch of one joins the one before it.

    (BatchNorm needs two samples.)
    """
    starts = list(range(0, n, size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each sample's cross-entropy in nats: (M, B) of logits (M, B, C)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)


def _gathered_masks(jobs: list[Job], networks: Networks) -> dict[str, Tensor]:
    """Return parameter name → float masks: (M, …) of a stack, the parameter's own shape else.

    They lie in memory as the parameters do, so that one kernel can apply them all.
    """
    masks = [job.masks.keep for job in jobs if job.masks is not None]
    if len(masks) < len(jobs):
        return {}
    alone = isinstance(networks, Alone)
    kept = {
        n: keep if alone else torch.stack([m[n] for m in masks]) for n, keep in masks[0].items()
    }
    return {n: torch.empty_like(networks.parameters[n]).copy_(keep) for n, keep in kept.items()}
