"""Networks as stages: trained, pruned, queried, packed; without where the results are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prunemia import defenses, models, pruning, training
from prunemia.data import OWN, Dataset, split, standardized
from prunemia.experiment import Experiment, seed_of
from prunemia.lab.steps import VICTIM, Group, Step
from prunemia.signals import Signals, answers
from prunemia.store import pack_json, unpack_json

FLOOR = 0.9
"""Patience cannot end a fine-tuning below this share of the original's validation accuracy."""

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


def train(
    step: Step, dataset: Dataset, device: torch.device, report: Report | None = None
) -> list[TrainedModel]:
    """Train the step's original networks side by side."""
    exp = step.exp
    fitting = _Fitting(exp, dataset, step.group, device)
    jobs = [
        fitting.job(i, "training", build(exp, dataset, seed_of(exp.seed, "weights", i)))
        for i in step.group
    ]
    return fitting.run(jobs, exp.training_epochs, 0, report)


def prune(
    step: Step,
    dataset: Dataset,
    originals: Sequence[TrainedModel],
    device: torch.device,
    report: Report | None = None,
) -> list[TrainedModel]:
    """Prune the step's networks and fine-tune them under the defense.

    The originals' modules are used up.
    """
    exp = step.exp
    fitting = _Fitting(exp, dataset, step.group, device)
    jobs = []
    for i, original in zip(step.group, originals, strict=True):
        masks = pruning.prune(original.module, exp.pruner, exp.sparsity)
        floor = FLOOR * original.accuracy["validation"] if exp.stopping == "warm-up" else 0.0
        jobs.append(fitting.job(i, "fine-tuning", original.module, masks, floor))
    alone = defenses.get(exp.defense, exp.strength).one_by_one
    stacks = [[job] for job in jobs] if alone else [jobs]
    tuned = []
    for stack in stacks:
        defense = defenses.get(exp.defense, exp.strength)  # a fresh one: it keeps state of its fit
        tuned += fitting.run(stack, exp.tuning_epochs, exp.recipe.warmup, report, defense)
    return tuned


def query(
    step: Step, dataset: Dataset, networks: Sequence[TrainedModel], device: torch.device
) -> Signals:
    """Query each network on its members (training samples) and non-members (test samples)."""
    exp = step.exp
    given = [
        _answers(exp, dataset, i, network.module, device)
        for i, network in zip(step.group, networks, strict=True)
    ]
    return Signals.concatenate(given)


def build(exp: Experiment, dataset: Dataset, seed: int) -> nn.Module:
    """Return the experiment's network, freshly initialized."""
    shape = dataset.features.shape[1:]
    return models.build(exp.model, shape, dataset.classes, width=exp.channels, seed=seed)


def pack(networks: Sequence[TrainedModel]) -> dict[str, bytes]:
    """Return the networks as files: weights as safetensors, the rest as JSON."""
    records = [
        {"accuracy": n.accuracy, "sparsity": n.sparsity, "history": asdict(n.history)}
        for n in networks
    ]
    files = {"networks.json": pack_json(records)}
    for place, network in enumerate(networks):
        state = network.module.state_dict()
        weights = {name: value.contiguous().cpu() for name, value in state.items()}
        files[f"{place}.safetensors"] = safetensors.torch.save(weights)
    return files


def unpack(
    files: dict[str, bytes], exp: Experiment, dataset: Dataset, device: torch.device
) -> list[TrainedModel]:
    """Return the networks that `pack` wrote, on ``device``, in evaluation mode."""
    records: list[dict[str, Any]] = unpack_json(files["networks.json"])
    networks = []
    for place, record in enumerate(records):
        module = build(exp, dataset, 0)
        module.load_state_dict(safetensors.torch.load(files[f"{place}.safetensors"]))
        module.to(device).eval()
        history = training.History(**record["history"])
        networks.append(TrainedModel(module, record["accuracy"], record["sparsity"], history))
    return networks


def features_of(exp: Experiment, dataset: Dataset, network: int) -> NDArray[np.float32]:
    """Return all samples as the network takes them: standardized by its own training samples."""
    if not exp.standardize:
        return dataset.features
    return standardized(dataset.features, split(dataset, exp.seed, network).train)


def _answers(
    exp: Experiment, dataset: Dataset, network: int, module: nn.Module, device: torch.device
) -> Signals:
    parts = split(dataset, exp.seed, network)
    samples = parts.asked
    x = torch.from_numpy(features_of(exp, dataset, network)[samples]).to(device)
    generator = torch.Generator(device).manual_seed(seed_of(exp.seed, "query", network))
    posteriors, moved = answers(module, x, exp.epsilon, exp.draws, generator)
    return Signals(
        posteriors=posteriors.cpu().numpy(),
        sensitivities=moved.cpu().numpy(),
        labels=dataset.labels[samples],
        membership=np.arange(len(samples)) < len(parts.train),
        model=np.full(len(samples), network),
    )


class _Fitting:
    """The data on the device, and the fits of one group of networks on them."""

    def __init__(
        self, exp: Experiment, dataset: Dataset, group: Group, device: torch.device
    ) -> None:
        self.exp = exp
        self.dataset = dataset
        # networks that standardize come one by one, so a group shares its inputs
        self.features = torch.from_numpy(features_of(exp, dataset, group[0])).to(device)
        self.labels = torch.from_numpy(dataset.labels).to(device)

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
            train=torch.from_numpy(parts.train),
            validation=torch.from_numpy(parts.validation),
            test=torch.from_numpy(parts.test),
            seed=seed_of(self.exp.seed, what, network),
            masks=masks,
            floor=floor,
        )

    def run(
        self,
        jobs: list[training.Job],
        epochs: int,
        warmup: int,
        report: Report | None,
        defense: defenses.Defense | None = None,
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
        )
        histories = training.fit(
            jobs, self.features, self.labels, settings, defense=defense, report=report
        )
        return [self._trained(job, h) for job, h in zip(jobs, histories, strict=True)]

    def _trained(self, job: training.Job, history: training.History) -> TrainedModel:
        sparsity = 0.0 if job.masks is None else job.masks.sparsity
        samples = {"train": job.train, "validation": job.validation, "test": job.test}
        accuracy = {part: self._accuracy(job.module, rows) for part, rows in samples.items()}
        return TrainedModel(job.module, accuracy, sparsity, history)

    def _accuracy(self, module: nn.Module, rows: Tensor) -> float:
        on_device = rows.to(self.features.device)
        return training.accuracy(module, self.features, self.labels, on_device)
