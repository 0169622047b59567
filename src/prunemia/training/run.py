"""Fit one network, or many of one shape at once, in memory; each with its own seed and stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from prunemia.models import one_thread
from prunemia.pruning import Masks
from prunemia.registry import PrivateConfig
from prunemia.training.recording import RecordedStep, recordable
from prunemia.training.stacking import Alone, Stack, stackable

EVALUATED = 1024  # samples of a forward pass that only evaluates


class TrainingError(RuntimeError):
    """Training diverged, or a defense cannot take the network; the message names both."""


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted: Adam, cross-entropy, early stopping on validation accuracy.

    Training ends after the ``patience``-th epoch in a row without a better one, and keeps the best.
    The first ``warmup`` epochs, ``epochs`` - 1 at most, neither count for patience nor can be kept:
    pruned networks start low. Source: Yuan & Zhang (2022), section 6.1; the warm-up is ours.
    """

    epochs: int
    patience: int = 6
    warmup: int = 0
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 5e-4
    # bfloat16: products and convolutions of a step; weights, losses, validation stay float32
    precision: Literal["float32", "bfloat16"] = "float32"
    keeps_last: bool = False  # no selection: every epoch is taken, and the last is kept
    private: PrivateConfig = field(default_factory=PrivateConfig)


@dataclass(frozen=True, eq=False)
class Job:
    """One network to fit."""

    name: str  # what messages call it
    module: nn.Module
    train: Tensor  # as the next two, numbers of the data's samples
    validation: Tensor
    test: Tensor
    seed: int  # of batches and dropout
    masks: Masks | None = None  # what pruning left, applied after every step
    floor: float = 0.0  # validation accuracy below which patience never ends the training
    original: nn.Module | None = None  # the network before pruning, for defenses
    spent: list[tuple[float, float, int]] = field(default_factory=list)  # σ, rate, steps of DP-SGD


@dataclass
class History:
    """Epoch by epoch losses (nats, penalties included) and accuracies, and the epoch kept."""

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best_epoch: int = -1
    validation_loss: list[float] = field(default_factory=list)
    guarantee: dict[str, Any] = field(default_factory=dict)


