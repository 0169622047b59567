"""GRID.yml: the experiments of a sweep, as the product of lists; and the table that it makes.

attacks: [conf, mentr]        # none: all
of: [original, pruned]        # none: pruned
dataset: mnist1d              # any field of an Experiment: one value, or a list of values to cross
sparsity: [0.5, 0.7]
seed: [0, 1, 2]
adversary:                    # its fields are crossed too; a list of mappings: one after the other
  sparsity: [0.5, 0.7]
grids:                        # several grids with the above in common; what one says itself wins
  - {model: cnn1d, pruner: [l1structured, slim]}
  - {model: columnfc}
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from pydantic import ValidationError

from prunemia import attacks as registry
from prunemia.errors import UsageError
from prunemia.experiment import Adversary, Experiment, explain
from prunemia.files import atomic_write, read_yaml
from prunemia.lab import sweep
from prunemia.lab.lab import Lab, table_steps
from prunemia.lab.steps import Of

FORMATS = (".csv", ".parquet")
LIMIT = 100_000
"""Most experiments of one file, over all its grids: more are a slip of the pen."""


@dataclass(frozen=True)
class Grid:
    """What a GRID.yml asks for.

    Attributes
    ----------
    experiments : each once.
    attacks : the attacks on each of them.
    of : which of its networks are attacked, the pruned or the original ones.
    """

    experiments: tuple[Experiment, ...]
    attacks: tuple[str, ...]
    of: tuple[Of, ...]


def read(path: Path) -> Grid:
    """Read a GRID.yml; every experiment in it is validated.

    Raises
    ------
    UsageError
        It cannot be read, or something in it is not allowed; the text names the file, the field and
        the value.
    """
    values = read_yaml(path)
    try:
        return _grid(values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def check_output(path: Path) -> None:
    """Refuse, with a `UsageError`, a table that could not be written."""
    if path.suffix not in FORMATS:
        raise UsageError(f"--output {path}: a table's name ends in {' or '.join(FORMATS)}")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(
            f"--output {path}: {'is a folder' if path.is_dir() else 'there is no such folder'}"
        )


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet, by the name's end; whole or not at all."""
    with atomic_write(path) as aside:
        if path.suffix == ".csv":
            table.to_csv(aside, index=False)
        else:
            table.to_parquet(aside, index=False)


def run(
    grid: Grid, lab: Lab, output: Path | None, workers: int | None, say: Callable[[str], None]
) -> None:
    """Carry out a grid, say its plan, and write its table; without ``output``, the plan alone.

    ``workers``: start so many processes here; None: this process, or the lab's scheduler.

    Raises
    ------
    SweepError
        Experiments failed; the others are in the table, which was written.
    UsageError
        The lab's scheduler has no such address, or does not answer.
    """
    if lab.scheduler is not None and (risk := sweep.risk(lab.scheduler)):
        say(f"Warning: {risk}")
    steps = table_steps(grid.experiments, grid.attacks, grid.of)
    foreseen = sweep.plan(lab.context.changed(progress=False, foresees=True), steps)
    say(foreseen.describe())
    if output is None:
        return
    cluster: AbstractContextManager[str | None] = nullcontext(lab.scheduler)
    if workers is not None and foreseen.todo:
        cluster = sweep.local_workers(workers)
    with warnings.catch_warnings(), cluster as address:
        warnings.simplefilter("ignore", sweep.OpenSchedulerWarning)  # it was said above
        planned = sweep.plan(lab.context, steps)
        errors = sweep.compute(planned, address)
    table = sweep.tabulate(planned, errors)
    write(table, output)
    say(f"{len(table):,} rows written: {output}")
    if failures := planned.failures(errors):
        raise sweep.SweepError(failures, table)


def _grid(values: Any) -> Grid:
    common = dict(_mapping("a grid", values))
    attacks = _choices("attacks", common.pop("attacks", None), registry.names(), registry.names())
    of = _choices("of", common.pop("of", None), get_args(Of), ("pruned",))
    several = common.pop("grids", [{}])
    if not isinstance(several, list) or not several:
        raise UsageError("grids: allowed: a list of grids, one or more")
    grids = [_axes({**common, **_mapping("grids: each", grid)}) for grid in several]
    _require_few(sum(math.prod(map(len, axes.values())) for axes in grids), "experiments")
    experiments = dict.fromkeys(exp for axes in grids for exp in _experiments(axes))
    return Grid(tuple(experiments), attacks, of)


def _require_few(count: int, what: str) -> None:
    """Refuse too many before the first is built: a slip of the pen asks for more than memory."""
    if count > LIMIT:
        # Python refuses to print a number of more than 4,300 digits.
        number = f"{count:,}" if count < 10**12 else "more than 10^12"
        raise UsageError(f"{number} {what}; allowed: at most {LIMIT:,}")


def _experiments(axes: Mapping[str, list[Any]]) -> Iterator[Experiment]:
    crossed = [name for name, values in axes.items() if len(values) > 1]
    for point in itertools.product(*axes.values()):
        chosen = dict(zip(axes, point, strict=True))
        try:
            yield Experiment(**chosen)
        except ValidationError as error:
            where = ", ".join(f"{name} {chosen[name]}" for name in crossed)
            raise UsageError(f"{explain(error)}{f' (at {where})' if where else ''}") from error


def _axes(fields: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values of each field; an adversary's fields are crossed."""
    axes = {name: _listed(name, value) for name, value in fields.items()}
    if "adversary" in axes:
        axes["adversary"] = [point for one in axes["adversary"] for point in _adversaries(one)]
    return axes


def _adversaries(value: Any) -> list[Any]:
    if value is None:
        return [None]
    fields = _mapping("adversary", value)
    for name in fields:
        if name not in Adversary.model_fields:
            allowed = ", ".join(Adversary.model_fields)
            raise UsageError(f"adversary.{name}: no such field; allowed: {allowed}")
    axes = [_listed(f"adversary.{name}", values) for name, values in fields.items()]
    _require_few(math.prod(map(len, axes)), "adversaries")
    return [dict(zip(fields, point, strict=True)) for point in itertools.product(*axes)]


def _listed(name: str, value: Any) -> list[Any]:
    if value == []:
        raise UsageError(f"{name}: an empty list; allowed: one value or more")
    return value if isinstance(value, list) else [value]


def _choices(
    name: str, value: Any, allowed: tuple[Any, ...], default: tuple[Any, ...]
) -> tuple[Any, ...]:
    chosen = default if value is None else _listed(name, value)
    for item in chosen:
        if item not in allowed:
            raise UsageError(f"{name}: {item!r} is not allowed; allowed: {', '.join(allowed)}")
    return tuple(dict.fromkeys(chosen))


def _mapping(what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UsageError(
            f"{what} maps names to values, as in 'sparsity: [0.5, 0.7]'; this is {value!r}"[:200]
        )
    return value
