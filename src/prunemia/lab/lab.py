"""`Lab`: the door to the pipeline. Each method asks for results (`prunemia.lab.stages`)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
import torch

from prunemia import attacks
from prunemia.attacks import names as attack_names
from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.lab import attacking, effects, lengths, references, steps, sweep
from prunemia.lab.attacking import AttackResult
from prunemia.lab.context import Context
from prunemia.lab.networks import Planted, TrainedModel
from prunemia.lab.references import InTurn, References
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import VICTIM, Of, Release, Step, attack_step, shadow_signals
from prunemia.signals import SignalPair, Signals

FEWEST_CANARIES = 4  # half of them are guessed, one of those on each side


class Lab(Context):
    """Where experiments are carried out and their results kept.

    ``store``: a folder; None: ``$PRUNEMIA_STORE``, else ``.prunemia/`` of the repository, else the
    user's cache folder. ``scheduler``: of Dask, whose workers carry out tables and share the store;
    None: this process. ``device``: None: cuda where there is one. ``progress``: shown on stderr.

    In every method ``of`` says which network, ``"pruned"`` and fine-tuned or the ``"original"``,
    and ``network`` whose: 0 the victim's, 1 … k the shadows'. ValueError, before anything is
    computed, for what is not allowed.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        scheduler: str | None = None,
        device: str | torch.device | None = None,
        progress: bool = True,
    ) -> None:
        super().__init__(STAGES, store, device, progress)
        self.scheduler = scheduler

    def run(self, steps: Iterable[Step]) -> None:
        """See to it that the store has these results; a SweepError at the end, if some fail."""
        planned = sweep.Plan(self, steps)
        planned.compute(self.scheduler)
        if failures := planned.failures():
            raise sweep.SweepError(failures, pd.DataFrame())

    def tabulate(self, cases: Iterable[effects.Case]) -> pd.DataFrame:
        """Carry out the steps of cases (`prunemia.lab.effects.Case`), and read their rows."""
        todo = list(cases)
        self.run(step for _, needed, _ in todo for step in needed)
        return pd.DataFrame(
            {**about, **row}
            for about, needed, read in todo
            for row in read(*(self.value(step) for step in needed))
        )

    def original(self, exp: Experiment, network: int = VICTIM) -> TrainedModel:
        """Return an unpruned network."""
        return self._network(exp, "original", network)

    def pruned(self, exp: Experiment, network: int = VICTIM) -> TrainedModel:
        """Return a pruned and fine-tuned network."""
        return self._network(exp, "pruned", network)

    def _network(self, exp: Experiment, of: Of, network: int) -> TrainedModel:
        for group in steps.groups(exp):
            if network in group:
                trained: list[TrainedModel] = self.value(Step(of, exp, of, group))
                return trained[group.index(network)]
        allowed = f"0 (the victim) to {exp.shadows}"
        raise ValueError(f"network: {network} is not allowed; allowed: {allowed}")

    def accuracies(self, exp: Experiment, of: Of = "pruned") -> pd.DataFrame:
        """Return a row per network: train, validation and test accuracy, 0 … 1, and sparsity."""
        networks = [
            net for group in steps.groups(exp) for net in self.value(Step(of, exp, of, group))
        ]
        rows = [network.accuracy | {"sparsity": network.sparsity} for network in networks]
        columns = ["train", "validation", "test", "sparsity"]
        return pd.DataFrame(rows, columns=columns).rename_axis("network")

    def signals(self, exp: Experiment, of: Of = "pruned") -> SignalPair:
        """Return what the adversary learns on, shadows as it assumes, and what it attacks."""
        shadows = [self.value(step) for step in shadow_signals(exp, of)]
        return SignalPair(Signals.concatenate(shadows), self.target(exp, of))

    def target(self, exp: Experiment, of: Of = "pruned") -> Signals:
        """Return what the adversary attacks: the victim's answers, with their membership."""
        signals: Signals = self.value(Step("signals", exp, of))
        return signals

    def fitted(
        self, exp: Experiment, name: str, of: Of = "pruned", **options: Any
    ) -> attacks.Attack:
        """Return the attack, with ``options`` (as a recipe), fitted on the shadow networks."""
        step = replace(attack_step(exp, name, of, options), stage="fit", group=())
        return cast(attacks.Attack, self.value(step))

    def attack(
        self,
        exp: Experiment,
        name: str | type[attacks.Attack] | attacks.Attack,
        of: Of = "pruned",
        **options: Any,
    ) -> AttackResult:
        """Fit an attack (an `Attack` of your own is not stored), decide on the victim's samples."""
        if not isinstance(name, str):
            own = name(**options) if isinstance(name, type) else name.set_params(**options)
            pair = self.signals(exp, of)
            return attacking.judged(attacking.fit(own, pair.shadow), pair.target)
        return cast(AttackResult, self.value(attack_step(exp, name, of, options)))

    def releases(self, releases: Sequence[Release]) -> SignalPair:
        """Return what an adversary sees who holds several releases of one network.

        They are pairs, as in ``[(exp, "original"), (exp.replace(bits=4), "pruned")]``.
        """
        return attacking.release_signals(self, steps.checked_releases(releases))

    def attack_releases(
        self, releases: Sequence[Release], name: str, **options: Any
    ) -> AttackResult:
        """Attack several releases of the victim together, by conf, nncls or samia."""
        return cast(AttackResult, self.value(steps.release_step(releases, name, options)))

    def compare(
        self, exp: Experiment, attacks: Iterable[str] | None = None, of: Of = "pruned"
    ) -> pd.DataFrame:
        """Return one row per attack (None: all): accuracy, AUC, TPR at low FPR, with intervals."""
        names = attack_names() if attacks is None else tuple(attacks)
        rows = [{"attack": name} | self.attack(exp, name, of).evaluation.row() for name in names]
        return pd.DataFrame(rows)

    def cost(self, exp: Experiment) -> pd.DataFrame:
        """Return the `prunemia.pruning.Cost` of the original, the pruned and the cut victim."""
        return cast(pd.DataFrame, self.value(Step("cost", exp)))

    def references(
        self, exp: Experiment, of: Of = "pruned", count: int = 64, setting: str = "offline"
    ) -> References:
        """Return how ``count`` others, of which "online" half trained on them, answer `target`."""
        asked = references.steps(exp, of, count, setting)
        return references.gather(self, asked, self.split(exp).asked)

    def in_turn(
        self, exp: Experiment, of: Of = "pruned", count: int = 64, attacks: Iterable[str] = ()
    ) -> InTurn:
        """Return what attacks say of each of ``count`` networks, every one a victim in turn.

        They are one another's references; ``attacks`` are fitted on shadows.
        """
        names = _checked(attacks)
        self.run(references.steps_in_turn(exp, of, count, names))
        return references.in_turn(self, exp, of, count, names)

    def canaries(self, exp: Experiment, of: Of = "pruned", count: int = 200) -> Planted:
        """Return what the victim, trained anew on half of them, says of canaries: wrong labels.

        `prunemia.audit.epsilon.in_few_runs` turns the guesses into a lower bound on ε.
        """
        if not isinstance(count, int) or count < FEWEST_CANARIES or exp.bits is not None:
            allowed = f"a number from {FEWEST_CANARIES}, in networks that are not rounded"
            raise UsageError(f"canaries: {count!r} is not allowed; allowed: {allowed}")
        return cast(Planted, self.value(Step("canaries", exp, of, options=(("count", count),))))

    def map(
        self,
        experiments: Iterable[Experiment],
        attacks: Iterable[str] | None = None,
        of: Of | Iterable[Of] = "pruned",
        errors: Literal["raise", "collect"] = "raise",
    ) -> pd.DataFrame:
        """Return one row per (experiment, of, attack): the experiment's fields, the evaluation.

        If some fails, a SweepError has the other rows as its ``table``; with ``errors="collect"``
        the table comes, with ``attrs["failures"]``.
        """
        if errors not in ("raise", "collect"):
            raise ValueError(f"errors: {errors!r} is not allowed; allowed: raise, collect")
        planned = sweep.Plan(self, table_steps(experiments, attacks, of))
        planned.compute(self.scheduler)
        table, failures = planned.table(), planned.failures()
        if failures and errors == "raise":
            raise sweep.SweepError(failures, table)
        table.attrs["failures"] = [
            {"key": exp.key, "experiment": str(exp), "error": e} for exp, e in failures.items()
        ]
        return table

    def effects(
        self, experiments: Iterable[Experiment], attacks: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Return what pruning and fine-tuning do to the leak: one row per (run, measure, effect).

        Columns: the experiment's fields; measure, attack (or ""); its value on each network,
        original, dense, pruned; label (-1: all classes), effect, value (`prunemia.lab.effects`).
        """
        todo, names = dict.fromkeys(experiments), _checked(attacks)
        rows = self.tabulate(case for exp in todo for case in effects.cases(exp, names))
        return effects.as_effects(rows)

    def along_epochs(
        self, experiments: Iterable[Experiment], attacks: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Return accuracies and leakage along the epochs: a row per (network, attack, measure).

        Columns: the experiment's fields; role and epochs (`prunemia.lab.lengths.networks`);
        train_accuracy, test_accuracy; attack, measure, value.
        """
        return self.tabulate(lengths.cases(experiments, _checked(attacks)))


def table_steps(
    experiments: Iterable[Experiment], attacks: Iterable[str] | None, of: Of | Iterable[Of]
) -> list[Step]:
    """Return the steps to a table's rows; ValueError for a wrong attack or network."""
    names = _checked(attacks)
    which: list[Any] = [of] if isinstance(of, str) else list(of)
    return [attack_step(exp, n, each) for exp in experiments for each in which for n in names]


def _checked(names: Iterable[str] | None) -> list[str]:
    """Return the attacks (None: all); ValueError where there is none of that name."""
    if names is None:
        names = attack_names()
    found = list(dict.fromkeys([names] if isinstance(names, str) else names))
    for name in found:
        attacks.get(name)
    return found
