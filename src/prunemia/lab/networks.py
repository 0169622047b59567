"""Networks: trained, pruned and fine-tuned, rounded, queried, packed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from prunemia import defenses, models, pruning, training
from prunemia.attacks import log_odds
from prunemia.data import Canaries, Dataset, plant, split, standardized
from prunemia.errors import UsageError
from prunemia.experiment import Experiment, seed_of
from prunemia.files import pack_arrays, pack_json, unpack_json
from prunemia.lab.context import Context, Files, Report
from prunemia.lab.steps import VICTIM, Of, Step, network_label
from prunemia.registry import NETWORKS
from prunemia.signals import Signals, answers, posteriors

FLOOR = 0.9
"""Patience cannot end a fine-tuning below this share of the original's validation accuracy."""
CANARIES = 200
"""Canaries of a victim unless told otherwise."""
FEWEST_CANARIES = 4
"""Half of them are guessed, one of those on each side."""


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


@dataclass(frozen=True, eq=False)
class Planted:
    """What a victim says of its m canaries.

    Attributes
    ----------
    scores : shape (m,), log-odds of the wrong label; large where the victim learned it.
    included : shape (m,), bool: which it trained on.
    privacy : what the defense guarantees, as `TrainedModel.privacy`.
    """

    scores: NDArray[np.float64]
    included: NDArray[np.bool_]
    privacy: dict[str, Any]

    def guesses(self) -> tuple[int, int]:
        """Return how many guesses are right, and how many were made.

        The quarter of the canaries with the largest scores is guessed to be included, the quarter
        with the smallest not; the rest is passed over. How many, was fixed beforehand.
        """
        side = len(self.scores) // 4
        order = np.argsort(self.scores, kind="stable")
        right = self.included[order[-side:]].sum() + (~self.included[order[:side]]).sum()
        return int(right), 2 * side


