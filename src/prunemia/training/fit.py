"""Fit one network, or many of one shape at once, in memory; each with its own seed and early stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from prunemia.models import one_thread
from prunemia.pruning import Masks
from prunemia.training.defense import Defense
from prunemia.training.defense import TrainingError as TrainingError
from prunemia.training.stacking import Alone, Networks, gather


@dataclass(frozen=True)
class Recipe:
    """How a network is fitted: Adam, cross-entropy, early stopping on validation accuracy.

    Training stops after the ``patience``-th epoch in a row without a better validation accuracy and
    keeps the best. The first ``warmup`` epochs neither count for patience nor can be kept
    (fine-tuning a heavily pruned network starts below what it reaches later); they never outnumber
    ``epochs`` - 1.

    Source: Yuan & Zhang (2022), section 6.1; the warm-up is ours.
    """

    epochs: int
    patience: int = 6
    warmup: int = 0
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 5e-4
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: matrix products and convolutions of a training step; weights, losses and validation stay float32."""


@dataclass(frozen=True, eq=False)
class Job:
    """One network to fit.

    Attributes
    ----------
    name : what messages call it.
    train, validation, test : row numbers of the data.
    seed : of the batches and of dropout.
    masks : what pruning left; applied after every step.
    floor : the validation accuracy below which patience never ends the training.
    """

    name: str
    module: nn.Module
    train: Tensor
    validation: Tensor
    test: Tensor
    seed: int
    masks: Masks | None = None
    floor: float = 0.0


@dataclass
class History:
    """What happened, epoch by epoch.

    Attributes
    ----------
    loss : the training loss in nats, a defense's penalty included.
    validation, validation_loss : the validation accuracy, and cross-entropy in nats.
    best_epoch : the epoch kept.
    guarantee : what the defense guarantees.
    """

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best_epoch: int = -1
    validation_loss: list[float] = field(default_factory=list)
    guarantee: dict[str, Any] = field(default_factory=dict)


def fit(
    jobs: Sequence[Job],
    features: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    defense: Defense | None = None,
    report: Callable[[str], None] | None = None,
) -> list[History]:
    """Fit the networks of ``jobs`` side by side, in place, and return their histories.

    Parameters
    ----------
    jobs : one network each; more than one only if `stacking.stackable` and the defense is not one
        by one. All have equally many rows.
    features : shape (n, …), every row of the data set, on the device to train on.
    labels : shape (n,), integer classes.
    recipe : shared by all.
    defense : a fresh one; None: no defense.
    report : called after each epoch with a line that says how it goes.

    Raises
    ------
    TrainingError
        A loss became NaN or infinite, or the defense cannot take the network.
    """
    run = Run(list(jobs), features, labels, recipe, defense or Defense())
    with one_thread(), torch.backends.cudnn.flags(enabled=True, deterministic=True):
        run.defense.start(run)
        for epoch in range(recipe.epochs):
            run.train_epoch(epoch)
            run.validate(epoch)
            if report is not None:
                report(run.line())
            if run.finished:
                break
    for job, best in zip(jobs, run.best, strict=True):
        job.module.load_state_dict(best)
        job.module.eval()
    guarantee = run.defense.finish(run)
    for history in run.histories:
        history.guarantee = guarantee
    return run.histories


