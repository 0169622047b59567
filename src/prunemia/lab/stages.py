"""The one table of the pipeline's stages, each with its functions side by side.

Whatever walks the pipeline (the lab, a plan, a sweep, a Dask worker) reads `STAGES`, so a new stage
is one class and its entry at the end. The form of a stage is `prunemia.lab.context.Stage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from prunemia.attacks import Attack
from prunemia.attacks import get as attack_class
from prunemia.experiment import Experiment
from prunemia.files import pack_arrays, pack_json, unpack_arrays, unpack_json
from prunemia.lab import attacking, networks, references
from prunemia.lab.attacking import AttackResult
from prunemia.lab.context import Context, Files, Stage
from prunemia.lab.networks import Planted, TrainedModel
from prunemia.lab.steps import Step, shadow_signals
from prunemia.pruning import cutting
from prunemia.registry import DEFENSES, NETWORKS
from prunemia.signals import Signals


def _original_of(step: Step) -> list[Step]:
    return [Step("original", step.exp, "original", step.group)]


def _unrounded(step: Step) -> list[Step]:
    """Return the step to the networks in full precision that the step rounds; none: it does not."""
    exp = step.exp
    if exp.bits is None or (step.stage == "pruned" and exp.quantize == "before"):
        return []
    return [replace(step, exp=exp.replace(bits=None, quantize="after"))]


def _defense(exp: Experiment) -> list[Any]:
    return [exp.defense, DEFENSES[exp.defense].version, exp.defense_strength]


class _Networks(Stage):
    """Networks of either kind; those with ``bits`` are stored in full precision first."""

    def compute(self, step: Step, context: Context) -> Files:
        if unrounded := _unrounded(step):
            return networks.pack(networks.round_weights(step, context, context.value(unrounded[0])))
        if step.stage == "original":
            return networks.pack(networks.train(step, context))
        originals = context.value(_original_of(step)[0])
        return networks.pack(networks.prune(step, context, originals))

    def load(self, files: Files, step: Step, context: Context) -> list[TrainedModel]:
        return networks.unpack(files, step.exp, context)


class Original(_Networks):
    """Networks before pruning."""

    version = 1
    says = "training {networks}"

    def needs(self, step: Step) -> list[Step]:
        return _unrounded(step)

    def settings(self, step: Step, context: Context) -> Any:
        exp = step.exp
        if _unrounded(step):
            return {"bits": exp.bits}
        return {
            "data": context.facts(exp).fingerprint,
            "seed": exp.seed,
            "networks": step.group,
            "model": [exp.model, NETWORKS[exp.model].version, exp.channels],
            "standardize": exp.standardize,
            "fit": asdict(networks.fit_settings(exp, exp.training_epochs, 0)),
            "defense": _defense(exp) if exp.whole else None,
            # another kind of device rounds otherwise: its results are others
            "device": context.device.type,
        }


class Pruned(_Networks):
    """Networks that are pruned and fine-tuned."""

    version = 1
    says = "pruning {networks}"

    def needs(self, step: Step) -> list[Step]:
        return _unrounded(step) or _original_of(step)

    def settings(self, step: Step, context: Context) -> Any:
        exp = step.exp
        if _unrounded(step):
            return {"bits": exp.bits}
        fields = ("pruner", "sparsity", "rounds", "rewind", "stopping")
        return {
            **exp.model_dump(include=set(fields)),
            "defense": _defense(exp),
            "fit": asdict(networks.fit_settings(exp, exp.tuning_epochs, exp.recipe.warmup)),
        }


class Queried(Stage):
    """What networks answer to their members and non-members."""

    version = 2
    says = "querying {networks}"

    def settings(self, step: Step, context: Context) -> Any:
        return {"epsilon": step.exp.epsilon, "draws": step.exp.draws}

    def compute(self, step: Step, context: Context) -> Files:
        answers = networks.query(step, context, context.value(self.needs(step)[0]))
        return {"signals.npz": pack_arrays(answers.arrays())}

    def load(self, files: Files, step: Step, context: Context) -> Signals:
        return Signals.from_arrays(unpack_arrays(files["signals.npz"]))


class AskedEverything(Stage):
    """What networks answer to every sample of the data set."""

    version = 1
    says = "asking {networks} every sample"

    def compute(self, step: Step, context: Context) -> Files:
        return references.ask(step, context)

    def load(self, files: Files, step: Step, context: Context) -> dict[str, Any]:
        return unpack_arrays(files["answers.npz"])


class WithCanaries(Stage):
    """What a victim says of canaries, trained anew on them; it needs the victim for its key."""

    version = 1
    says = "training {networks} with canaries"

    def settings(self, step: Step, context: Context) -> Any:
        return dict(step.options)

    def compute(self, step: Step, context: Context) -> Files:
        return networks.ask_canaries(step, context)

    def load(self, files: Files, step: Step, context: Context) -> Planted:
        privacy = unpack_json(files["privacy.json"])
        return Planted(**unpack_arrays(files["canaries.npz"]), privacy=privacy)


class Fit(Stage):
    """An attack, fitted on the shadow networks or the references."""

    version = 1
    says = "fitting {attack}"

    def needs(self, step: Step) -> list[Step]:
        if attack_class(step.attack).blind:
            return []
        asked = references.for_attack(step)
        return [*asked, *references.queried(step)] if asked else shadow_signals(step.exp, step.of)

    def settings(self, step: Step, context: Context) -> Any:
        attack = attacking.build(step, context)
        # a blind attack keeps the number of classes alone
        classes = context.facts(step.exp).classes if attack.blind else None
        return [step.attack, attack.version, attack.identity(), classes]

    def compute(self, step: Step, context: Context) -> Files:
        attack = attacking.build(step, context)
        asked = references.for_attack(step)
        if attack.blind:
            attack.restore({"n_classes_": np.array(context.facts(step.exp).classes)})
        elif asked:
            shadows = references.as_shadows(context, asked, references.queried(step))
            attacking.fit(attack, Signals.concatenate(shadows))
        else:
            shadows = [context.value(part) for part in self.needs(step)]
            attacking.fit(attack, Signals.concatenate(shadows))
        return {"attack.npz": pack_arrays(attack.learned())}

    def load(self, files: Files, step: Step, context: Context) -> Attack:
        return attacking.build(step, context).restore(unpack_arrays(files["attack.npz"]))


class _Decisions(Stage):
    """What an attack says of the victim's samples."""

    def load(self, files: Files, step: Step, context: Context) -> AttackResult:
        return AttackResult.unpack(files)


