"""Many experiments: planned, carried out here or on a Dask scheduler, gathered into one tidy table.

A sweep is a set of steps (`prunemia.plan`), each found by its content: interrupted, it resumes with
what the store has. One that fails takes with it what needs it; all others are carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd
from tqdm import tqdm

from prunemia import attacks as registry
from prunemia.experiment import Adversary, Experiment
from prunemia.lab.plan import Failure, Plan, Row, describe, plan
from prunemia.lab.steps import Of, Step
from prunemia.metrics import Evaluation
from prunemia.store import unpack_json
from prunemia.sweep.grid import Grid

if TYPE_CHECKING:
    from prunemia.lab.lab import Lab


class SweepError(RuntimeError):
    """Experiments of a sweep failed; the text lists them, ``table`` has the rows of the others."""

    def __init__(self, failures: list[Failure], table: pd.DataFrame) -> None:
        lines = "".join(f"\n  {failure}" for failure in failures)
        super().__init__(f"{len(failures)} experiments failed, the others are in the table:{lines}")
        self.failures, self.table = failures, table


def sweep(
    lab: Lab,
    experiments: Iterable[Experiment],
    attacks: Iterable[str] | None = None,
    of: Of | Iterable[Of] = "pruned",
    errors: Literal["raise", "collect"] = "raise",
) -> pd.DataFrame:
    """Carry out the experiments and return their table: `Lab.map`."""
    if errors not in ("raise", "collect"):
        raise ValueError(f"errors: {errors!r} is not allowed; allowed: raise, collect")
    made = plan(lab, experiments, *checked(attacks, of))
    table, failures = carry_out(made)
    if failures and errors == "raise":
        raise SweepError(failures, table)
    table.attrs["failures"] = [
        {"key": f.exp.key, "experiment": str(f.exp), "error": f.error} for f in failures
    ]
    return table


def checked(
    attacks: Iterable[str] | None, of: Of | Iterable[Of]
) -> tuple[tuple[str, ...], tuple[Of, ...]]:
    """Return the attacks (None: all) and sides, each named once; ValueError where there is no such one."""
    names = (
        registry.names()
        if attacks is None
        else tuple(dict.fromkeys([attacks] if isinstance(attacks, str) else attacks))
    )
    sides: tuple[Any, ...] = tuple(dict.fromkeys([of] if isinstance(of, str) else of))
    for side in sides:
        if side not in get_args(Of):
            raise ValueError(f"of: {side!r} is not allowed; allowed: {', '.join(get_args(Of))}")
    for name in names:
        registry.get(name)
    return names, sides


def carry_out(made: Plan) -> tuple[pd.DataFrame, list[Failure]]:
    """Carry out a plan; return the table, and what failed."""
    lab = made.lab
    with tqdm(total=len(made.todo), unit="step", disable=not (lab.progress and made.todo)) as bar:

        def done(title: str) -> None:
            bar.set_postfix_str(title, refresh=False)
            bar.update()

        if lab.scheduler is None or not made.todo:
            errors = _here(made, done)
        else:
            from prunemia.lab import on_dask as cluster

            errors = cluster.carry_out(made, done)
    rows, failures = [], {failure.exp: failure for failure in made.refused}
    for row in made.rows:
        try:
            if row.step.name not in errors:
                rows.append(_record(lab, row))
        except Exception as error:
            errors[row.step.name] = describe(error)
        if row.step.name in errors:
            failures.setdefault(row.exp, Failure(row.exp, errors[row.step.name]))
    return pd.DataFrame(rows, columns=None if rows else COLUMNS), list(failures.values())


def _here(made: Plan, done: Callable[[str], None]) -> dict[str, str]:
    """Carry out the steps in this process; return the errors by step.

    What another process is at is left for later, so that two pages with steps in common share the
    work.
    """
    from prunemia.lab.lab import Lab

    lab = made.lab
    quiet = Lab(lab.store.root, device=lab.asked_device, progress=False)
    errors: dict[str, str] = {}
    waiting = list(made.todo)
    while waiting:
        later: dict[str, Step] = {}
        for step in waiting:
            if any(need in later for need in step.needs) or quiet.store.busy(step.stage, step.key):
                later[step.name] = step
            else:
                _carry_out(quiet, step, errors)
                done(step.title)
        if len(later) == len(waiting):  # all is held: wait for the first
            first = later.pop(waiting[0].name)
            _carry_out(quiet, first, errors)
            done(first.title)
        waiting = list(later.values())
    return errors


def _carry_out(lab: Lab, step: Step, errors: dict[str, str]) -> None:
    """Carry out a step unless it is done, or one that it needs failed."""
    causes = [errors[need] for need in step.needs if need in errors]
    if causes:
        errors[step.name] = causes[0]
    elif not lab.store.has(step.stage, step.key):
        try:
            lab.carry_out(step)
        except Exception as error:
            errors[step.name] = f"{step.title}: {describe(error)}"


def fields(exp: Experiment, of: Of) -> dict[str, Any]:
    """Return an experiment's fields as columns; what the adversary assumes as ``adversary_pruner`` and so on."""
    assumed: Mapping[str, Any] = (exp.adversary or Adversary()).model_dump(mode="json")  # type: ignore[call-arg]
    own = exp.model_dump(mode="json", exclude={"adversary"})
    return (
        own
        | {f"adversary_{name}": value for name, value in assumed.items()}
        | {"key": exp.key, "of": of}
    )


COLUMNS = [*fields(Experiment(), "pruned"), "attack"]  # type: ignore[call-arg]
"""The first columns of every table."""


def _record(lab: Lab, row: Row) -> dict[str, Any]:
    step = row.step
    files = lab.store.get(step.stage, step.key, only=("evaluation.json",))
    if files is None:  # it was damaged, or removed meanwhile
        found = lab.attack(row.exp, step.attack, row.of).evaluation
    else:
        found = Evaluation.from_dict(unpack_json(files["evaluation.json"]))
    return fields(row.exp, row.of) | {"attack": step.attack} | found.row()


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet, by the name's end; whole or not at all."""
    aside = path.with_name(f".{path.name}.partial")
    try:
        if path.suffix == ".csv":
            table.to_csv(aside, index=False)
        else:
            table.to_parquet(aside, index=False)
        aside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()


def run(
    grid: Grid,
    store: Path,
    output: Path | None,
    workers: int | None,
    scheduler: str | None,
    say: Callable[[str], None],
) -> None:
    """Carry out a grid, say its plan, and write its table; without an ``output`` there is the plan alone.

    Raises
    ------
    SweepError
        Experiments failed; the others are in the table, which was written.
    """
    from prunemia.lab.lab import Lab

    foreseen = plan(Lab(store, scheduler).planner(), grid.experiments, grid.attacks, grid.of)
    say(foreseen.describe())
    if output is None:
        return
    table, failures = _carried_out(grid, store, workers if foreseen.todo else None, scheduler)
    write(table, output)
    say(f"{len(table):,} rows written: {output}")
    if failures:
        raise SweepError(failures, table)


def _carried_out(
    grid: Grid, store: Path, workers: int | None, scheduler: str | None
) -> tuple[pd.DataFrame, list[Failure]]:
    from prunemia.lab.lab import Lab

    if workers is None:
        started: Any = nullcontext(scheduler)
    else:
        from prunemia.lab import on_dask as cluster

        started = cluster.local(workers, store)
    with started as address:
        return carry_out(plan(Lab(store, address), grid.experiments, grid.attacks, grid.of))
