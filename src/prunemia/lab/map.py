"""Many experiments: planned, carried out here or on a Dask scheduler, gathered into one tidy table.

A sweep is a set of tasks (`prunemia.lab.plan`), each found by its content: interrupted, it resumes
with what the store has. One that fails takes with it what needs it; all others are carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import pandas as pd
from tqdm import tqdm

from prunemia import attacks as registry
from prunemia.experiment import Adversary, Experiment
from prunemia.lab import on_dask
from prunemia.lab.attacking import AttackResult, read_evaluation
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.plan import Failure, Plan, Row, Task, describe, plan, plan_steps
from prunemia.lab.steps import Of, Step, by_experiment, require_of


class SweepError(RuntimeError):
    """Experiments of a sweep failed; the text lists them, ``table`` has the rows of the others."""

    def __init__(self, failures: list[Failure], table: pd.DataFrame) -> None:
        lines = "".join(f"\n  {failure}" for failure in failures)
        super().__init__(f"{len(failures)} experiments failed, the others are in the table:{lines}")
        self.failures = failures
        self.table = table


def over(
    pipeline: Pipeline,
    scheduler: str | None,
    experiments: Iterable[Experiment],
    attacks: Iterable[str] | None = None,
    of: Of | Iterable[Of] = "pruned",
    errors: Literal["raise", "collect"] = "raise",
) -> pd.DataFrame:
    """Carry out the experiments and return their table: `Lab.map`."""
    if errors not in ("raise", "collect"):
        raise ValueError(f"errors: {errors!r} is not allowed; allowed: raise, collect")
    planned = plan(pipeline, experiments, *checked(attacks, of))
    table, failures = carry_out(planned, scheduler)
    if failures and errors == "raise":
        raise SweepError(failures, table)
    table.attrs["failures"] = [
        {"key": f.exp.key, "experiment": str(f.exp), "error": f.error} for f in failures
    ]
    return table


def checked(
    attacks: Iterable[str] | None, of: Of | Iterable[Of]
) -> tuple[tuple[str, ...], tuple[Of, ...]]:
    """Return the attacks (None: all) and networks (``of``), each once; ValueError for others."""
    if attacks is None:
        attacks = registry.names()
    names = tuple(dict.fromkeys([attacks] if isinstance(attacks, str) else attacks))
    which: tuple[Any, ...] = tuple(dict.fromkeys([of] if isinstance(of, str) else of))
    for network in which:
        require_of(network)
    for name in names:
        registry.get(name)
    return names, which


def carry_out(planned: Plan, scheduler: str | None) -> tuple[pd.DataFrame, list[Failure]]:
    """Carry out a plan, here or on a Dask scheduler; return the table, and what failed."""
    return _table(planned, compute(planned, scheduler))


def run(pipeline: Pipeline, scheduler: str | None, steps: Iterable[Step]) -> None:
    """Carry out these steps, here or on a Dask scheduler.

    Raises
    ------
    SweepError
        Some failed; all others were carried out.
    """
    planned = plan_steps(pipeline, by_experiment(steps))
    if failures := _failures(planned, compute(planned, scheduler)):
        raise SweepError(failures, pd.DataFrame())


def compute(planned: Plan, scheduler: str | None) -> dict[str, str]:
    """Carry out a plan's tasks, here or on a Dask scheduler; return the errors by task."""
    pipeline = planned.pipeline
    silent = not (pipeline.progress and planned.todo)
    with tqdm(total=len(planned.todo), unit="step", disable=silent) as bar:

        def done(title: str) -> None:
            bar.set_postfix_str(title, refresh=False)
            bar.update()

        if scheduler is None or not planned.todo:
            errors = _here(planned, done)
        else:
            errors = on_dask.carry_out(planned, scheduler, done)
    return errors


def _table(planned: Plan, errors: dict[str, str]) -> tuple[pd.DataFrame, list[Failure]]:
    rows = []
    for row in planned.rows:
        try:
            if row.task not in errors:
                rows.append(_record(planned, row))
        except Exception as error:
            errors[row.task] = describe(error)
    table = pd.DataFrame(rows, columns=None if rows else COLUMNS)
    return table, _failures(planned, errors)


def _failures(planned: Plan, errors: Mapping[str, str]) -> list[Failure]:
    """Return the experiments that failed, each once: refused by the plan, or for a task's error."""
    failures = {failure.exp: failure for failure in planned.refused}
    for row in planned.rows:
        if row.task in errors:
            failures.setdefault(row.step.exp, Failure(row.step.exp, errors[row.task]))
    return list(failures.values())


def _here(planned: Plan, done: Callable[[str], None]) -> dict[str, str]:
    """Carry out the tasks in this process; return the errors by task.

    What another process is at is left for later, so that two pages with tasks in common share the
    work instead of waiting for each other.
    """
    quiet = planned.pipeline.changed(progress=False)
    errors: dict[str, str] = {}
    waiting = list(planned.todo)
    while waiting:
        later: dict[str, Task] = {}
        for task in waiting:
            held = quiet.store.busy(task.step.stage, task.key)
            if held or any(need in later for need in task.needs):
                later[task.name] = task
            else:
                _attempt(quiet, task, errors)
                done(quiet.title(task.step))
        if len(later) == len(waiting):  # others hold all that is left: wait for the first
            first = later.pop(waiting[0].name)
            _attempt(quiet, first, errors)
            done(quiet.title(first.step))
        waiting = list(later.values())
    return errors


def _attempt(pipeline: Pipeline, task: Task, errors: dict[str, str]) -> None:
    """Carry out a task unless it is done, or one that it needs failed."""
    causes = [errors[need] for need in task.needs if need in errors]
    if causes:
        errors[task.name] = causes[0]
    elif not pipeline.store.has(task.step.stage, task.key):
        try:
            pipeline.carry_out(task.step)
        except Exception as error:
            errors[task.name] = f"{pipeline.title(task.step)}: {describe(error)}"


def fields(exp: Experiment, of: Of) -> dict[str, Any]:
    """Return an experiment's fields as columns, the adversary's as ``adversary_*``."""
    believed = exp.adversary or Adversary()
    assumed: Mapping[str, Any] = believed.model_dump(mode="json")
    columns = exp.model_dump(mode="json", exclude={"adversary"})
    columns |= {f"adversary_{name}": value for name, value in assumed.items()}
    return columns | {"key": exp.key, "of": of}


COLUMNS = [*fields(Experiment(), "pruned"), "attack"]
"""The first columns of every table."""


def _record(planned: Plan, row: Row) -> dict[str, Any]:
    step = row.step
    key = planned.tasks[row.task].key
    files = planned.pipeline.store.get(step.stage, key, only=("evaluation.json",))
    if files is None:  # it was damaged, or removed meanwhile
        result: AttackResult = planned.pipeline.value(step)
        evaluation = result.evaluation
    else:
        evaluation = read_evaluation(files)
    return fields(step.exp, step.of) | {"attack": step.attack} | evaluation.row()
