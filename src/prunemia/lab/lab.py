"""`Lab`: the door to the pipeline. Each method asks for results (`prunemia.lab.stages`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch

from prunemia import attacks, data
from prunemia.attacks import names as attack_names
from prunemia.experiment import Experiment
from prunemia.lab import attacking, effects, lengths, references, sweep
from prunemia.lab.attacking import AttackResult
from prunemia.lab.context import Context
from prunemia.lab.networks import CANARIES, Planted, TrainedModel, canaries_step
from prunemia.lab.references import InTurn, References
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import (
    VICTIM,
    Of,
    Release,
    Step,
    attack_step,
    checked_releases,
    groups,
    release_step,
    require_of,
    shadow_signals,
)
from prunemia.signals import SignalPair, Signals
from prunemia.store import Store


class Lab:
    """Where experiments are carried out and their results kept.

    Parameters
    ----------
    store : a folder; None: ``$PRUNEMIA_STORE``, else ``.prunemia/`` at the repository's root,
        else the user's cache folder.
    scheduler : the address of a Dask scheduler, as in ``tcp://127.0.0.1:8786``, whose workers carry
        out tables of many experiments and share the store's folder; None: this process does.
    device : where networks compute; None: cuda where there is one, else cpu.
    progress : show on stderr what is being computed.

    In every method ``of`` says which network: ``"pruned"`` and fine-tuned, or the ``"original"``;
    ``network`` which one: 0 the victim, 1 … k the shadows. What is not allowed (an attack, an
    option, a network, a count) is refused with a ValueError before anything is computed.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        scheduler: str | None = None,
        device: str | torch.device | None = None,
        progress: bool = True,
    ) -> None:
        self.context = Context(STAGES, store, device, progress)
        self.scheduler = scheduler

    @property
    def store(self) -> Store:
        """Where results are kept."""
        return self.context.store

    @property
    def device(self) -> torch.device:
        """Where networks compute."""
        return self.context.device

    def value(self, step: Step) -> Any:
        """Return a step's result, computed first where the store has none."""
        return self.context.value(step)

    def run(self, steps: Iterable[Step]) -> None:
        """See to it that the store has these steps' results, computed on the scheduler if any.

        If some fail, all others are carried out before a `prunemia.lab.sweep.SweepError` is raised.
        """
        planned = sweep.plan(self.context, steps)
        errors = sweep.compute(planned, self.scheduler)
        if failures := planned.failures(errors):
            raise sweep.SweepError(failures, pd.DataFrame())

    def dataset(self, exp: Experiment) -> data.Dataset:
        """Return the experiment's data set."""
        return self.context.dataset(exp)

    def split(self, exp: Experiment, network: int = VICTIM) -> data.Split:
        """Return the samples of a network's parts."""
        return data.split(self.dataset(exp), exp.seed, network)

    def original(self, exp: Experiment, network: int = VICTIM) -> TrainedModel:
        """Return an unpruned network."""
        return self._network(exp, "original", network)

    def pruned(self, exp: Experiment, network: int = VICTIM) -> TrainedModel:
        """Return a pruned and fine-tuned network."""
        return self._network(exp, "pruned", network)

    def accuracies(self, exp: Experiment, of: Of = "pruned") -> pd.DataFrame:
        """Return one row per network (0 the victim, 1 … k the shadows).

        Columns: its accuracies on train, validation and test samples, 0 … 1, and its sparsity.
        """
        require_of(of)
        networks = [net for group in groups(exp) for net in self.value(Step(of, exp, of, group))]
        rows = [network.accuracy | {"sparsity": network.sparsity} for network in networks]
        columns = ["train", "validation", "test", "sparsity"]
        return pd.DataFrame(rows, columns=columns).rename_axis("network")

    def signals(self, exp: Experiment, of: Of = "pruned") -> SignalPair:
        """Return what the adversary learns on and what it attacks.

        The shadow networks are pruned as ``exp.adversary`` assumes; the target is the victim as it
        is. Members are a network's training samples, non-members its test samples.
        """
        shadows = [self.value(step) for step in shadow_signals(exp, of)]
        return SignalPair(Signals.concatenate(shadows), self.target(exp, of))

    def target(self, exp: Experiment, of: Of = "pruned") -> Signals:
        """Return what the adversary attacks: the victim's answers, with their membership."""
        require_of(of)
        signals: Signals = self.value(Step("signals", exp, of))
        return signals

    def fitted(
        self, exp: Experiment, name: str, of: Of = "pruned", **options: Any
    ) -> attacks.Attack:
        """Return the attack, fitted on the shadow networks' signals.

        ``options`` go to the attack, e.g. ``recipe="paper"`` for samia. A learned attack is seeded
        by ``exp.seed``.
        Another attack, option or network (``of``) is refused with a ValueError.
        """
        step = replace(attack_step(exp, name, of, options), stage="fit", group=())
        attack: attacks.Attack = self._attacked(step)
        return attack

    def attack(
        self,
        exp: Experiment,
        name: str | type[attacks.Attack] | attacks.Attack,
        of: Of = "pruned",
        **options: Any,
    ) -> AttackResult:
        """Fit an attack on the shadow networks (as `fitted`) and decide on the victim's samples.

        ``name`` can be an attack of your own, a class or an instance of `Attack`: it gets the same
        signals, and its result is not stored.

        >>> lab = Lab()  # doctest: +SKIP
        >>> lab.attack(Experiment(), "conf").evaluation  # doctest: +SKIP
        >>> lab.attack(Experiment(), MyAttack).evaluation.auc  # doctest: +SKIP
        """
        if not isinstance(name, str):
            own = name(**options) if isinstance(name, type) else name.set_params(**options)
            pair = self.signals(exp, of)
            return attacking.judged(attacking.fit(own, pair.shadow), pair.target)
        result: AttackResult = self._attacked(attack_step(exp, name, of, options))
        return result

    def releases(self, releases: Sequence[Release]) -> SignalPair:
        """Return what an adversary sees who holds several releases of one network.

        ``releases``: pairs of an experiment and which of its networks, e.g.
        ``[(exp, "original"), (exp, "pruned"), (exp.replace(bits=4), "pruned")]``. The shadow
        networks are released the same way. Both sides are `prunemia.signals.JointSignals`.
        A UsageError where releases do not share data, seed and shadows, or one comes twice.
        """
        return attacking.release_signals(self.context, checked_releases(releases))

    def attack_releases(
        self, releases: Sequence[Release], name: str, **options: Any
    ) -> AttackResult:
        """Attack several releases of the victim together: with one alone, as `attack` does.

        ``name``: conf, nncls or samia; ``options`` go to the attack (`prunemia.attacks.together`).
        """
        result: AttackResult = self._attacked(release_step(releases, name, options))
        return result

    def compare(
        self, exp: Experiment, attacks: Iterable[str] | None = None, of: Of = "pruned"
    ) -> pd.DataFrame:
        """Return one row per attack (None: all): accuracy, AUC, TPR at low FPR, with intervals."""
        names = attack_names() if attacks is None else tuple(attacks)
        rows = [{"attack": name} | self.attack(exp, name, of).evaluation.row() for name in names]
        return pd.DataFrame(rows)

    def cost(self, exp: Experiment) -> pd.DataFrame:
        """Return what the victim costs to keep and to run: original, pruned, and cut.

        One row each, with the columns of `prunemia.pruning.Cost`. Times depend on the machine and
        its load: they are measured once and kept.
        """
        costs: pd.DataFrame = self.value(Step("cost", exp))
        return costs

    def references(
        self, exp: Experiment, of: Of = "pruned", count: int = 64, setting: str = "offline"
    ) -> References:
        """Return how ``count`` other networks answer the victim's samples, and who trained on them.

        ``setting``: "offline", shadow networks, none of which trained on them; "online", networks
        on the victim's half, about half of which trained on each. The order is that of `target`.
        """
        asked = references.steps(exp, of, count, setting)
        return references.gather(self.context, asked, references.asked_of(self.context, exp))

    def in_turn(
        self, exp: Experiment, of: Of = "pruned", count: int = 64, attacks: Iterable[str] = ()
    ) -> InTurn:
        """Return what attacks say of each of ``count`` networks, every one a victim in turn.

        The networks are trained on the victim's half as the victim is; the others are each one's
        references. The scores of `prunemia.lab.references.BY_REFERENCES` come of themselves,
        ``attacks`` are fitted on the shadow networks.
        """
        names = _checked(list(attacks))
        self.run(references.steps_in_turn(exp, of, count, names))
        return references.in_turn(self.context, exp, of, count, names)

    def canaries(self, exp: Experiment, of: Of = "pruned", count: int = CANARIES) -> Planted:
        """Return what the victim says of canaries, trained anew on about half of them.

        A canary is one of the victim's test samples with a wrong label, included in training, and
        in fine-tuning, by the toss of a coin (`prunemia.data.plant`).
        `prunemia.audit.epsilon.in_few_runs` turns the guesses into a lower bound on ε. A UsageError
        where there are too few canaries, or more than the victim has test samples.
        """
        require_of(of)
        planted: Planted = self.value(canaries_step(exp, of, count))
        return planted

    def map(
        self,
        experiments: Iterable[Experiment],
        attacks: Iterable[str] | None = None,
        of: Of | Iterable[Of] = "pruned",
        errors: Literal["raise", "collect"] = "raise",
    ) -> pd.DataFrame:
        """Return one row per (experiment, of, attack): the experiment's fields, the evaluation.

        Whatever can be computed is, whatever fails. The rows of what failed are missing; at the end
        comes a `prunemia.lab.sweep.SweepError`, whose ``table`` has the others, or with
        ``errors="collect"`` the table, whose ``attrs["failures"]`` lists for each failed experiment
        its key, its description and the error.

        Raises
        ------
        ValueError
            There is no such attack or network (``of``); nothing was computed.
        prunemia.lab.sweep.SweepError
            Experiments failed, and ``errors`` is "raise".
        """
        if errors not in ("raise", "collect"):
            raise ValueError(f"errors: {errors!r} is not allowed; allowed: raise, collect")
        planned = sweep.plan(self.context, table_steps(experiments, attacks, of))
        failed = sweep.compute(planned, self.scheduler)
        table = sweep.tabulate(planned, failed)
        failures = planned.failures(failed)
        if failures and errors == "raise":
            raise sweep.SweepError(failures, table)
        table.attrs["failures"] = [
            {"key": f.exp.key, "experiment": str(f.exp), "error": f.error} for f in failures
        ]
        return table

    def effects(
        self, experiments: Iterable[Experiment], attacks: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Return what pruning and fine-tuning do to the leak: one row per (run, measure, effect).

        Columns: the experiment's fields; measure, attack ("" for the divergence), label (a class,
        -1 for all); original, dense, pruned: its value on each network; effect ("total",
        "training", "pruning") and its value (`prunemia.lab.effects`). Each experiment is its own
        control's partner, so whatever is compared is paired.
        """
        todo, names = self._required(experiments, attacks, effects.steps)
        return effects.effects(self.context, todo, names)

    def along_epochs(
        self, experiments: Iterable[Experiment], attacks: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Return accuracies and leakage along the epochs of training and fine-tuning.

        One row per (network, attack, measure) with the roles and epochs of
        `prunemia.lab.lengths.networks`, the victim's ``train_accuracy`` and ``test_accuracy``, and
        the attack's ``value`` of the measure ("accuracy", "AUC"). A network that several of the
        experiments share is there once, with the fields of the first: dense ones once per run.
        """
        todo, names = self._required(experiments, attacks, lengths.steps)
        return lengths.points(self.context, todo, names)

    def excess(
        self, experiments: Iterable[Experiment], attacks: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Return what each pruned network leaks beyond dense ones that are like it.

        One row per (run, attack, measure, comparator): ``value``, ``expected``, ``excess``, and
        the differences in accuracy that come with it; NaN where there is no comparator
        (`prunemia.lab.lengths.excess`).
        """
        return lengths.excess(self.along_epochs(experiments, attacks))

    def _required(
        self,
        experiments: Iterable[Experiment],
        attacks: Iterable[str] | None,
        steps: Callable[[Experiment, Sequence[str]], Sequence[Step]],
    ) -> tuple[list[Experiment], list[str]]:
        """Carry out these steps for each experiment; return experiments and attacks, each once."""
        todo, names = list(dict.fromkeys(experiments)), _checked(attacks)
        self.run(step for exp in todo for step in steps(exp, names))
        return todo, names

    def _network(self, exp: Experiment, of: Of, network: int) -> TrainedModel:
        for group in groups(exp):
            if network in group:
                trained: list[TrainedModel] = self.value(Step(of, exp, of, group))
                return trained[group.index(network)]
        raise ValueError(
            f"network: {network} is not allowed; allowed: 0 (the victim) to {exp.shadows}"
        )

    def _attacked(self, step: Step) -> Any:
        attacking.build(step, self.context)  # refuses a wrong name or option before any training
        return self.value(step)


def table_steps(
    experiments: Iterable[Experiment], attacks: Iterable[str] | None, of: Of | Iterable[Of]
) -> list[Step]:
    """Return the steps to a table's rows, each once; ValueError for a wrong attack or network."""
    names = _checked(attacks)
    which: list[Any] = list(dict.fromkeys([of] if isinstance(of, str) else of))
    for network in which:
        require_of(network)
    todo = dict.fromkeys(experiments)
    return [attack_step(exp, name, each) for exp in todo for each in which for name in names]


def _checked(names: Iterable[str] | None) -> list[str]:
    """Return the attacks (None: all), each once; ValueError where there is none of that name."""
    if names is None:
        names = attack_names()
    found = list(dict.fromkeys([names] if isinstance(names, str) else names))
    for name in found:
        attacks.get(name)
    return found
