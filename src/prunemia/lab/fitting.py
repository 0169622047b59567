"""One group of networks being fitted: the data on the device, the jobs, what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunemia import defenses, pruning, training
from prunemia.data import OWN, Canaries, Dataset, split, standardized
from prunemia.experiment import Experiment, seed_of
from prunemia.lab.steps import VICTIM, Group
from prunemia.registry import NETWORKS

Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network with what is known of it.

    Attributes
    ----------
    module : in evaluation mode; masked weights are exactly zero.
    accuracy : "train", "validation", "test" → share classified right, 0 … 1.
    sparsity : fraction removed of all prunable weights; 0 for an original network.
    history : losses and validation accuracy, epoch by epoch.
    """

    module: nn.Module
    accuracy: dict[str, float]
    sparsity: float
    history: training.History

    @property
    def privacy(self) -> dict[str, Any]:
        """What the defense guarantees: for ``dp`` epsilon, delta, and the caveat beside them."""
        return self.history.guarantee


def who(group: Group) -> str:
    """Return what messages call these networks."""
    if group == (VICTIM,):
        return "the victim"
    first, last = group[0], group[-1]
    kind = "shadow network"
    if first >= OWN:
        kind, first, last = "reference network", first - OWN + 1, last - OWN + 1
    return f"{kind} {first}" if len(group) == 1 else f"{kind}s {first}–{last}"


def features_of(exp: Experiment, dataset: Dataset, network: int) -> NDArray[np.float32]:
    """Return all samples as the network takes them: standardized by its own training samples."""
    if not exp.standardize:
        return dataset.features
    return standardized(dataset.features, split(dataset, exp.seed, network).train)


class Fitting:
    """The data on the device, and the fits of one group of networks on them."""

    def __init__(
        self,
        exp: Experiment,
        dataset: Dataset,
        group: Group,
        device: torch.device,
        canaries: Canaries | None = None,
    ) -> None:
        self.exp = exp
        self.dataset = dataset
        self.included = np.empty(0, dtype=np.int64)
        # networks that standardize come one by one, so a group shares its inputs
        self.features = torch.from_numpy(features_of(exp, dataset, group[0])).to(device)
        labels = dataset.labels
        if canaries is not None:
            labels = labels.copy()
            labels[canaries.samples] = canaries.labels
            self.included = canaries.samples[canaries.included]
        self.labels = torch.from_numpy(labels).to(device)

    def job(
        self,
        network: int,
        what: str,
        module: nn.Module,
        masks: pruning.Masks | None = None,
        floor: float = 0.0,
    ) -> training.Job:
        """Return one network to fit, on its own split and with its own seed."""
        parts = split(self.dataset, self.exp.seed, network)
        return training.Job(
            name=f"{what} {who((network,))}",
            module=module,
            train=torch.from_numpy(np.concatenate([parts.train, self.included])),
            validation=torch.from_numpy(parts.validation),
            test=torch.from_numpy(parts.test),
            seed=seed_of(self.exp.seed, what, network),
            masks=masks,
            floor=floor,
        )

    def defended(
        self,
        jobs: list[training.Job],
        epochs: int,
        warmup: int,
        report: Report | None,
        name: str,
        strength: float | None,
    ) -> list[TrainedModel]:
        """Fit the networks under a defense, side by side where it allows that."""
        alone = defenses.get(name, strength).one_by_one
        fitted = []
        for stack in [[job] for job in jobs] if alone else [jobs]:
            # a fresh one each: it keeps the state of its fit
            fitted += self.run(stack, epochs, warmup, report, defenses.get(name, strength))
        return fitted

    def run(
        self,
        jobs: list[training.Job],
        epochs: int,
        warmup: int,
        report: Report | None,
        defense: defenses.Defense,
    ) -> list[TrainedModel]:
        """Fit the networks side by side, and return them with their accuracies."""
        exp = self.exp
        settings = training.FitSettings(
            epochs=epochs,
            patience=exp.patience,
            warmup=warmup,
            batch_size=exp.recipe.batch_size,
            learning_rate=exp.recipe.learning_rate,
            weight_decay=exp.weight_decay,
            precision=exp.precision,
            keeps_last=exp.stopping == "last",
            private=NETWORKS[exp.model].private,
        )
        histories = training.fit(
            jobs, self.features, self.labels, settings, defense=defense, report=report
        )
        return [self._trained(job, h) for job, h in zip(jobs, histories, strict=True)]

    def _trained(self, job: training.Job, history: training.History) -> TrainedModel:
        sparsity = 0.0 if job.masks is None else job.masks.sparsity
        return TrainedModel(job.module, self.accuracies(job), sparsity, history)

    def accuracies(self, job: training.Job) -> dict[str, float]:
        """Return the share of a network's samples of each part that it classifies right."""
        samples = {"train": job.train, "validation": job.validation, "test": job.test}
        return {part: self._accuracy(job.module, rows) for part, rows in samples.items()}

    def _accuracy(self, module: nn.Module, rows: Tensor) -> float:
        on_device = rows.to(self.features.device)
        return training.accuracy(module, self.features, self.labels, on_device)
