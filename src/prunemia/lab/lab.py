"""The pipeline: an experiment in, artefacts out, each computed once.

Each stage's result is stored under the hash of what it depends on (`prunemia.keys`). The networks
of one group (the victim alone; shadows in stacks) are trained side by side and stored as one
artefact; an attack is fitted once on a set of shadow networks, whatever victims it then decides on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from prunemia import attacks, data
from prunemia.attacks import names as attack_names
from prunemia.experiment import Experiment
from prunemia.lab import keys, stages
from prunemia.lab import work as costs
from prunemia.lab.fingerprints import Facts, foreseen, origin, remembered
from prunemia.lab.keys import Side
from prunemia.lab.once import Computing, Files
from prunemia.lab.stages import VICTIM, TrainedModel
from prunemia.lab.steps import Of, Step
from prunemia.metrics import Evaluation, evaluate
from prunemia.models import one_thread
from prunemia.pruning import cutting
from prunemia.signals import SignalPair, Signals
from prunemia.store import Store, default_root, pack_arrays, pack_json, unpack_arrays, unpack_json


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What an attack said of the target's n samples, and how right it was.

    Attributes
    ----------
    scores : shape (n,), float64; larger = more likely a member, 0 = the threshold.
    predictions, membership : shape (n,), bool.
    evaluation : accuracy, AUC, TPR at low FPR, each with its 95 % interval.
    """

    scores: NDArray[np.float64]
    predictions: NDArray[np.bool_]
    membership: NDArray[np.bool_]
    evaluation: Evaluation


