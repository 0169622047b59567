"""The functions of the table of stages: what each needs, is identified by, computes and reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from prunemia.attacks import get as attack_class
from prunemia.experiment import Experiment
from prunemia.lab import attacking, networks, references, work
from prunemia.lab.bench import Bench, Files
from prunemia.lab.fingerprints import Facts
from prunemia.lab.fitting import TrainedModel
from prunemia.lab.steps import Step, shadow_signals
from prunemia.pruning import cutting
from prunemia.registry import DEFENSES, NETWORKS
from prunemia.signals import Signals
from prunemia.store import pack_arrays, pack_json, unpack_arrays, unpack_json


def original_of(step: Step) -> list[Step]:
    """Return the step to the original networks."""
    return [Step("original", step.exp, "original", step.group)]


def unrounded(step: Step) -> list[Step]:
    """Return the step to the networks in full precision that the step rounds; none: it does not."""
    exp = step.exp
    if exp.bits is None or (step.stage == "pruned" and exp.quantize == "before"):
        return []
    return [replace(step, exp=exp.replace(bits=None, quantize="after"))]


def pruned_needs(step: Step) -> list[Step]:
    """Return the step to what is rounded, or to the originals that are pruned."""
    return unrounded(step) or original_of(step)


def original_identity(step: Step, inputs: Sequence[str], bench: Bench, version: int) -> Any:
    """Return what identifies original networks, rounded ones by those in full precision."""
    exp = step.exp
    if inputs:
        return ["original", version, inputs[0], ["bits", exp.bits]]
    what = [bench.facts(exp).fingerprint, exp.seed, step.group]
    kind = NETWORKS[exp.model]
    unkeyed = kind.unkeyed and exp.channels == kind.width
    what += [exp.model, None if unkeyed else exp.channels, exp.training_epochs]
    # a network's own version stands in its key only once it has changed
    if kind.version > 1:
        what.append(kind.version)
    if exp.standardize:
        what.append("standardized")
    if exp.stopping == "last":  # the other rules are about fine-tuning
        what.append(exp.stopping)
    if exp.whole:
        what.append(["whole", *defense_identity(exp)])
    # another kind of device rounds otherwise: its results are others, with all that needs them
    if bench.device.type != "cpu":
        what.append(bench.device.type)
    return ["original", version, what, fitting(exp)]


def pruned_identity(step: Step, inputs: Sequence[str], _: Bench, version: int) -> Any:
    """Return what identifies pruned networks: their originals, the pruner, the fine-tuning."""
    exp = step.exp
    if unrounded(step):
        return ["pruned", version, inputs[0], ["bits", exp.bits]]
    what = [inputs[0], exp.pruner, exp.sparsity, *defense_identity(exp)]
    what += [exp.tuning_epochs, exp.recipe.warmup]
    if exp.stopping != "warm-up":
        what.append(exp.stopping)
    if exp.rounds > 1:
        what.append(["rounds", exp.rounds])
    if exp.rewind:
        what.append("rewind")
    return ["pruned", version, what, fitting(exp)]


def defense_identity(exp: Experiment) -> list[Any]:
    """Return which defense: its version stands in a key only once it has changed."""
    version = DEFENSES[exp.defense].version
    return [exp.defense, exp.defense_strength, *([version] if version > 1 else [])]


def fitting(exp: Experiment) -> list[Any]:
    """Return how networks are fitted."""
    recipe = exp.recipe
    rate, decay = recipe.learning_rate, exp.weight_decay
    return [exp.patience, recipe.batch_size, rate, decay, exp.precision]


def train(step: Step, bench: Bench) -> Files:
    """Train the step's networks, or round them."""
    if unrounded(step):
        return round_networks(step, bench)
    with bench.bar(bench.title(step), step.exp.training_epochs) as report:
        return networks.pack(networks.train(step, bench.dataset(step.exp), bench.device, report))


def prune(step: Step, bench: Bench) -> Files:
    """Prune the step's networks and fine-tune them, or round them."""
    if unrounded(step):
        return round_networks(step, bench)
    originals = bench.value(original_of(step)[0])
    dataset = bench.dataset(step.exp)
    with bench.bar(bench.title(step), step.exp.tuning_epochs) as report:
        return networks.pack(networks.prune(step, dataset, originals, bench.device, report))


def round_networks(step: Step, bench: Bench) -> Files:
    """Round the step's networks, which are stored in full precision."""
    whole = bench.value(unrounded(step)[0])
    return networks.pack(networks.round_all(step, bench.dataset(step.exp), whole, bench.device))


def network_work(step: Step, facts: Facts) -> work.Work:
    """Return the work of training, fine-tuning or rounding the step's networks."""
    if unrounded(step):
        return work.of_rounding(step.exp, step.stage, facts, len(step.group))
    return work.of_network(step.exp, step.stage, facts, len(step.group))


