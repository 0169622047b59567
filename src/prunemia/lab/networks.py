"""Networks: trained, pruned and fine-tuned, rounded, queried; the functions of their stages."""

import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from prunemia import defenses, models, pruning, training
from prunemia.attacks import log_odds
from prunemia.data import Canaries, plant, standardized
from prunemia.experiment import Experiment, seed_of
from prunemia.files import pack_arrays, pack_json, unpack_json
from prunemia.lab.context import Context, Files, Report
from prunemia.lab.steps import VICTIM, Step, network_label
from prunemia.pruning import cutting
from prunemia.registry import DEFENSES, NETWORKS
from prunemia.signals import Signals, answers, posteriors

FLOOR = 0.9  # of the original's validation accuracy: patience cannot end a fine-tuning below it


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network with what is known of it.

    ``module``: in evaluation mode; masked weights are exactly zero. ``accuracy``: of "train",
    "validation", "test", 0 … 1. ``sparsity``: fraction removed of all prunable weights; 0 for an
    original. ``history``: losses and validation accuracy, epoch by epoch.
    """

    module: nn.Module
    accuracy: dict[str, float]
    sparsity: float
    history: training.History

    @property
    def privacy(self) -> dict[str, Any]:
        """What the defense guarantees: for ``dp`` epsilon, delta, and a caveat."""
        return self.history.guarantee


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


def inputs(exp: Experiment, context: Context, network: int) -> torch.Tensor:
    """Return all samples as a network takes them: standardized by its own training samples."""
    features = context.dataset(exp).features
    if exp.standardize:
        features = standardized(features, context.split(exp, network).train)
    return torch.from_numpy(features).to(context.device)


def build(exp: Experiment, context: Context, seed: int) -> nn.Module:
    """Return the experiment's network, freshly initialized."""
    dataset = context.dataset(exp)
    return models.build(exp.model, dataset.shape, dataset.classes, width=exp.channels, seed=seed)


class Fitting:
    """The data on the device, and the fits of one step's networks on them."""

    def __init__(self, step: Step, context: Context, canaries: Canaries | None = None) -> None:
        self.exp, self.context = step.exp, context
        self.included = np.empty(0, dtype=np.int64)
        # networks that standardize come one by one, so a group shares its inputs
        self.features = inputs(step.exp, context, step.group[0])
        labels = context.dataset(step.exp).labels
        if canaries is not None:
            labels = labels.copy()
            labels[canaries.samples] = canaries.labels
            self.included = canaries.samples[canaries.included]
        self.labels = torch.from_numpy(labels).to(context.device)

    def fresh(self, network: int) -> nn.Module:
        """Return a network with its initial weights."""
        return build(self.exp, self.context, seed_of(self.exp.seed, "weights", network))

    def job(self, network: int, what: str, module: nn.Module, **more: Any) -> training.Job:
        """Return one network to fit, on its own split and with its own seed."""
        parts = self.context.split(self.exp, network)
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
        self, jobs: list[training.Job], epochs: int, warmup: int, report: Report, defended: bool
    ) -> list[TrainedModel]:
        """Fit the networks, under the defense or not, side by side where it allows that."""
        defense = (self.exp.defense, self.exp.strength) if defended else ("none", None)
        settings = fit_settings(self.exp, epochs, warmup)
        histories: list[training.History] = []
        for stack in [[job] for job in jobs] if defenses.get(*defense).one_by_one else [jobs]:
            fresh = defenses.get(*defense)  # it keeps the state of its fit
            data = self.features, self.labels
            histories += training.fit(stack, *data, settings, defense=fresh, report=report)
        removed = [job.masks.sparsity if job.masks else 0.0 for job in jobs]
        return [
            TrainedModel(job.module, self.accuracies(job), sparsity, history)
            for job, sparsity, history in zip(jobs, removed, histories, strict=True)
        ]

    def accuracies(self, job: training.Job) -> dict[str, float]:
        """Return the share of a network's samples of each part that it classifies right."""
        data, device = (self.features, self.labels), self.features.device
        parts = {part: getattr(job, part).to(device) for part in ("train", "validation", "test")}
        return {part: training.accuracy(job.module, *data, rows) for part, rows in parts.items()}