class Decided(_Decisions):
    """What a fitted attack says of the victim's samples."""

    version = 2
    says = "deciding by {attack}"

    def needs(self, step: Step) -> list[Step]:
        fit = Step("fit", step.exp, step.of, (), step.attack, step.options)
        signals = Step("signals", step.exp, step.of, step.group)
        return [fit, signals, *references.for_attack(step)]

    def compute(self, step: Step, context: Context) -> Files:
        fit, signals, *asked = self.needs(step)
        samples = [references.asked_of(context, step.exp, i) for i in step.group]
        target = context.value(signals)
        target = references.attach(context, asked, np.concatenate(samples), target)
        return attacking.judged(context.value(fit), target).pack()


class DecidedOnReleases(_Decisions):
    """What an attack says that sees several releases of each network at once."""

    version = 1
    says = "attacking {releases} releases by {attack}"

    def needs(self, step: Step) -> list[Step]:
        return [
            part
            for exp, of in step.releases
            for part in [*shadow_signals(exp, of), Step("signals", exp, of)]
        ]

    def settings(self, step: Step, context: Context) -> Any:
        attack = attacking.build(step, context)
        return [step.attack, attack.version, attack.identity()]

    def compute(self, step: Step, context: Context) -> Files:
        pair = attacking.release_signals(context, step.releases)
        attack = attacking.fit(attacking.build(step, context), pair.shadow)
        return attacking.judged(attack, pair.target).pack()


class Cost(Stage):
    """What the original, the pruned and the cut network cost to keep and to run."""

    version = 1
    says = "measuring what {networks} costs"

    def needs(self, step: Step) -> list[Step]:
        return [Step("pruned", step.exp, "pruned", step.group), *_original_of(step)]

    def compute(self, step: Step, context: Context) -> Files:
        pruned, original = (context.value(part)[0].module for part in self.needs(step))
        shape = context.dataset(step.exp).features.shape[1:]
        modules = {"original": original, "pruned": pruned, "cut": cutting.cut(pruned, shape)}
        costs = {name: asdict(cutting.cost(module, shape)) for name, module in modules.items()}
        return {"costs.json": pack_json(costs)}

    def load(self, files: Files, step: Step, context: Context) -> pd.DataFrame:
        costs = pd.DataFrame.from_dict(unpack_json(files["costs.json"]), orient="index")
        return costs.loc[["original", "pruned", "cut"]]


STAGES: Mapping[str, Stage] = {
    "original": Original(),
    "pruned": Pruned(),
    "signals": Queried(),
    "references": AskedEverything(),
    "canaries": WithCanaries(),
    "fit": Fit(),
    "attack": Decided(),
    "releases": DecidedOnReleases(),
    "cost": Cost(),
}
"""Every stage by name, after those that it needs."""