def fit_settings(exp: Experiment, epochs: int, warmup: int) -> training.FitSettings:
    """Return how networks are fitted: all of it stands in their keys."""
    return training.FitSettings(
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


def features_of(exp: Experiment, dataset: Dataset, network: int) -> NDArray[np.float32]:
    """Return all samples as the network takes them: standardized by its own training samples."""
    if not exp.standardize:
        return dataset.features
    return standardized(dataset.features, split(dataset, exp.seed, network).train)


class Fitting:
    """The data on the device, and the fits of one step's networks on them."""

    def __init__(self, step: Step, context: Context, canaries: Canaries | None = None) -> None:
        self.exp = step.exp
        self.dataset = context.dataset(step.exp)
        self.included = np.empty(0, dtype=np.int64)
        # networks that standardize come one by one, so a group shares its inputs
        features = features_of(self.exp, self.dataset, step.group[0])
        labels = self.dataset.labels
        if canaries is not None:
            labels = labels.copy()
            labels[canaries.samples] = canaries.labels
            self.included = canaries.samples[canaries.included]
        self.features = torch.from_numpy(features).to(context.device)
        self.labels = torch.from_numpy(labels).to(context.device)

    def fresh(self, network: int) -> nn.Module:
        """Return a network with its initial weights."""
        return build(self.exp, self.dataset, seed_of(self.exp.seed, "weights", network))

    def job(self, network: int, what: str, module: nn.Module, **more: Any) -> training.Job:
        """Return one network to fit, on its own split and with its own seed."""
        parts = split(self.dataset, self.exp.seed, network)
        return training.Job(
            name=f"{what} {network_label((network,))}",
            module=module,
            train=torch.from_numpy(np.concatenate([parts.train, self.included])),
            validation=torch.from_numpy(parts.validation),
            test=torch.from_numpy(parts.test),
            seed=seed_of(self.exp.seed, what, network),
            **more,
        )

    def fit(
        self,
        jobs: list[training.Job],
        settings: training.FitSettings,
        report: Report,
        name: str,
        strength: float | None,
    ) -> list[TrainedModel]:
        """Fit the networks under a defense, side by side where it allows that."""
        alone = defenses.get(name, strength).one_by_one
        histories: list[training.History] = []
        for stack in [[job] for job in jobs] if alone else [jobs]:
            histories += training.fit(
                stack,
                self.features,
                self.labels,
                settings,
                defense=defenses.get(name, strength),  # a fresh one: it keeps the state of its fit
                report=report,
            )
        return [
            TrainedModel(
                job.module, self.accuracies(job), job.masks.sparsity if job.masks else 0.0, history
            )
            for job, history in zip(jobs, histories, strict=True)
        ]

    def accuracies(self, job: training.Job) -> dict[str, float]:
        """Return the share of a network's samples of each part that it classifies right."""
        parts = {"train": job.train, "validation": job.validation, "test": job.test}
        device = self.features.device
        return {
            name: training.accuracy(job.module, self.features, self.labels, rows.to(device))
            for name, rows in parts.items()
        }


def build(exp: Experiment, dataset: Dataset, seed: int) -> nn.Module:
    """Return the experiment's network, freshly initialized."""
    shape = dataset.features.shape[1:]
    return models.build(exp.model, shape, dataset.classes, width=exp.channels, seed=seed)


def train(step: Step, context: Context, canaries: Canaries | None = None) -> list[TrainedModel]:
    """Train the step's original networks side by side; a victim alone may have canaries."""
    exp = step.exp
    fitting = Fitting(step, context, canaries)
    jobs = [fitting.job(i, "training", fitting.fresh(i)) for i in step.group]
    settings = fit_settings(exp, exp.training_epochs, 0)
    defended = (exp.defense, exp.strength) if exp.whole else ("none", None)
    with context.bar(step, settings.epochs) as report:
        return fitting.fit(jobs, settings, report, *defended)


def prune(
    step: Step,
    context: Context,
    originals: Sequence[TrainedModel],
    canaries: Canaries | None = None,
) -> list[TrainedModel]:
    """Prune the step's networks and fine-tune them under the defense, on the same canaries.

    Once, or in the rounds of `pruning.schedule`. The originals' modules are used up.
    """
    exp = step.exp
    fitting = Fitting(step, context, canaries)
    teaches = defenses.get(exp.defense, exp.strength).needs_original
    teachers = [copy.deepcopy(original.module) if teaches else None for original in originals]
    floors = [FLOOR * original.accuracy["validation"] for original in originals]
    tuned = list(originals)
    rounds = pruning.schedule(exp.sparsity, exp.tuning_epochs, exp.rounds)
    with context.bar(step, exp.tuning_epochs) as report:
        for turn, (sparsity, epochs) in enumerate(rounds, start=1):
            what = "fine-tuning" if turn == 1 else f"round {turn} of fine-tuning"
            jobs = []
            for place, (i, before) in enumerate(zip(step.group, tuned, strict=True)):
                masks = pruning.prune(before.module, exp.pruner, sparsity)
                if exp.rewind:  # to the initial values of what is left (Frankle & Carbin 2019)
                    masks.module.load_state_dict(fitting.fresh(i).state_dict())
                    masks.apply_()
                job = fitting.job(
                    i,
                    what,
                    before.module,
                    masks=masks,
                    floor=floors[place] if exp.stopping == "warm-up" else 0.0,
                    original=teachers[place],
                    spent=before.privacy.get("spent", []) if exp.whole else [],
                )
                jobs.append(job)
            settings = fit_settings(exp, epochs, exp.recipe.warmup)
            now = fitting.fit(jobs, settings, report, exp.defense, exp.strength)
            tuned = now if turn == 1 else [_after(*pair) for pair in zip(tuned, now, strict=True)]
    return tuned


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


def round_weights(
    step: Step, context: Context, networks: Sequence[TrainedModel]
) -> list[TrainedModel]:
    """Round the networks' weights to the experiment's bits; their modules are used up.

    Accuracies are those of the rounded networks; the sparsity stays what pruning removed.
    """
    assert step.exp.bits is not None
    fitting = Fitting(step, context)
    rounded = []
    for i, network in zip(step.group, networks, strict=True):
        pruning.round_(network.module, step.exp.bits)
        job = fitting.job(i, "rounding", network.module)
        rounded.append(replace(network, accuracy=fitting.accuracies(job)))
    return rounded


def query(step: Step, context: Context, networks: Sequence[TrainedModel]) -> Signals:
    """Query each network on its members (training samples) and non-members (test samples)."""
    exp, dataset = step.exp, context.dataset(step.exp)
    return Signals.concatenate(
        [
            _answers(exp, context, i, network, split(dataset, exp.seed, i).asked)
            for i, network in zip(step.group, networks, strict=True)
        ]
    )


def query_validation(exp: Experiment, context: Context, victim: TrainedModel) -> Signals:
    """Query the victim on its validation samples, which are no members."""
    samples = split(context.dataset(exp), exp.seed, VICTIM).validation
    return _answers(exp, context, VICTIM, victim, samples, "query validation")


def _answers(
    exp: Experiment,
    context: Context,
    number: int,
    network: TrainedModel,
    samples: NDArray[np.int64],
    purpose: str = "query",
) -> Signals:
    dataset, device = context.dataset(exp), context.device
    x = torch.from_numpy(features_of(exp, dataset, number)[samples]).to(device)
    generator = torch.Generator(device).manual_seed(seed_of(exp.seed, purpose, number))
    given, moved = answers(network.module, x, exp.epsilon, exp.draws, generator)
    return Signals(
        posteriors=given.cpu().numpy(),
        sensitivities=moved.cpu().numpy(),
        labels=dataset.labels[samples],
        membership=np.isin(samples, split(dataset, exp.seed, number).train),
        model=np.full(len(samples), number),
    )


def canaries_step(exp: Experiment, of: Of, count: int) -> Step:
    """Return the step to what the victim says of ``count`` canaries."""
    if isinstance(count, bool) or not isinstance(count, int) or count < FEWEST_CANARIES:
        raise UsageError(
            f"canaries: {count!r} is not allowed; allowed: a number from {FEWEST_CANARIES}"
        )
    if exp.bits is not None:
        raise UsageError(f"bits: {exp.bits} is not allowed with canaries; allowed: None")
    return Step("canaries", exp, of, options=(("count", count),))


def ask_canaries(step: Step, context: Context) -> Files:
    """Train the victim with canaries, prune and fine-tune it on them, and ask about them."""
    exp, dataset = step.exp, context.dataset(step.exp)
    canaries = plant(dataset, exp.seed, dict(step.options)["count"])
    networks = train(step, context, canaries)
    if step.of == "pruned":
        networks = prune(step, context, networks, canaries)
    features = features_of(exp, dataset, VICTIM)[canaries.samples]
    given = posteriors(networks[0].module, torch.from_numpy(features).to(context.device))
    scores = log_odds(given.cpu().numpy(), canaries.labels)
    arrays = {"scores": scores, "included": canaries.included}
    return {"canaries.npz": pack_arrays(arrays), "privacy.json": pack_json(networks[0].privacy)}


def pack(networks: Sequence[TrainedModel]) -> Files:
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


def unpack(files: Files, exp: Experiment, context: Context) -> list[TrainedModel]:
    """Return the networks that `pack` wrote, on the device, in evaluation mode."""
    networks = []
    for place, record in enumerate(unpack_json(files["networks.json"])):
        module = build(exp, context.dataset(exp), 0)
        module.load_state_dict(safetensors.torch.load(files[f"{place}.safetensors"]))
        module.to(context.device).eval()
        history = training.History(**record["history"])
        networks.append(TrainedModel(module, record["accuracy"], record["sparsity"], history))
    return networks