class Lab:
    """Where experiments are carried out and their results kept.

    Parameters
    ----------
    store : a folder; None: ``$PRUNEMIA_STORE``, else ``.prunemia/`` at the repository's root,
        else the user's cache folder.
    scheduler : the address of a Dask scheduler, as in ``tcp://127.0.0.1:8786``, whose workers carry
        out `map` and share the store's folder; None: this process does.
    device : where networks compute; None: cuda where there is one, else cpu.
    progress : show on stderr what is being computed.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        scheduler: str | None = None,
        device: str | torch.device | None = None,
        progress: bool = True,
    ) -> None:
        self.store = Store(default_root() if store is None else Path(store))
        self.scheduler = scheduler
        self.asked_device = None if device is None else str(device)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.progress = progress
        self._facts: dict[str, Facts] = {}
        self._foresees = False
        self._computing = Computing(self.store, progress)

    def dataset(self, exp: Experiment) -> data.Dataset:
        """Return the experiment's data set."""
        return _dataset(exp.dataset, exp.samples, origin(exp.dataset, exp.samples))

    def facts(self, exp: Experiment) -> Facts:
        """Return the fingerprint and shape of the experiment's data set; read once, then remembered in the store."""
        key = origin(exp.dataset, exp.samples)
        if key not in self._facts:
            find = foreseen if self._foresees else remembered
            self._facts[key] = find(self.store, exp.dataset, exp.samples, lambda: self.dataset(exp))
        return self._facts[key]

    def planner(self) -> Lab:
        """Return a lab that knows what is in the store and reads no published data: for plans."""
        lab = Lab(self.store.root, self.scheduler, self.asked_device, progress=False)
        lab._foresees = True
        return lab

    def split(self, exp: Experiment, network: int = VICTIM) -> data.Split:
        """Return which rows a network trains, validates and tests on; 0 is the victim, 1 … k the shadows."""
        return data.split(self.dataset(exp), exp.seed, network)

    def original(self, exp: Experiment, network: int = VICTIM) -> TrainedModel:
        """Return the unpruned network; 0 is the victim, 1 … k the shadows."""
        return self._network(exp, "original", network)

    def pruned(self, exp: Experiment, network: int = VICTIM) -> TrainedModel:
        """Return the pruned and fine-tuned network; 0 is the victim, 1 … k the shadows."""
        return self._network(exp, "pruned", network)

    def accuracies(self, exp: Experiment, of: Of = "pruned") -> pd.DataFrame:
        """Return one row a network (0 the victim, 1 … k the shadows): its accuracies (0 … 1) and sparsity."""
        networks = [
            network for group in keys.groups(exp) for network in self._networks((exp, of, group))
        ]
        rows = [n.accuracy | {"sparsity": n.sparsity} for n in networks]
        return pd.DataFrame(rows, columns=["train", "validation", "test", "sparsity"]).rename_axis(
            "network"
        )

    def signals(self, exp: Experiment, of: Of = "pruned") -> SignalPair:
        """Return what the adversary learns on and what it attacks.

        The shadow networks are pruned as ``exp.adversary`` assumes; the target is the victim as it
        is. Members are a network's training rows, non-members its test rows.
        """
        return SignalPair(self._shadow_signals(exp, of), self.target(exp, of))

    def target(self, exp: Experiment, of: Of = "pruned") -> Signals:
        """Return what the adversary attacks: the victim's answers, with their membership."""
        return self._signals((exp, of, (VICTIM,)))

    def fitted(
        self, exp: Experiment, name: str, of: Of = "pruned", **options: Any
    ) -> attacks.Attack:
        """Return the attack, fitted on the shadow networks' signals.

        ``options`` go to the attack, e.g. ``recipe="paper"`` for samia. A learned attack is seeded
        by ``exp.seed``.

        Raises
        ------
        ValueError
            There is no such attack, option, or side (``of``).
        """
        return self._fitted(self._prepare(name, exp, options), exp, name, of)

    def attack(self, exp: Experiment, name: str, of: Of = "pruned", **options: Any) -> AttackResult:
        """Fit the attack (as `fitted`) and decide on the victim's samples.

        Raises
        ------
        ValueError
            There is no such attack, option, or side (``of``).
        """
        attack = self._prepare(name, exp, options)
        victim: Side = (exp, of, (VICTIM,))
        key = keys.attack(self._fit_key(attack, exp, name, of), self._signals_key(victim))

        def compute() -> Files:
            return _decide(self._fitted(attack, exp, name, of), self._signals(victim))

        files = self._stored(
            Step("attack", key, *victim, name),
            f"{name} on the {of} network, {_title(exp)}",
            compute,
        )
        arrays = unpack_arrays(files["decisions.npz"])
        evaluation = Evaluation.from_dict(unpack_json(files["evaluation.json"]))
        return AttackResult(
            arrays["scores"], arrays["predictions"], arrays["membership"], evaluation
        )

    def cost(self, exp: Experiment) -> pd.DataFrame:
        """Return what the victim costs to keep and to run: original, pruned, and cut (`cutting.cut`).

        Returns
        -------
        One row each, with the columns of `cutting.Cost`. Times depend on the machine and its load:
        they are measured once and kept.
        """
        side: Side = (exp, "pruned", (VICTIM,))

        def compute() -> Files:
            shape = self.dataset(exp).features.shape[1:]
            pruned = self.pruned(exp).module
            modules = {
                "original": self.original(exp).module,
                "pruned": pruned,
                "cut": cutting.cut(pruned, shape),
            }
            return {
                "costs.json": pack_json(
                    {name: asdict(cutting.cost(m, shape)) for name, m in modules.items()}
                )
            }

        step = Step("cost", keys.cost(side, self.facts(exp).fingerprint), *side)
        files = self._stored(step, f"cost of the victim, {_title(exp)}", compute)
        return pd.DataFrame.from_dict(unpack_json(files["costs.json"]), orient="index").loc[
            ["original", "pruned", "cut"]
        ]

    def compare(
        self, exp: Experiment, attacks: Iterable[str] | None = None, of: Of = "pruned"
    ) -> pd.DataFrame:
        """Return one row an attack (None: all), with accuracy, AUC and TPR at low FPR and their intervals."""
        names = attack_names() if attacks is None else tuple(attacks)
        return pd.DataFrame(
            [{"attack": name} | self.attack(exp, name, of).evaluation.row() for name in names]
        )

    def map(
        self,
        experiments: Iterable[Experiment],
        attacks: Iterable[str] | None = None,
        of: Of | Iterable[Of] = "pruned",
        errors: Literal["raise", "collect"] = "raise",
    ) -> pd.DataFrame:
        """Return one row an (experiment, of, attack): the experiment's fields, then the evaluation.

        Whatever can be computed is, whatever fails. The rows of what failed are missing; at the end
        comes a `sweep.SweepError`, whose ``table`` has the others, or with ``errors="collect"`` the
        table, whose ``attrs["failures"]`` lists for each failed experiment its key, its description
        and the error.

        Raises
        ------
        ValueError
            There is no such attack or side (``of``); nothing was computed.
        prunemia.sweep.SweepError
            Experiments failed, and ``errors`` is "raise".
        """
        from prunemia.lab import map as sweep

        return sweep.sweep(self, experiments, attacks, of, errors)

    def steps(self, exp: Experiment, names: Iterable[str], of: Of) -> list[Step]:
        """Return the steps to the attacks' results, inputs first; several may have the same name."""
        victim: Side = (exp, of, (VICTIM,))
        shadows = [self._side_steps(side) for side in keys.shadow_sides(exp, of)]
        target = self._side_steps(victim)
        found = [step for side in (*shadows, target) for step in side]
        for name in names:
            attack = self._prepare(name, exp, {})
            needs = [target[-1].name]
            fit = self._fit_key(attack, exp, name, of)
            if not attack.blind:
                learned_on = tuple(side[-1].name for side in shadows)
                found.append(Step("fit", fit, exp, of, (), name, learned_on))
                needs.append(found[-1].name)
            found.append(
                Step("attack", keys.attack(fit, target[-1].key), *victim, name, tuple(needs))
            )
        return found

    def _side_steps(self, side: Side) -> list[Step]:
        """Return the steps to one side's signals, inputs first."""
        exp, of, group = side
        steps: list[Step] = []
        stages: tuple[Of, ...] = ("original", "pruned") if of == "pruned" else ("original",)
        for stage in stages:
            needs = tuple(step.name for step in steps[-1:])
            steps.append(
                Step(stage, self._networks_key((exp, stage, group)), exp, stage, group, "", needs)
            )
        return [*steps, Step("signals", self._signals_key(side), *side, "", (steps[-1].name,))]

    def carry_out(self, step: Step) -> None:
        """See to it that the step's artefact, and those that it needs, are in the store."""
        if step.stage == "attack":
            self.attack(step.exp, step.attack, step.of)
        elif step.stage == "fit":
            self.fitted(step.exp, step.attack, step.of)
        elif step.stage == "signals":
            self._signals((step.exp, step.of, step.group))
        else:
            self._networks((step.exp, step.of, step.group))

    def work(self, step: Step) -> costs.Work:
        """Return how much work a step is, without what it needs."""
        facts = self.facts(step.exp)
        if step.stage == "attack":
            return costs.of_attack(step.attack, facts)
        if step.stage == "fit":
            return costs.of_fit(step.exp.assumed(), step.attack, facts)
        if step.stage == "cost":
            return costs.of_cutting(step.exp)
        if step.stage == "signals":
            return costs.of_query(step.exp, facts, len(step.group))
        return costs.of_network(step.exp, step.stage, facts, len(step.group))

    def _prepare(self, name: str, exp: Experiment, options: dict[str, Any]) -> attacks.Attack:
        kind = attacks.get(name)
        allowed = kind().get_params()
        if unknown := sorted(options.keys() - allowed.keys()):
            raise ValueError(
                f"{name}: no option {', '.join(unknown)}; allowed: {', '.join(sorted(allowed)) or 'none'}"
            )
        given = {"seed": exp.seed, "device": str(self.device), "progress": self.progress}
        return kind(**{k: v for k, v in given.items() if k in allowed} | options)

    def _network(self, exp: Experiment, of: Of, network: int) -> TrainedModel:
        for group in keys.groups(exp):
            if network in group:
                return self._networks((exp, of, group))[group.index(network)]
        raise ValueError(
            f"network: {network} is not allowed; allowed: 0 (the victim) to {exp.shadows}"
        )

    def _networks(self, side: Side) -> list[TrainedModel]:
        exp, of, group = side
        dataset = self.dataset(exp)
        who = "victim" if group == (VICTIM,) else f"shadow networks {group[0]}–{group[-1]}"
        title = f"{'training' if of == 'original' else 'pruning'} the {who}, {_title(exp, of)}"

        def compute() -> Files:
            if of == "original":
                with self._computing.bar(title, exp.training_epochs) as report:
                    return stages.pack(stages.train(exp, dataset, group, self.device, report))
            originals = self._networks((exp, "original", group))
            with self._computing.bar(title, exp.tuning_epochs) as report:
                return stages.pack(
                    stages.prune(exp, dataset, group, originals, self.device, report)
                )

        files = self._stored(Step(of, self._networks_key(side), *side), title, compute)
        return stages.unpack(files, exp, dataset, self.device)

    def _stored(self, step: Step, title: str, compute: Callable[[], Files]) -> Files:
        def note() -> dict[str, Any]:
            work = self.work(step)
            return {"kind": work.kind, "work": work.amount, "device": self.device.type}

        return self._computing.once(step.stage, step.key, title, compute, note)

    def _networks_key(self, side: Side) -> str:
        return keys.networks(side, self.facts(side[0]).fingerprint)

    def _signals(self, side: Side) -> Signals:
        exp, of, group = side

        def compute() -> Files:
            asked = stages.ask(exp, self.dataset(exp), group, self._networks(side), self.device)
            return {"signals.npz": pack_arrays(asked.arrays())}

        step = Step("signals", self._signals_key(side), *side)
        files = self._stored(step, f"signals, {_title(exp, of)}", compute)
        return Signals(**unpack_arrays(files["signals.npz"]))

    def _signals_key(self, side: Side) -> str:
        return keys.signals(side, self.facts(side[0]).fingerprint)

    def _shadow_signals(self, exp: Experiment, of: Of) -> Signals:
        return Signals.concatenate([self._signals(side) for side in keys.shadow_sides(exp, of)])

    def _fitted(self, attack: attacks.Attack, exp: Experiment, name: str, of: Of) -> attacks.Attack:
        if attack.blind:
            return attack.restore({"n_classes_": np.array(self.facts(exp).classes)})

        def compute() -> Files:
            shadow = self._shadow_signals(exp, of)
            with _same_bits():
                return {"attack.npz": pack_arrays(attack.fit(shadow).learned())}

        step = Step("fit", self._fit_key(attack, exp, name, of), exp, of, (), name)
        files = self._stored(
            step, f"fitting {name} on {of} shadow networks, {_title(exp.assumed())}", compute
        )
        return attack.restore(unpack_arrays(files["attack.npz"]))

    def _fit_key(self, attack: attacks.Attack, exp: Experiment, name: str, of: Of) -> str:
        return keys.fit(
            attack, name, [self._signals_key(side) for side in keys.shadow_sides(exp, of)]
        )


@contextlib.contextmanager
def _same_bits() -> Iterator[None]:
    """Compute on one thread: the same bits on any machine load and in any worker."""
    with one_thread(), threadpool_limits(1):
        yield


def _decide(attack: attacks.Attack, target: Signals) -> Files:
    membership = target.require_membership()
    with _same_bits():
        scores = attack.decision_function(target.observed())
        predictions = scores >= 0
        evaluation = evaluate(membership, scores, predictions, ranks=attack.ranks)
    decisions = {"scores": scores, "predictions": predictions, "membership": membership}
    return {
        "decisions.npz": pack_arrays(decisions),
        "evaluation.json": pack_json(evaluation.to_dict()),
    }


def _title(exp: Experiment, of: Of = "pruned") -> str:
    how = f", {exp.pruner} {exp.sparsity:g}" if of == "pruned" else ""
    if of == "pruned" and exp.defense != "none":
        strength = exp.defense_strength
        how += f", {exp.defense}" + ("" if strength is None else f" {strength:g}")
    return f"{Path(exp.dataset).name}/{exp.model}{how}, seed {exp.seed}"


@lru_cache(maxsize=4)
def _dataset(name: str, samples: int | None, _origin: str) -> data.Dataset:
    return data.load(name, samples)
