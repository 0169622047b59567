"""Fit one network, or many of one shape at once, in memory; each with its own seed and early stop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from prunemia.pruning import Masks
from prunemia.stacking import Networks, gather, stackable


class TrainingError(RuntimeError):
    """Training diverged; the message names the network, the epoch and the learning rate."""


@dataclass(frozen=True)
class Recipe:
    """How a network is fitted: Adam, cross-entropy, early stopping on validation accuracy.

    Training stops after the ``patience``-th epoch in a row without a better validation accuracy and
    keeps the best. The first ``warmup`` epochs neither count for patience nor can be kept (fine-tuning
    a heavily pruned network starts below what it reaches later); they never outnumber ``epochs`` - 1.

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
    """What happened, epoch by epoch: the training loss in nats, the validation accuracy, and the epoch kept."""

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best_epoch: int = -1


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one CPU thread: faster for small networks, and the same bits on any machine load."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
    jobs: Sequence[Job],
    features: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    report: Callable[[str], None] | None = None,
) -> list[History]:
    """Fit the networks of ``jobs`` side by side, in place, and return their histories.

    Parameters
    ----------
    jobs : one network each; more than one only if `stacking.stackable`. All have equally many rows.
    features : shape (n, …), every row of the data set, on the device to train on.
    labels : shape (n,), integer classes.
    recipe : shared by all.
    report : called after each epoch with a line that says how it goes.

    Raises
    ------
    TrainingError
        A loss became NaN or infinite.
    """
    device = features.device
    generators = [torch.Generator(device).manual_seed(job.seed) for job in jobs]
    modules = [job.module.to(device) for job in jobs]
    for module in modules:
        module.train()
    run = _Run(list(jobs), gather(modules, generators), generators, recipe, device)
    with one_thread(), torch.backends.cudnn.flags(enabled=True, deterministic=True):
        for epoch in range(recipe.epochs):
            run.train_epoch(epoch, features, labels)
            run.validate(epoch, features, labels)
            if report is not None:
                report(run.line())
            if run.finished:
                break
    for job, best in zip(jobs, run.best, strict=True):
        job.module.load_state_dict(best)
        job.module.eval()
    return run.histories


class _Run:
    """The state of one call of `fit`; ``active`` maps rows of the stack to jobs."""

    def __init__(
        self,
        jobs: list[Job],
        networks: Networks,
        generators: list[torch.Generator],
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self.jobs, self.networks, self.generators, self.recipe = jobs, networks, generators, recipe
        self.active = list(range(len(jobs)))
        self.train = torch.stack([job.train for job in jobs]).to(device)
        self.validation = torch.stack([job.validation for job in jobs]).to(device)
        self.masks = _stack_masks(jobs)
        self.histories = [History() for _ in jobs]
        self.best: list[dict[str, Tensor]] = [{} for _ in jobs]
        self.optimizer = torch.optim.Adam(
            networks.parameters.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )

    @property
    def finished(self) -> bool:
        return not self.active

    def train_epoch(self, epoch: int, features: Tensor, labels: Tensor) -> None:
        """One pass over each network's rows, in its own order."""
        self.networks.train(True)
        rows = self.train[self.active]
        n = rows.shape[1]
        order = torch.stack([torch.randperm(n, generator=self.generators[i], device=rows.device) for i in self.active])
        rows = rows.gather(1, order)
        total = torch.zeros(len(self.active), device=rows.device)
        for start, stop in batches(n, self.recipe.batch_size):
            batch = rows[:, start:stop]
            total += self._step(features[batch], labels[batch]) * (stop - start)
        for row, (i, loss) in enumerate(zip(self.active, (total / n).tolist(), strict=True)):
            if not torch.isfinite(total[row]):
                raise TrainingError(
                    f"{self.jobs[i].name}: the loss is {loss} in epoch {epoch + 1} "
                    f"at learning rate {self.recipe.learning_rate:g}; try a smaller learning_rate"
                )
            self.histories[i].loss.append(loss)

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            logits = self.networks(x).float()
        losses = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(y).mean(dim=1)
        losses.sum().backward()
        self.optimizer.step()
        with torch.no_grad():
            for name, keep in self.masks.items():
                self.networks.parameters[name].mul_(keep)
        return losses.detach()

    @torch.no_grad()
    def validate(self, epoch: int, features: Tensor, labels: Tensor) -> None:
        """Note each network's validation accuracy, keep its best state, and let the exhausted ones go."""
        self.networks.train(False)
        rows = self.validation[self.active]
        right = torch.zeros(len(self.active), dtype=torch.int64, device=rows.device)
        for batch in rows.split(1024, dim=1):
            right += (self.networks(features[batch]).argmax(dim=2) == labels[batch]).sum(dim=1)
        going = []
        for row, (i, hits) in enumerate(zip(self.active, right.tolist(), strict=True)):
            if self._goes_on(i, row, epoch, hits / rows.shape[1]):
                going.append(row)
        if len(going) < len(self.active):
            self._keep(going)

    def _goes_on(self, i: int, row: int, epoch: int, accuracy: float) -> bool:
        history = self.histories[i]
        history.validation.append(accuracy)
        counted = epoch >= min(self.recipe.warmup, self.recipe.epochs - 1)
        if counted and (history.best_epoch < 0 or accuracy > history.validation[history.best_epoch]):
            history.best_epoch = epoch
            self.best[i] = self.networks.state(row)
        patient = epoch - history.best_epoch < self.recipe.patience
        return not counted or patient or history.validation[history.best_epoch] < self.jobs[i].floor

    def _keep(self, going: list[int]) -> None:
        self.active = [self.active[row] for row in going]
        if going:
            self.networks.keep(going, self.optimizer)
            self.masks = {name: keep[going] if len(keep) > 1 else keep for name, keep in self.masks.items()}

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


def _stack_masks(jobs: list[Job]) -> dict[str, Tensor]:
    """Return parameter name → float masks: (M, …) for a stack, the parameter's own shape for one alone."""
    if any(job.masks is None for job in jobs):
        return {}
    masks = [job.masks.keep for job in jobs if job.masks is not None]
    if not stackable(jobs[0].module):
        return {name: keep.to(torch.float32) for name, keep in masks[0].items()}
    return {name: torch.stack([m[name] for m in masks]).to(torch.float32) for name in masks[0]}


@torch.no_grad()
def accuracy(module: nn.Module, features: Tensor, labels: Tensor, rows: Tensor, batch: int = 1024) -> float:
    """Return the share of ``rows`` that ``module`` classifies right."""
    module.eval()
    with one_thread():
        right = [(module(features[part]).argmax(dim=1) == labels[part]).sum() for part in rows.split(batch)]
    return int(torch.stack(right).sum()) / len(rows)
