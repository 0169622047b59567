"""Networks as stages: trained, pruned, queried, packed; without where the results are kept."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from prunemia import defenses, models, pruning, training
from prunemia.data import Canaries, Dataset, split
from prunemia.experiment import Experiment, seed_of
from prunemia.lab.fitting import Fitting, Report, TrainedModel, features_of
from prunemia.lab.steps import VICTIM, Step
from prunemia.signals import Signals, answers
from prunemia.store import pack_json, unpack_json

FLOOR = 0.9
"""Patience cannot end a fine-tuning below this share of the original's validation accuracy."""


def train(
    step: Step,
    dataset: Dataset,
    device: torch.device,
    report: Report | None = None,
    canaries: Canaries | None = None,
) -> list[TrainedModel]:
    """Train the step's original networks side by side; a victim alone may have canaries."""
    exp = step.exp
    fitting = Fitting(exp, dataset, step.group, device, canaries)
    jobs = [
        fitting.job(i, "training", build(exp, dataset, seed_of(exp.seed, "weights", i)))
        for i in step.group
    ]
    defended = (exp.defense, exp.strength) if exp.whole else ("none", None)
    return fitting.defended(jobs, exp.training_epochs, 0, report, *defended)


def prune(
    step: Step,
    dataset: Dataset,
    originals: Sequence[TrainedModel],
    device: torch.device,
    report: Report | None = None,
    canaries: Canaries | None = None,
) -> list[TrainedModel]:
    """Prune the step's networks and fine-tune them under the defense, on the same canaries.

    Once, or in the rounds of `pruning.schedule`. The originals' modules are used up.
    """
    exp = step.exp
    fitting = Fitting(exp, dataset, step.group, device, canaries)
    teaches = defenses.get(exp.defense, exp.strength).needs_original
    teachers = [copy.deepcopy(original.module) if teaches else None for original in originals]
    tuned = list(originals)
    rounds = pruning.schedule(exp.sparsity, exp.tuning_epochs, exp.rounds)
    for turn, (sparsity, epochs) in enumerate(rounds, start=1):
        what = "fine-tuning" if turn == 1 else f"round {turn} of fine-tuning"
        jobs = []
        for place, (i, before) in enumerate(zip(step.group, tuned, strict=True)):
            masks = pruning.prune(before.module, exp.pruner, sparsity)
            if exp.rewind:
                _rewind(masks, build(exp, dataset, seed_of(exp.seed, "weights", i)))
            best = originals[place].accuracy["validation"]
            floor = FLOOR * best if exp.stopping == "warm-up" else 0.0
            job = fitting.job(i, what, before.module, masks, floor)
            spent = before.privacy.get("spent", []) if exp.whole else []
            jobs.append(replace(job, original=teachers[place], spent=spent))
        now = fitting.defended(jobs, epochs, exp.recipe.warmup, report, exp.defense, exp.strength)
        tuned = now if turn == 1 else [_after(*pair) for pair in zip(tuned, now, strict=True)]
    return tuned


def _rewind(masks: pruning.Masks, fresh: nn.Module) -> None:
    """Give a pruned network the initial values of what is left of it (Frankle & Carbin 2019)."""
    masks.module.load_state_dict(fresh.state_dict())
    masks.apply_()


def _after(before: TrainedModel, now: TrainedModel) -> TrainedModel:
    """Return a network with the history of its rounds before in front of that of its last."""
    first, then = before.history, now.history
    history = training.History(
        loss=first.loss + then.loss,
        validation=first.validation + then.validation,
        best_epoch=len(first.loss) + then.best_epoch,
        validation_loss=first.validation_loss + then.validation_loss,
        guarantee=then.guarantee,
    )
    return replace(now, history=history)


def round_all(
    step: Step, dataset: Dataset, networks: Sequence[TrainedModel], device: torch.device
) -> list[TrainedModel]:
    """Round the networks' weights to the experiment's bits; their modules are used up.

    Accuracies are those of the rounded networks; the sparsity stays what pruning removed.
    """
    bits = step.exp.bits
    if bits is None:
        raise ValueError("bits: None is not allowed here; allowed: 2 to 8")
    fitting = Fitting(step.exp, dataset, step.group, device)
    for network in networks:
        pruning.round_(network.module, bits)
    return [
        replace(network, accuracy=fitting.accuracies(fitting.job(i, "rounding", network.module)))
        for i, network in zip(step.group, networks, strict=True)
    ]


def query(
    step: Step, dataset: Dataset, networks: Sequence[TrainedModel], device: torch.device
) -> Signals:
    """Query each network on its members (training samples) and non-members (test samples)."""
    exp = step.exp
    given = [
        _answers(exp, dataset, i, network.module, device, split(dataset, exp.seed, i).asked)
        for i, network in zip(step.group, networks, strict=True)
    ]
    return Signals.concatenate(given)


def query_validation(
    exp: Experiment, dataset: Dataset, network: TrainedModel, device: torch.device
) -> Signals:
    """Query the victim on its validation samples, which are no members."""
    samples = split(dataset, exp.seed, VICTIM).validation
    return _answers(exp, dataset, VICTIM, network.module, device, samples, "query validation")


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


def _answers(
    exp: Experiment,
    dataset: Dataset,
    network: int,
    module: nn.Module,
    device: torch.device,
    samples: NDArray[np.int64],
    purpose: str = "query",
) -> Signals:
    x = torch.from_numpy(features_of(exp, dataset, network)[samples]).to(device)
    generator = torch.Generator(device).manual_seed(seed_of(exp.seed, purpose, network))
    posteriors, moved = answers(module, x, exp.epsilon, exp.draws, generator)
    return Signals(
        posteriors=posteriors.cpu().numpy(),
        sensitivities=moved.cpu().numpy(),
        labels=dataset.labels[samples],
        membership=np.isin(samples, split(dataset, exp.seed, network).train),
        model=np.full(len(samples), network),
    )