class Run:
    """The state of one call of `fit`, which its defense may read and extend.

    Attributes
    ----------
    networks : those still training, as one function.
    active : which job each row of ``networks`` belongs to.
    generators : of each job's batches and dropout, by job.
    train, validation : row numbers, shape (jobs, rows).
    cuts : (start, stop) of an epoch's batches.
    """

    def __init__(
        self, jobs: list[Job], features: Tensor, labels: Tensor, recipe: Recipe, defense: Defense
    ) -> None:
        self.jobs, self.features, self.labels, self.recipe, self.defense = (
            jobs,
            features,
            labels,
            recipe,
            defense,
        )
        device = features.device
        self.generators = [torch.Generator(device).manual_seed(job.seed) for job in jobs]
        modules = [job.module.to(device).train() for job in jobs]
        self.networks: Networks = gather(modules, self.generators, one_by_one=defense.one_by_one)
        self.active = list(range(len(jobs)))
        self.train = torch.stack([job.train for job in jobs]).to(device)
        self.validation = torch.stack([job.validation for job in jobs]).to(device)
        self.cuts = batches(self.train.shape[1], recipe.batch_size)
        self.masks = _stack_masks(jobs, stacked=not isinstance(self.networks, Alone))
        self.histories = [History() for _ in jobs]
        self.best: list[dict[str, Tensor]] = [{} for _ in jobs]
        self.best_score = [-math.inf] * len(jobs)
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            self.networks.parameters.values(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    @property
    def finished(self) -> bool:
        """Whether no network is training any more."""
        return not self.active

    def shuffled(self) -> Iterator[Tensor]:
        """Yield an epoch's batches of row numbers, (M, b): each network's rows once, in its own order."""
        rows = self.train[self.active]
        n = rows.shape[1]
        order = torch.stack(
            [
                torch.randperm(n, generator=self.generators[i], device=rows.device)
                for i in self.active
            ]
        )
        rows = rows.gather(1, order)
        for start, stop in self.cuts:
            yield rows[:, start:stop]

    def train_epoch(self, epoch: int) -> None:
        """One pass over each network's rows, in the batches that the defense chooses."""
        self.networks.train(True)
        total, n = torch.zeros(len(self.active), device=self.train.device), 0
        for batch in self.defense.batches(self):
            total += self._step(self.features[batch], self.labels[batch]) * batch.shape[1]
            n += batch.shape[1]
        for row, (i, loss) in enumerate(
            zip(self.active, (total / max(n, 1)).tolist(), strict=True)
        ):
            self._require_finite(float(total[row]), i, "loss", epoch)
            self.histories[i].loss.append(loss)

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(
            x.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"
        ):
            logits = self.networks(x).float()
        each = _cross_entropy(logits, y)
        losses = (
            each.mean(dim=1) if each.shape[1] else each.sum(dim=1)
        )  # a random batch can be empty
        penalty = self.defense.penalty(self, x, y, logits)
        if penalty is not None:
            losses = losses + penalty
        losses.sum().backward()
        self.optimizer.step()
        with torch.no_grad():
            for name, keep in self.masks.items():
                self.networks.parameters[name].mul_(keep)
        return losses.detach()

    @torch.no_grad()
    def validate(self, epoch: int) -> None:
        """Note how each network does on its validation rows, keep its best state, and let the exhausted ones go."""
        self.networks.train(False)
        rows = self.validation[self.active]
        right, loss = torch.zeros(2, len(self.active), dtype=torch.float64, device=rows.device)
        for batch in rows.split(1024, dim=1):
            logits, labels = self.networks(self.features[batch]), self.labels[batch]
            right += (logits.argmax(dim=2) == labels).sum(dim=1)
            loss += _cross_entropy(logits, labels).sum(dim=1)
        n = rows.shape[1]
        found = zip(self.active, right.tolist(), loss.tolist(), strict=True)
        going = [
            row
            for row, (i, r, lost) in enumerate(found)
            if self._goes_on(i, row, epoch, r / n, lost / n)
        ]
        if len(going) < len(self.active):
            self._keep(going)

    def _goes_on(self, i: int, row: int, epoch: int, accuracy: float, loss: float) -> bool:
        self._require_finite(loss, i, "validation loss", epoch)
        history = self.histories[i]
        history.validation.append(accuracy)
        history.validation_loss.append(loss)
        counted = epoch >= min(self.recipe.warmup, self.recipe.epochs - 1)
        score = self.defense.score(accuracy, loss)
        if (counted or self.defense.keeps_early) and score > self.best_score[i]:
            history.best_epoch, self.best_score[i] = epoch, score
            self.best[i] = self.networks.state(row)
        patient = epoch - history.best_epoch < self.recipe.patience
        return not counted or patient or history.validation[history.best_epoch] < self.jobs[i].floor

    def _require_finite(self, loss: float, i: int, what: str, epoch: int) -> None:
        if not math.isfinite(loss):
            weaker = (
                f", or a strength other than {self.defense.strength:g}"
                if self.defense.strength
                else ""
            )
            raise TrainingError(
                f"{self.jobs[i].name}: the {what} is {loss} in epoch {epoch + 1} "
                f"at learning rate {self.recipe.learning_rate:g}; try a smaller learning_rate{weaker}"
            )

    def _keep(self, going: list[int]) -> None:
        self.active = [self.active[row] for row in going]
        if going:
            self.networks.keep(going, self.optimizer)
            self.defense.keep(going)
            self.masks = {
                name: keep[going] if len(keep) > 1 else keep for name, keep in self.masks.items()
            }

    def line(self) -> str:
        """Return how it goes: the networks still training and their mean loss and accuracy."""
        last = [h for h in self.histories if h.loss]
        loss = sum(h.loss[-1] for h in last) / len(last)
        accuracy = sum(h.validation[-1] for h in last) / len(last)
        return f"{len(self.active)} training, loss {loss:.3f}, validation accuracy {accuracy:.3f}"


def batches(n: int, size: int) -> list[tuple[int, int]]:
    """Cut n rows into (start, stop); a last batch of one row joins the one before (BatchNorm needs two)."""
    starts = list(range(0, n, size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each row's cross-entropy in nats: (M, B) of logits (M, B, C)."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)


def _stack_masks(jobs: list[Job], stacked: bool) -> dict[str, Tensor]:
    """Return parameter name → float masks: (M, …) for a stack, the parameter's own shape for one alone."""
    if any(job.masks is None for job in jobs):
        return {}
    masks = [job.masks.keep for job in jobs if job.masks is not None]
    if not stacked:
        return {name: keep.to(torch.float32) for name, keep in masks[0].items()}
    return {name: torch.stack([m[name] for m in masks]).to(torch.float32) for name in masks[0]}


@torch.no_grad()
def accuracy(
    module: nn.Module, features: Tensor, labels: Tensor, rows: Tensor, batch: int = 1024
) -> float:
    """Return the share of ``rows`` that ``module`` classifies right."""
    module.eval()
    with one_thread():
        right = [
            (module(features[part]).argmax(dim=1) == labels[part]).sum()
            for part in rows.split(batch)
        ]
    return int(torch.stack(right).sum()) / len(rows)