def train(step: Step, context: Context, canaries: Canaries | None = None) -> list[TrainedModel]:
    """Train the step's original networks side by side; a victim alone may have canaries."""
    fitting, epochs = Fitting(step, context, canaries), step.exp.training_epochs
    jobs = [fitting.job(i, "training", fitting.fresh(i)) for i in step.group]
    with context.bar(context.title(step), epochs) as report:
        return fitting.fit(jobs, epochs, 0, report, step.exp.whole)


def prune(
    step: Step, context: Context, tuned: list[TrainedModel], canaries: Canaries | None = None
) -> list[TrainedModel]:
    """Prune networks, which are used up, and fine-tune them in the rounds of `pruning.schedule`."""
    exp, fitting = step.exp, Fitting(step, context, canaries)
    teaches = defenses.get(exp.defense, exp.strength).needs_original
    teachers = [copy.deepcopy(original.module) if teaches else None for original in tuned]
    share = FLOOR if exp.stopping == "warm-up" else 0.0
    floors = [share * original.accuracy["validation"] for original in tuned]
    rounds = pruning.schedule(exp.sparsity, exp.tuning_epochs, exp.rounds)
    with context.bar(context.title(step), exp.tuning_epochs) as report:
        for turn, (sparsity, epochs) in enumerate(rounds, start=1):
            what = "fine-tuning" if turn == 1 else f"round {turn} of fine-tuning"
            jobs = []
            for i, before, floor, teacher in zip(step.group, tuned, floors, teachers, strict=True):
                masks = pruning.prune(before.module, exp.pruner, sparsity)
                if exp.rewind:  # to the initial values of what is left (Frankle & Carbin 2019)
                    masks.module.load_state_dict(fitting.fresh(i).state_dict())
                    masks.apply_()
                spent = before.privacy.get("spent", []) if exp.whole else []
                more = {"masks": masks, "floor": floor, "original": teacher, "spent": spent}
                jobs.append(fitting.job(i, what, before.module, **more))
            now = fitting.fit(jobs, epochs, exp.recipe.warmup, report, defended=True)
            tuned = now if turn == 1 else [_after(*pair) for pair in zip(tuned, now, strict=True)]
    return tuned


def _after(before: TrainedModel, now: TrainedModel) -> TrainedModel:
    """Return a network with the history of its rounds before in front of that of its last."""
    first, then = before.history, now.history
    by_epoch = ("loss", "validation", "validation_loss")
    whole = {name: getattr(first, name) + getattr(then, name) for name in by_epoch}
    best = len(first.loss) + then.best_epoch
    return replace(now, history=replace(then, best_epoch=best, **whole))


def rounded(step: Step, context: Context, networks: list[TrainedModel]) -> list[TrainedModel]:
    """Round the networks' weights; the accuracies are then their own, the sparsity as it was."""
    assert step.exp.bits is not None
    fitting = Fitting(step, context)
    for i, network in zip(step.group, networks, strict=True):
        pruning.round_(network.module, step.exp.bits)
        network.accuracy.update(fitting.accuracies(fitting.job(i, "rounding", network.module)))
    return networks


def unrounded(step: Step) -> list[Step]:
    """Return the step to the networks in full precision that the step rounds; none: it does not."""
    exp = step.exp
    if exp.bits is None or (step.stage == "pruned" and exp.quantize == "before"):
        return []
    return [replace(step, exp=exp.replace(bits=None, quantize="after"))]


def needs(step: Step) -> list[Step]:
    """Return the step to the networks that the step rounds or prunes; an original needs none."""
    pruned = [Step("original", step.exp, "original", step.group)] if step.of == "pruned" else []
    return unrounded(step) or pruned


def settings(step: Step, context: Context) -> dict[str, Any]:
    """Return what decides how networks are rounded, or trained, or pruned and fine-tuned."""
    exp = step.exp
    defense = [exp.defense, DEFENSES[exp.defense].version, exp.defense_strength]
    if unrounded(step):
        return {"bits": exp.bits}
    if step.stage == "pruned":
        fields = exp.model_dump(include={"pruner", "sparsity", "rounds", "rewind", "stopping"})
        fit = asdict(fit_settings(exp, exp.tuning_epochs, exp.recipe.warmup))
        return {**fields, "defense": defense, "fit": fit}
    return {
        "data": context.facts(exp)["fingerprint"],
        "seed": exp.seed,
        "networks": step.group,
        "model": [exp.model, NETWORKS[exp.model].version, exp.channels],
        "standardize": exp.standardize,
        "fit": asdict(fit_settings(exp, exp.training_epochs, 0)),
        "defense": defense if exp.whole else None,
        # another kind of device rounds otherwise: its results are others
        "device": context.device.type,
    }