class Defense:
    """No defense: cross-entropy, and the epoch of the best validation accuracy.

    The others override methods, which `fit` calls in this order: ``start``; every epoch
    ``batches``; every batch ``loss``, which asks for the ``penalty``, and ``differentiated``; after
    each epoch ``score``, and ``keep`` when networks have stopped; at last ``finish``. Each fit
    takes a fresh object. ``strength``: in its own units, or 0.
    """

    one_by_one: ClassVar[bool] = False  # never a stack
    keeps_early: ClassVar[bool] = False  # also in the warm-up
    needs_original: ClassVar[bool] = False  # jobs bring the unpruned networks
    recordable: ClassVar[bool] = True  # a GPU may replay its step; a subclass has to say it anew

    def __init__(self, strength: float = 0.0) -> None:
        self.strength = strength

    def start(self, run: Run) -> None:
        """Prepare for the networks of ``run``."""

    def batches(self, run: Run) -> Iterator[Tensor]:
        """Yield one epoch's batches of sample numbers, (M, b), each network's in its own order."""
        samples = run.train[run.active]
        n, device = samples.shape[1], samples.device
        # each network's from its own generator, so that it does not depend on its company
        draws = [run.generators[i] for i in run.active]
        orders = [torch.randperm(n, generator=draw, device=device) for draw in draws]
        samples = samples.gather(1, torch.stack(orders))
        for start, stop in run.cuts:
            yield samples[:, start:stop]

    def loss(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor, each: Tensor) -> Tensor:
        """Return what each network minimizes, (M,), nats; ``each``: cross-entropies, (M, b)."""
        # A random batch can be empty: its mean would be NaN, its sum is 0.
        losses = each.mean(dim=1) if each.shape[1] else each.sum(dim=1)
        penalty = self.penalty(run, x, labels, logits)
        return losses if penalty is None else losses + penalty

    def penalty(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor) -> Tensor | None:
        """Return what is added, (M,), nats; ``x``: (M, b, …), ``logits``: (M, b, C)."""
        return None

    def differentiated(self, run: Run) -> None:
        """Change a batch's gradients before the optimizer takes its step."""

    def keep(self, slots: list[int]) -> None:
        """Go on with the networks in these slots only, which are renumbered in this order."""

    def score(self, accuracy: float, loss: float) -> float:
        """Return how good an epoch is by its validation accuracy and loss; the best one is kept."""
        return accuracy

    def finish(self, run: Run) -> dict[str, Any]:
        """Clean up, and return what the defense guarantees, as JSON."""
        return {}


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

    ``jobs``: with equally many samples; several only if `stackable` and the defense is not one by
    one. ``features``, (n, …), and ``labels``, (n,): all samples, on the device to train on.
    ``report`` gets a line after each epoch. TrainingError: a loss became NaN or infinite, or the
    defense cannot take the network.
    """
    run = Run(list(jobs), features, labels, settings, defense or Defense())
    with one_thread(), torch.backends.cudnn.flags(enabled=True, deterministic=True):
        run.defense.start(run)
        for epoch in range(settings.epochs):
            run.train_epoch(epoch)
            run.validate()
            if report is not None:
                loss = fmean(history.loss[-1] for history in run.histories)
                right = fmean(history.validation[-1] for history in run.histories)
                training = f"{len(run.active)} training"
                report(f"{training}, loss {loss:.3f}, validation accuracy {right:.3f}")
            if not run.active:
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
def accuracy(module: nn.Module, features: Tensor, labels: Tensor, samples: Tensor) -> float:
    """Return the share of the samples, given by their numbers, that ``module`` classifies right."""
    module.eval()
    with one_thread():
        answers = [module(features[part]).argmax(dim=1) for part in samples.split(EVALUATED)]
    return int((torch.cat(answers) == labels[samples]).sum()) / len(samples)


@dataclass(eq=False, repr=False)
class Run:
    """The state of one call of `fit`; its defense reads and extends it.

    ``networks``: those still training, as one function, each in a slot; ``active``: each slot's
    job; ``generators``: of batches and dropout, by job; ``train``, ``validation``: sample numbers,
    (jobs, samples); ``cuts``: (start, stop) of an epoch's batches; ``masks``: 1 where pruning left
    a weight, by slot; ``batch``: the sample numbers under way, (M, b); ``best``: by job.
    """

    jobs: list[Job]
    features: Tensor
    labels: Tensor
    settings: FitSettings
    defense: Defense

    def __post_init__(self) -> None:
        device, jobs, settings = self.features.device, self.jobs, self.settings
        if device.type == "cuda" and self.features.ndim == 4:
            # as 2-D kernels lie: once here, instead of batch by batch
            self.features = self.features.contiguous(memory_format=torch.channels_last)
        self.generators = [torch.Generator(device).manual_seed(job.seed) for job in jobs]
        modules = [job.module.to(device).train() for job in jobs]
        alone = self.defense.one_by_one or not stackable(modules[0])
        if alone and len(jobs) > 1:
            raise ValueError(f"jobs: {len(jobs)}; allowed: 1, for these cannot be trained as one")
        self.networks: Alone | Stack
        self.networks = (Alone if alone else Stack)(modules, self.generators)
        self.active = list(range(len(jobs)))
        self.train = torch.stack([job.train for job in jobs]).to(device)
        self.validation = torch.stack([job.validation for job in jobs]).to(device)
        self.cuts = batches(self.train.shape[1], settings.batch_size)
        self.masks: dict[str, Tensor] = {}
        kept = [job.masks.keep for job in jobs if job.masks is not None]
        for name in kept[0] if len(kept) == len(jobs) else ():
            parameter = self.networks.parameters[name]
            mask = torch.stack([keep[name] for keep in kept]).view_as(parameter)
            self.masks[name] = torch.empty_like(parameter).copy_(mask)
        self.epoch = 0
        self.batch = self.train[:, :0]
        self.histories = [History() for _ in jobs]
        self.best: list[dict[str, Tensor]] = [{} for _ in jobs]
        self.best_score = [-math.inf] * len(jobs)
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            self.networks.parameters.values(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.recorded: RecordedStep | None = None
        if device.type == "cuda" and alone and recordable(self.defense, modules[0]):
            self.recorded = RecordedStep(self._take, self.optimizer)

    def train_epoch(self, epoch: int) -> None:
        """Pass once over each network's samples, in the batches that the defense chooses."""
        self.networks.train(True)
        total = torch.zeros(len(self.active), device=self.train.device)
        n = 0
        self.epoch = epoch
        for batch in self.defense.batches(self):
            total += self.step(batch) * batch.shape[1]
            n += batch.shape[1]
        means = total / max(n, 1)  # all of an epoch's random batches can be empty
        for i, summed, loss in zip(self.active, total.tolist(), means.tolist(), strict=True):
            self._require_finite(summed, i, "loss")
            self.histories[i].loss.append(loss)

    def step(self, batch: Tensor) -> Tensor:
        """Take one step of the optimizer; return each network's loss, shape (M,), in nats."""
        if self.recorded is not None and batch.shape[1] == self.settings.batch_size:
            return self.recorded(batch)
        return self._take(batch)

    def _take(self, batch: Tensor) -> Tensor:
        self.batch = batch
        x, y = self.features[batch], self.labels[batch]
        self.optimizer.zero_grad(set_to_none=True)
        reduced = self.settings.precision == "bfloat16"
        with torch.autocast(x.device.type, torch.bfloat16, enabled=reduced):
            logits = self.networks(x).float()
        losses = self.defense.loss(self, x, y, logits, _cross_entropy(logits, y))
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
    def validate(self) -> None:
        """Note each network's validation, keep its best state, and let the exhausted ones go."""
        self.networks.train(False)
        samples = self.validation[self.active]
        sums = torch.zeros(2, len(self.active), dtype=torch.float64, device=samples.device)
        for batch in samples.split(EVALUATED, dim=1):
            logits, labels = self.networks(self.features[batch]), self.labels[batch]
            sums[0] += (logits.argmax(dim=2) == labels).sum(dim=1)
            sums[1] += _cross_entropy(logits, labels).sum(dim=1)
        means = (sums / samples.shape[1]).T.tolist()
        staying = [slot for slot, found in enumerate(means) if self._goes_on(slot, *found)]
        if 0 < len(staying) < len(self.active) and isinstance(self.networks, Stack):
            self.networks.keep(staying, self.optimizer)
            self.defense.keep(staying)
            self.masks = {name: mask[staying] for name, mask in self.masks.items()}
        self.active = [self.active[slot] for slot in staying]

    def _goes_on(self, slot: int, accuracy: float, loss: float) -> bool:
        """Note a network's validation, keep it where it is the best; return if it trains on."""
        i, epoch, settings = self.active[slot], self.epoch, self.settings
        self._require_finite(loss, i, "validation loss")
        history = self.histories[i]
        history.validation.append(accuracy)
        history.validation_loss.append(loss)
        score = float(epoch) if settings.keeps_last else self.defense.score(accuracy, loss)
        counts = epoch >= min(settings.warmup, settings.epochs - 1)
        if (counts or self.defense.keeps_early) and score > self.best_score[i]:
            history.best_epoch = epoch
            self.best_score[i] = score
            self.best[i] = self.networks.state(slot)
        if settings.keeps_last or not counts or epoch - history.best_epoch < settings.patience:
            return True
        # a heavily pruned network can stand still for longer than patience before it recovers
        return history.validation[history.best_epoch] < self.jobs[i].floor

    def _require_finite(self, loss: float, i: int, what: str) -> None:
        if math.isfinite(loss):
            return
        strength = self.defense.strength
        weaker = f", or a strength other than {strength:g}" if strength else ""
        raise TrainingError(
            f"{self.jobs[i].name}: the {what} is {loss} in epoch {self.epoch + 1} at learning rate "
            f"{self.settings.learning_rate:g}; try a smaller learning_rate{weaker}"
        )


def batches(n: int, size: int) -> list[tuple[int, int]]:
    """Cut n samples into (start, stop); a last batch of one, too few for BatchNorm, joins on."""
    starts = list(range(0, n, size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each sample's cross-entropy in nats: (M, B) of logits (M, B, C)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