def read_networks(files: Files, step: Step, bench: Bench) -> list[TrainedModel]:
    """Return the networks that `train` or `prune` packed."""
    return networks.unpack(files, step.exp, bench.dataset(step.exp), bench.device)


def networks_of(step: Step) -> list[Step]:
    """Return the step to the networks that answer."""
    return [Step(step.of, step.exp, step.of, step.group)]


def signals_identity(step: Step, inputs: Sequence[str], _: Bench, version: int) -> Any:
    """Return what identifies signals: the networks, and how they were queried."""
    return [version, inputs[0], step.exp.epsilon, step.exp.draws]


def query(step: Step, bench: Bench) -> Files:
    """Query the step's networks."""
    models = bench.value(networks_of(step)[0])
    answers = networks.query(step, bench.dataset(step.exp), models, bench.device)
    return {"signals.npz": pack_arrays(answers.arrays())}


def read_signals(files: Files, _: Step, __: Bench) -> Signals:
    """Return the signals that `query` packed."""
    return Signals.from_arrays(unpack_arrays(files["signals.npz"]))


def references_identity(_: Step, inputs: Sequence[str], __: Bench, version: int) -> Any:
    """Return what identifies references' answers: the networks, whose key holds the data."""
    return ["references", version, inputs[0]]


def fit_needs(step: Step) -> list[Step]:
    """Return the shadows' signals, or references; a blind attack learns nothing and needs none."""
    if attack_class(step.attack).blind:
        return []
    asked = references.for_attack(step)
    return [*asked, *references.queried(step)] if asked else shadow_signals(step.exp, step.of)


def fit_identity(step: Step, inputs: Sequence[str], bench: Bench, version: int) -> Any:
    """Return what identifies a fitted attack: its options, and what it learned from."""
    attack = attacking.build(step, bench)
    # a blind attack keeps the number of classes alone
    learned_from = [bench.facts(step.exp).classes] if attack.blind else list(inputs)
    identity = [version, step.attack, attack.identity(), learned_from]
    # an attack's own version stands in its key only once it has changed
    return identity if attack.version == 1 else [*identity, attack.version]


def passes(step: Step) -> int:
    """Return how often the attack's fit goes over the shadows' samples."""
    return attack_class(step.attack)(**dict(step.options)).passes


def fit_attack(step: Step, bench: Bench) -> Files:
    """Fit the step's attack."""
    asked = references.for_attack(step)
    if asked:
        shadows = references.as_shadows(bench, asked, references.queried(step))
    else:
        shadows = [bench.value(part) for part in fit_needs(step)]
    return attacking.fit(step, bench, shadows)


def read_fit(files: Files, step: Step, bench: Bench) -> Any:
    """Return the attack that `fit_attack` packed."""
    return attacking.build(step, bench).restore(unpack_arrays(files["attack.npz"]))


def attack_needs(step: Step) -> list[Step]:
    """Return the steps to the fitted attack and to what it decides on."""
    fit = Step("fit", step.exp, step.of, (), step.attack, step.options)
    return [fit, Step("signals", step.exp, step.of, step.group), *references.for_attack(step)]


def attack_identity(_: Step, inputs: Sequence[str], __: Bench, version: int) -> Any:
    """Return what identifies an attack's decisions: its inputs."""
    return [version, *inputs]


def decide(step: Step, bench: Bench) -> Files:
    """Let the fitted attack decide on the victim's samples."""
    fit, signals, *asked = attack_needs(step)
    samples = np.concatenate([references.asked_of(bench, step.exp, i) for i in step.group])
    target = references.attach(bench, asked, samples, bench.value(signals))
    return attacking.decide(bench.value(fit), target)


def cost_needs(step: Step) -> list[Step]:
    """Return the steps to the pruned network and to the original."""
    return [Step("pruned", step.exp, "pruned", step.group), *original_of(step)]


def cost_identity(_: Step, inputs: Sequence[str], __: Bench, version: int) -> Any:
    """Return what identifies a cost: the pruned network, whose key holds the original's."""
    return [version, inputs[0]]  # the pruned networks' key holds the original's


def measure(step: Step, bench: Bench) -> Files:
    """Measure what the original, the pruned and the cut network cost."""
    pruned, original = (bench.value(part)[0].module for part in cost_needs(step))
    shape = bench.dataset(step.exp).features.shape[1:]
    modules = {"original": original, "pruned": pruned, "cut": cutting.cut(pruned, shape)}
    costs = {name: asdict(cutting.cost(module, shape)) for name, module in modules.items()}
    return {"costs.json": pack_json(costs)}


def read_costs(files: Files, _: Step, __: Bench) -> pd.DataFrame:
    """Return the table that `measure` packed."""
    costs = pd.DataFrame.from_dict(unpack_json(files["costs.json"]), orient="index")
    return costs.loc[["original", "pruned", "cut"]]