def make(step: Step, context: Context) -> Files:
    """Train networks, prune and fine-tune them, or round them: weights as safetensors, and JSON."""
    before = [context.value(part) for part in context.needs(step)]
    change = rounded if unrounded(step) else prune
    networks = change(step, context, *before) if before else train(step, context)
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


def load(files: Files, step: Step, context: Context) -> list[TrainedModel]:
    """Return the networks that `make` wrote, on the device, in evaluation mode."""
    networks = []
    for place, record in enumerate(unpack_json(files["networks.json"])):
        module = build(step.exp, context, 0)
        module.load_state_dict(safetensors.torch.load(files[f"{place}.safetensors"]))
        module.to(context.device).eval()
        history = training.History(**record["history"])
        networks.append(TrainedModel(module, record["accuracy"], record["sparsity"], history))
    return networks


def query(step: Step, context: Context) -> Files:
    """Query each network on its members (training samples) and non-members (test samples)."""
    found = [
        ask(step.exp, context, number, network, context.split(step.exp, number).asked)
        for number, network in zip(step.group, context.value(step.networks), strict=True)
    ]
    return {"signals.npz": pack_arrays(Signals.concatenate(found).arrays())}


def ask(
    exp: Experiment,
    context: Context,
    number: int,
    network: TrainedModel,
    samples: NDArray[np.int64],
    purpose: str = "query",
) -> Signals:
    """Return what a network answers to some samples; members are those that it trained on."""
    x = inputs(exp, context, number)[samples]
    generator = torch.Generator(x.device).manual_seed(seed_of(exp.seed, purpose, number))
    given, moved = answers(network.module, x, exp.epsilon, exp.draws, generator)
    return Signals(
        posteriors=given.cpu().numpy(),
        sensitivities=moved.cpu().numpy(),
        labels=context.dataset(exp).labels[samples],
        membership=np.isin(samples, context.split(exp, number).train),
        model=np.full(len(samples), number),
    )


def measure_cost(step: Step, context: Context) -> Files:
    """Measure what the original, the pruned and the cut network cost to keep and to run."""
    shape = context.dataset(step.exp).shape
    pruned, original = (context.value(part)[0].module for part in context.needs(step))
    modules = {"original": original, "pruned": pruned, "cut": cutting.cut(pruned, shape)}
    costs = {name: asdict(cutting.cost(module, shape)) for name, module in modules.items()}
    return {"costs.json": pack_json(costs)}


@dataclass(frozen=True, eq=False)
class Planted:
    """What a victim says of its m canaries, and what its defense guarantees (``privacy``).

    ``scores``: (m,), log-odds of the wrong label; ``included``: (m,), which it trained on.
    """

    scores: NDArray[np.float64]
    included: NDArray[np.bool_]
    privacy: dict[str, Any]

    def guesses(self) -> tuple[int, int]:
        """Return how many guesses are right, and how many were made: a quarter on either side."""
        side = len(self.scores) // 4
        order = np.argsort(self.scores, kind="stable")
        right = self.included[order[-side:]].sum() + (~self.included[order[:side]]).sum()
        return int(right), 2 * side


def ask_canaries(step: Step, context: Context) -> Files:
    """Train the victim with canaries, prune and fine-tune it on them, and ask about them."""
    canaries = plant(context.dataset(step.exp), step.exp.seed, dict(step.options)["count"])
    networks = train(step, context, canaries)
    if step.of == "pruned":
        networks = prune(step, context, networks, canaries)
    given = posteriors(networks[0].module, inputs(step.exp, context, VICTIM)[canaries.samples])
    scores = log_odds(given.cpu().numpy(), canaries.labels)
    arrays = {"scores": scores, "included": canaries.included}
    return {"canaries.npz": pack_arrays(arrays), "privacy.json": pack_json(networks[0].privacy)}
