"""The part of `Lab` whose methods look at many experiments, attacks or networks at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import pandas as pd

from prunemia.experiment import Experiment
from prunemia.lab import effects as control
from prunemia.lab import in_turn as turning
from prunemia.lab import lengths
from prunemia.lab import map as mapping
from prunemia.lab.in_turn import InTurn
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.steps import Of, Step


class Tables:
    """Methods of `Lab` that carry out many steps, on its scheduler where it has one."""

    pipeline: Pipeline
    scheduler: str | None

    def run(self, steps: Iterable[Step]) -> None:
        """See to it that the store has these steps' results, computed on the scheduler if any.

        Raises
        ------
        prunemia.lab.map.SweepError
            Some failed; all others were carried out.
        """
        mapping.run(self.pipeline, self.scheduler, steps)

    def map(
        self,
        experiments: Iterable[Experiment],
        attacks: Iterable[str] | None = None,
        of: Of | Iterable[Of] = "pruned",
        errors: Literal["raise", "collect"] = "raise",
    ) -> pd.DataFrame:
        """Return one row per (experiment, of, attack): the experiment's fields, the evaluation.

        Whatever can be computed is, whatever fails. The rows of what failed are missing; at the end
        comes a `prunemia.lab.map.SweepError`, whose ``table`` has the others, or with
        ``errors="collect"`` the table, whose ``attrs["failures"]`` lists for each failed experiment
        its key, its description and the error.

        Raises
        ------
        ValueError
            There is no such attack or network (``of``); nothing was computed.
        prunemia.lab.map.SweepError
            Experiments failed, and ``errors`` is "raise".
        """
        return mapping.over(self.pipeline, self.scheduler, experiments, attacks, of, errors)

    def effects(
        self, experiments: Iterable[Experiment], attacks: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Return what pruning and fine-tuning do to the leak: one row per (run, measure, effect).

        Columns: the experiment's fields; measure, attack ("" for the divergence), label (a class,
        -1 for all); original, dense, pruned: its value on each network; effect ("total",
        "training", "pruning") and its value (`prunemia.lab.effects`). Each experiment is its own
        control's partner, so whatever is compared is paired.
        """
        todo, names = self._required(experiments, attacks, control.steps)
        return control.effects(self.pipeline, todo, names)

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
        return lengths.points(self.pipeline, todo, names)

    def excess(
        self, experiments: Iterable[Experiment], attacks: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Return what each pruned network leaks beyond dense ones that are like it.

        One row per (run, attack, measure, comparator): ``value``, ``expected``, ``excess``, and
        the differences in accuracy that come with it; NaN where there is no comparator
        (`prunemia.lab.lengths.excess`).
        """
        return lengths.excess(self.along_epochs(experiments, attacks))

    def in_turn(
        self,
        exp: Experiment,
        of: Of = "pruned",
        count: int = 64,
        attacks: Iterable[str] = (),
    ) -> InTurn:
        """Return what attacks say of each of ``count`` networks, every one a victim in turn.

        The networks are trained on the victim's half as the victim is; the others are each one's
        references. The scores of `prunemia.lab.in_turn.BY_REFERENCES` come of themselves,
        ``attacks`` are fitted on the shadow networks.

        Raises
        ------
        UsageError
            There is no such attack or network (``of``), or the count is too small.
        """
        names, _ = mapping.checked(list(attacks), of)
        self.run(turning.steps(exp, of, count, names))
        return turning.carried_out(self.pipeline, exp, of, count, names)

    def _required(
        self,
        experiments: Iterable[Experiment],
        attacks: Iterable[str] | None,
        steps: Callable[[Experiment, Sequence[str]], Sequence[Step]],
    ) -> tuple[list[Experiment], tuple[str, ...]]:
        """Carry out these steps for each experiment; return experiments and attacks, each once."""
        todo = list(dict.fromkeys(experiments))
        names, _ = mapping.checked(attacks, "pruned")
        self.run(step for exp in todo for step in steps(exp, names))
        return todo, names
