"""`Lab`: the door to the pipeline. Each method asks for a step's result (`prunemia.lab.stages`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from prunemia import attacks, data
from prunemia.attacks import names as attack_names
from prunemia.experiment import Experiment
from prunemia.lab import attacking
from prunemia.lab import canaries as planting
from prunemia.lab import references as referring
from prunemia.lab import releases as releasing
from prunemia.lab.attacking import AttackResult, build
from prunemia.lab.canaries import Planted
from prunemia.lab.fingerprints import Facts
from prunemia.lab.fitting import TrainedModel
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.references import References
from prunemia.lab.steps import (
    VICTIM,
    Of,
    Release,
    Step,
    attack_step,
    groups,
    require_of,
    shadow_signals,
)
from prunemia.lab.tables import Tables
from prunemia.signals import SignalPair, Signals
from prunemia.store import Store


class Lab(Tables):
    """Where experiments are carried out and their results kept.

    Parameters
    ----------
    store : a folder; None: ``$PRUNEMIA_STORE``, else ``.prunemia/`` at the repository's root,
        else the user's cache folder.
    scheduler : the address of a Dask scheduler, as in ``tcp://127.0.0.1:8786``, whose workers carry
        out `map` and share the store's folder; None: this process does.
    device : where networks compute; None: cuda where there is one, else cpu.
    progress : show on stderr what is being computed.

    In every method ``of`` says which network: ``"pruned"`` and fine-tuned, or the ``"original"``.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        scheduler: str | None = None,
        device: str | torch.device | None = None,
        progress: bool = True,
    ) -> None:
        self.pipeline = Pipeline(store, device, progress)
        self.scheduler = scheduler

    @property
    def store(self) -> Store:
        """Where results are kept."""
        return self.pipeline.store

    @property
    def device(self) -> torch.device:
        """Where networks compute."""
        return self.pipeline.device

    def value(self, step: Step) -> Any:
        """Return a step's result, computed first where the store has none."""
        return self.pipeline.value(step)

    def dataset(self, exp: Experiment) -> data.Dataset:
        """Return the experiment's data set."""
        return self.pipeline.dataset(exp)

    def facts(self, exp: Experiment) -> Facts:
        """Return the fingerprint and shape of the experiment's data set."""
        return self.pipeline.facts(exp)

    def split(self, exp: Experiment, network: int = VICTIM) -> data.Split:
        """Return the samples of a network's parts; 0 is the victim, 1 … k the shadows."""
        return data.split(self.dataset(exp), exp.seed, network)

    def original(self, exp: Experiment, network: int = VICTIM) -> TrainedModel:
        """Return the unpruned network; 0 is the victim, 1 … k the shadows."""
        return self._network(exp, "original", network)

    def pruned(self, exp: Experiment, network: int = VICTIM) -> TrainedModel:
        """Return the pruned and fine-tuned network; 0 is the victim, 1 … k the shadows."""
        return self._network(exp, "pruned", network)

    def accuracies(self, exp: Experiment, of: Of = "pruned") -> pd.DataFrame:
        """Return one row per network (0 the victim, 1 … k the shadows).

        Columns: its accuracies on train, validation and test samples, 0 … 1, and its sparsity.
        """
        require_of(of)
        steps = [Step(of, exp, of, group) for group in groups(exp)]
        networks = [network for step in steps for network in self.pipeline.value(step)]
        rows = [network.accuracy | {"sparsity": network.sparsity} for network in networks]
        columns = ["train", "validation", "test", "sparsity"]
        return pd.DataFrame(rows, columns=columns).rename_axis("network")

    def signals(self, exp: Experiment, of: Of = "pruned") -> SignalPair:
        """Return what the adversary learns on and what it attacks.

        The shadow networks are pruned as ``exp.adversary`` assumes; the target is the victim as it
        is. Members are a network's training samples, non-members its test samples.
        """
        shadows = [self.pipeline.value(step) for step in shadow_signals(exp, of)]
        return SignalPair(Signals.concatenate(shadows), self.target(exp, of))

    def target(self, exp: Experiment, of: Of = "pruned") -> Signals:
        """Return what the adversary attacks: the victim's answers, with their membership."""
        require_of(of)
        signals: Signals = self.pipeline.value(Step("signals", exp, of))
        return signals

    def fitted(
        self, exp: Experiment, name: str, of: Of = "pruned", **options: Any
    ) -> attacks.Attack:
        """Return the attack, fitted on the shadow networks' signals.

        ``options`` go to the attack, e.g. ``recipe="paper"`` for samia. A learned attack is seeded
        by ``exp.seed``.

        Raises
        ------
        ValueError
            There is no such attack, option, or network (``of``).
        """
        attack: attacks.Attack = self.pipeline.value(self._step("fit", exp, name, of, options))
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

        Raises
        ------
        ValueError
            There is no such attack, option, or network (``of``).
        """
        if not isinstance(name, str):
            own = name(**options) if isinstance(name, type) else name.set_params(**options)
            pair = self.signals(exp, of)
            return attacking.own(own, pair.shadow, pair.target)
        result: AttackResult = self.pipeline.value(self._step("attack", exp, name, of, options))
        return result

    def releases(self, releases: Sequence[Release]) -> SignalPair:
        """Return what an adversary sees who holds several releases of one network.

        ``releases``: pairs of an experiment and which of its networks, e.g.
        ``[(exp, "original"), (exp, "pruned"), (exp.replace(bits=4), "pruned")]``. The shadow
        networks are released the same way. Both sides are `prunemia.signals.JointSignals`.

        Raises
        ------
        UsageError
            They do not share data, seed and shadows; there is none, or one comes twice.
        """
        return releasing.pair(self.pipeline, releasing.checked(releases))

    def attack_releases(
        self, releases: Sequence[Release], name: str, **options: Any
    ) -> AttackResult:
        """Attack several releases of the victim together: with one alone, as `attack` does.

        ``name``: conf, nncls or samia; ``options`` go to the attack (`prunemia.attacks.together`).

        Raises
        ------
        UsageError
            The releases do not belong together (`releases`).
        ValueError
            There is no such attack or option, or it takes one release alone.
        """
        step = releasing.step(releases, name, options)
        build(step, self.pipeline)  # refuses a wrong name or option before anything is computed
        result: AttackResult = self.pipeline.value(step)
        return result

    def cost(self, exp: Experiment) -> pd.DataFrame:
        """Return what the victim costs to keep and to run: original, pruned, and cut.

        Returns
        -------
        One row each, with the columns of `prunemia.pruning.Cost`. Times depend on the machine and
        its load: they are measured once and kept.
        """
        costs: pd.DataFrame = self.pipeline.value(Step("cost", exp))
        return costs

    def compare(
        self, exp: Experiment, attacks: Iterable[str] | None = None, of: Of = "pruned"
    ) -> pd.DataFrame:
        """Return one row per attack (None: all): accuracy, AUC, TPR at low FPR, with intervals."""
        names = attack_names() if attacks is None else tuple(attacks)
        rows = [{"attack": name} | self.attack(exp, name, of).evaluation.row() for name in names]
        return pd.DataFrame(rows)

    def references(
        self, exp: Experiment, of: Of = "pruned", count: int = 64, setting: str = "offline"
    ) -> References:
        """Return how ``count`` other networks answer the victim's samples, and who trained on them.

        ``setting``: "offline", shadow networks, none of which trained on them; "online", networks
        on the victim's half, about half of which trained on each. The order is that of `target`.

        Raises
        ------
        UsageError
            The setting or the count is not allowed.
        """
        asked = referring.steps(exp, of, count, setting)
        samples = referring.asked_of(self.pipeline, exp)
        return referring.gather(self.pipeline, asked, samples)

    def canaries(self, exp: Experiment, of: Of = "pruned", count: int = planting.COUNT) -> Planted:
        """Return what the victim says of canaries, trained anew on about half of them.

        A canary is one of the victim's test samples with a wrong label, included in training, and
        in fine-tuning, by the toss of a coin (`prunemia.data.plant`).
        `prunemia.audit.epsilon.in_few_runs` turns the guesses into a lower bound on ε.

        Raises
        ------
        UsageError
            There are too few canaries, or more than the victim has test samples.
        """
        require_of(of)
        planted: Planted = self.pipeline.value(planting.step(exp, of, count))
        return planted

    def _network(self, exp: Experiment, of: Of, network: int) -> TrainedModel:
        for group in groups(exp):
            if network in group:
                trained: list[TrainedModel] = self.pipeline.value(Step(of, exp, of, group))
                return trained[group.index(network)]
        raise ValueError(
            f"network: {network} is not allowed; allowed: 0 (the victim) to {exp.shadows}"
        )

    def _step(self, stage: str, exp: Experiment, name: str, of: Of, options: Any) -> Step:
        step = attack_step(exp, name, of, options)
        build(step, self.pipeline)  # refuses a wrong name or option before anything is computed
        return replace(step, stage="fit", group=()) if stage == "fit" else step
