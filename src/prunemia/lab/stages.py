"""The stages of the pipeline as functions: what is trained, pruned and queried, without where it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from prunemia import defenses, models, pruning, training
from prunemia.data import Dataset, split
from prunemia.experiment import Experiment, seed_of
from prunemia.signals import Signals, query
from prunemia.store import pack_json, unpack_json

VICTIM = 0
"""The victim's network number; shadow networks are 1 … k."""

FLOOR = 0.9
"""Patience cannot end a fine-tuning below this share of the original network's validation accuracy."""

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
        """What the defense guarantees: for ``dp`` epsilon, delta, and the caveat that belongs beside them."""
        return self.history.guarantee


def train(
    exp: Experiment,
    dataset: Dataset,
    group: Sequence[int],
    device: torch.device,
    report: Report | None = None,
) -> list[TrainedModel]:
    """Train the original networks of ``group`` (network numbers), side by side."""
    jobs = [
        _job(exp, dataset, i, "training", build(exp, dataset, seed_of(exp.seed, "weights", i)))
        for i in group
    ]
    return _fit(exp, dataset, jobs, exp.training_epochs, 0, device, report)


def prune(
    exp: Experiment,
    dataset: Dataset,
    group: Sequence[int],
    originals: Sequence[TrainedModel],
    device: torch.device,
    report: Report | None = None,
) -> list[TrainedModel]:
    """Prune the networks of ``group`` and fine-tune them under the defense; the originals' modules are used up."""
    jobs = []
    for i, original in zip(group, originals, strict=True):
        masks = pruning.prune(original.module, exp.pruner, exp.sparsity)
        floor = FLOOR * original.accuracy["validation"]
        jobs.append(_job(exp, dataset, i, "fine-tuning", original.module, masks, floor))
    together = (
        [[job] for job in jobs] if defenses.get(exp.defense, exp.strength).one_by_one else [jobs]
    )
    epochs, warmup = exp.tuning_epochs, exp.finetune_warmup
    return [
        network
        for some in together
        for network in _fit(
            exp,
            dataset,
            some,
            epochs,
            warmup,
            device,
            report,
            defenses.get(exp.defense, exp.strength),
        )
    ]


def ask(
    exp: Experiment,
    dataset: Dataset,
    group: Sequence[int],
    networks: Sequence[TrainedModel],
    device: torch.device,
) -> Signals:
    """Query each network on its members (training rows) and non-members (test rows)."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in Signals.__dataclass_fields__}
    for i, network in zip(group, networks, strict=True):
        rows = split(dataset, exp.seed, i)
        asked = np.concatenate([rows.train, rows.test])
        x = torch.from_numpy(dataset.features[asked]).to(device)
        generator = torch.Generator(device).manual_seed(seed_of(exp.seed, "query", i))
        moved = query.sensitivity(network.module, x, exp.epsilon, exp.draws, generator)
        parts["posteriors"].append(query.posteriors(network.module, x).cpu().numpy())
        parts["sensitivities"].append(moved.cpu().numpy())
        parts["labels"].append(dataset.labels[asked])
        parts["membership"].append(np.arange(len(asked)) < len(rows.train))
        parts["model"].append(np.full(len(asked), i))
    return Signals(**{name: np.concatenate(arrays) for name, arrays in parts.items()})


def build(exp: Experiment, dataset: Dataset, seed: int) -> nn.Module:
    """Return the experiment's network, freshly initialized."""
    return models.build(
        exp.model, dataset.features.shape[1:], dataset.classes, width=exp.width, seed=seed
    )


def pack(networks: Sequence[TrainedModel]) -> dict[str, bytes]:
    """Return the networks as files: weights as safetensors, the rest as JSON."""
    records = [
        {"accuracy": n.accuracy, "sparsity": n.sparsity, "history": asdict(n.history)}
        for n in networks
    ]
    files = {"networks.json": pack_json(records)}
    for place, network in enumerate(networks):
        weights = {
            name: value.contiguous().cpu() for name, value in network.module.state_dict().items()
        }
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
        history = training.History(**record["history"])
        networks.append(
            TrainedModel(module.to(device).eval(), record["accuracy"], record["sparsity"], history)
        )
    return networks


def _job(
    exp: Experiment,
    dataset: Dataset,
    i: int,
    what: str,
    module: nn.Module,
    masks: pruning.Masks | None = None,
    floor: float = 0.0,
) -> training.Job:
    rows = split(dataset, exp.seed, i)
    name = f"{what} {'the victim' if i == VICTIM else f'shadow network {i}'}"
    train, validation, test = (
        torch.from_numpy(part) for part in (rows.train, rows.validation, rows.test)
    )
    return training.Job(
        name, module, train, validation, test, seed_of(exp.seed, what, i), masks, floor
    )


def _fit(
    exp: Experiment,
    dataset: Dataset,
    jobs: list[training.Job],
    epochs: int,
    warmup: int,
    device: torch.device,
    report: Report | None,
    defense: defenses.Defense | None = None,
) -> list[TrainedModel]:
    features = torch.from_numpy(dataset.features).to(device)
    labels = torch.from_numpy(dataset.labels).to(device)
    recipe = training.Recipe(
        epochs,
        exp.patience,
        warmup,
        exp.batch_size,
        exp.learning_rate,
        exp.weight_decay,
        exp.precision,
    )
    histories = training.fit(jobs, features, labels, recipe, defense=defense, report=report)
    return [
        TrainedModel(
            job.module,
            _accuracies(job, features, labels),
            0.0 if job.masks is None else job.masks.sparsity,
            history,
        )
        for job, history in zip(jobs, histories, strict=True)
    ]


def _accuracies(job: training.Job, features: Tensor, labels: Tensor) -> dict[str, float]:
    rows = {"train": job.train, "validation": job.validation, "test": job.test}
    return {
        part: training.accuracy(job.module, features, labels, r.to(features.device))
        for part, r in rows.items()
    }
