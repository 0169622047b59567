"""The one table of the pipeline's stages.

For each stage the table says its version, what it needs, what its result is stored under, how it is
computed and read back, how much work it is, and what it is called. Whatever walks the pipeline (the
lab, a plan, a sweep, a Dask worker) reads this table, so a new stage is one entry and its function.

A key hashes what `Stage.identity` returns: the stage's version, its part of the experiment, and the
keys of its inputs. Raise the version when a stage computes something else, so that old results are
not taken for new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from prunemia.attacks import get as attack_class
from prunemia.experiment import Experiment
from prunemia.kinds import Registry
from prunemia.lab import attacking, networks, work
from prunemia.lab.bench import Bench, Files
from prunemia.lab.fingerprints import Facts
from prunemia.lab.steps import Step, shadow_signals
from prunemia.pruning import cutting
from prunemia.signals import Signals
from prunemia.store import pack_arrays, pack_json, unpack_arrays, unpack_json


@dataclass(frozen=True)
class Stage:
    """One stage: a row of the table.

    Attributes
    ----------
    version : raised when the stage computes something else.
    needs : the steps whose results it reads.
    identity : (step, keys of what it needs, bench, version) → the JSON that its key hashes.
    compute : (step, bench) → the artefact's files.
    read : (files, step, bench) → the value that `compute` packed.
    work : (step, facts of the data) → how much work it is, without what it needs.
    title : what is done, for people.
    """

    version: int
    needs: Callable[[Step], list[Step]]
    identity: Callable[[Step, Sequence[str], Bench, int], Any]
    compute: Callable[[Step, Bench], Files]
    read: Callable[[Files, Step, Bench], Any]
    work: Callable[[Step, Facts], work.Work]
    title: Callable[[Step], str]


# -- networks


def _original_of(step: Step) -> list[Step]:
    return [Step("original", step.exp, "original", step.group)]


def _original_identity(step: Step, _: Sequence[str], bench: Bench, version: int) -> Any:
    exp = step.exp
    what = [bench.facts(exp).fingerprint, exp.seed, step.group]
    what += [exp.model, exp.width, exp.training_epochs]
    if exp.standardize:
        what.append("standardized")
    # another kind of device rounds otherwise: its results are others, with all that needs them
    if bench.device.type != "cpu":
        what.append(bench.device.type)
    return ["original", version, what, _fitting(exp)]


def _pruned_identity(step: Step, inputs: Sequence[str], _: Bench, version: int) -> Any:
    exp = step.exp
    what = [inputs[0], exp.pruner, exp.sparsity, exp.defense, exp.defense_strength]
    what += [exp.tuning_epochs, exp.finetune_warmup]
    return ["pruned", version, what, _fitting(exp)]


def _fitting(exp: Experiment) -> list[Any]:
    return [exp.patience, exp.batch_size, exp.learning_rate, exp.weight_decay, exp.precision]


def _train(step: Step, bench: Bench) -> Files:
    with bench.bar(bench.title(step), step.exp.training_epochs) as report:
        return networks.pack(networks.train(step, bench.dataset(step.exp), bench.device, report))


def _prune(step: Step, bench: Bench) -> Files:
    originals = bench.value(_original_of(step)[0])
    dataset = bench.dataset(step.exp)
    with bench.bar(bench.title(step), step.exp.tuning_epochs) as report:
        return networks.pack(networks.prune(step, dataset, originals, bench.device, report))


def _read_networks(files: Files, step: Step, bench: Bench) -> list[networks.TrainedModel]:
    return networks.unpack(files, step.exp, bench.dataset(step.exp), bench.device)


# -- signals


def _networks_of(step: Step) -> list[Step]:
    return [Step(step.of, step.exp, step.of, step.group)]


def _signals_identity(step: Step, inputs: Sequence[str], _: Bench, version: int) -> Any:
    return [version, inputs[0], step.exp.epsilon, step.exp.draws]


def _query(step: Step, bench: Bench) -> Files:
    models = bench.value(_networks_of(step)[0])
    answers = networks.query(step, bench.dataset(step.exp), models, bench.device)
    return {"signals.npz": pack_arrays(answers.arrays())}


def _read_signals(files: Files, _: Step, __: Bench) -> Signals:
    return Signals(**unpack_arrays(files["signals.npz"]))


# -- attacks


def _fit_needs(step: Step) -> list[Step]:
    """Return the shadows' signals; a blind attack learns nothing from them and needs none."""
    return [] if attack_class(step.attack).blind else shadow_signals(step.exp, step.of)


def _fit_identity(step: Step, inputs: Sequence[str], bench: Bench, version: int) -> Any:
    attack = attacking.build(step, bench)
    # a blind attack keeps the number of classes alone
    learned_from = [bench.facts(step.exp).classes] if attack.blind else list(inputs)
    identity = [version, step.attack, attacking.settings(attack), learned_from]
    # an attack's own version stands in its key only once it has changed
    return identity if attack.version == 1 else [*identity, attack.version]


def _fit(step: Step, bench: Bench) -> Files:
    shadows = [bench.value(part) for part in _fit_needs(step)]
    return attacking.fit(step, bench, shadows)


def _read_fit(files: Files, step: Step, bench: Bench) -> Any:
    return attacking.build(step, bench).restore(unpack_arrays(files["attack.npz"]))


def _attack_needs(step: Step) -> list[Step]:
    fit = Step("fit", step.exp, step.of, (), step.attack, step.options)
    return [fit, Step("signals", step.exp, step.of, step.group)]


def _attack_identity(_: Step, inputs: Sequence[str], __: Bench, version: int) -> Any:
    return [version, *inputs]


def _decide(step: Step, bench: Bench) -> Files:
    attack, target = (bench.value(part) for part in _attack_needs(step))
    return attacking.decide(attack, target)


# -- what a network costs


def _cost_needs(step: Step) -> list[Step]:
    return [Step("pruned", step.exp, "pruned", step.group), *_original_of(step)]


def _cost_identity(_: Step, inputs: Sequence[str], __: Bench, version: int) -> Any:
    return [version, inputs[0]]  # the pruned networks' key holds the original's


def _measure(step: Step, bench: Bench) -> Files:
    pruned, original = (bench.value(part)[0].module for part in _cost_needs(step))
    shape = bench.dataset(step.exp).features.shape[1:]
    modules = {"original": original, "pruned": pruned, "cut": cutting.cut(pruned, shape)}
    costs = {name: asdict(cutting.cost(module, shape)) for name, module in modules.items()}
    return {"costs.json": pack_json(costs)}


def _read_costs(files: Files, _: Step, __: Bench) -> pd.DataFrame:
    costs = pd.DataFrame.from_dict(unpack_json(files["costs.json"]), orient="index")
    return costs.loc[["original", "pruned", "cut"]]


STAGES = Registry(
    "stage",
    {
        "original": Stage(
            version=1,
            needs=lambda _: [],
            identity=_original_identity,
            compute=_train,
            read=_read_networks,
            work=lambda step, facts: work.of_network(step.exp, "original", facts, len(step.group)),
            title=lambda step: f"training {networks.who(step.group)}",
        ),
        "pruned": Stage(
            version=1,
            needs=_original_of,
            identity=_pruned_identity,
            compute=_prune,
            read=_read_networks,
            work=lambda step, facts: work.of_network(step.exp, "pruned", facts, len(step.group)),
            title=lambda step: f"pruning {networks.who(step.group)}",
        ),
        "signals": Stage(
            version=1,
            needs=_networks_of,
            identity=_signals_identity,
            compute=_query,
            read=_read_signals,
            work=lambda step, facts: work.of_query(step.exp, facts, len(step.group)),
            title=lambda step: f"querying {networks.who(step.group)}",
        ),
        "fit": Stage(
            version=1,
            needs=_fit_needs,
            identity=_fit_identity,
            compute=_fit,
            read=_read_fit,
            work=lambda step, facts: work.of_fit(step.exp.assumed(), step.attack, facts),
            title=lambda step: f"fitting {step.attack}",
        ),
        "attack": Stage(
            version=2,
            needs=_attack_needs,
            identity=_attack_identity,
            compute=_decide,
            read=attacking.read,
            work=lambda step, facts: work.of_attack(step.attack, facts),
            title=lambda step: f"deciding by {step.attack}",
        ),
        "cost": Stage(
            version=1,
            needs=_cost_needs,
            identity=_cost_identity,
            compute=_measure,
            read=_read_costs,
            work=lambda step, _: work.of_cutting(step.exp),
            title=lambda step: f"measuring what {networks.who(step.group)} costs",
        ),
    },
)
