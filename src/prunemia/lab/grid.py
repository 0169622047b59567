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

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pandas as pd
from pydantic import ValidationError

from prunemia import attacks as registry
from prunemia.errors import UsageError
from prunemia.experiment import Experiment, explain
from prunemia.files import atomic_write, read_yaml, require_file
from prunemia.lab import sweep
from prunemia.lab.lab import Lab, table_steps
from prunemia.lab.steps import Of

FORMATS = (".csv", ".parquet")
LIMIT = 100_000  # experiments of one file, over all its grids: more are a slip of the pen


class Grid(NamedTuple):
    """What a GRID.yml asks for: experiments, each once; attacks on which of their networks."""

    experiments: tuple[Experiment, ...]
    attacks: tuple[str, ...]
    of: tuple[Of, ...]


def read(path: Path) -> Grid:
    """Read a GRID.yml and its experiments; UsageError with the file, the field and the value."""
    values = read_yaml(path)
    try:
        common = dict(_mapping(values))
        attacks = _names("attacks", common.pop("attacks", registry.names()), registry.names())
        of = _names("of", common.pop("of", "pruned"), get_args(Of))
        several = common.pop("grids", [{}])
        if not isinstance(several, list):
            raise UsageError("grids: allowed: a list of grids, one or more")
        grids = [{**common, **_mapping(grid)} for grid in several]
        if not 1 <= (count := _count(grids)) <= LIMIT:
            # Python refuses to print a number of more than 4,300 digits.
            number = f"{count:,}" if count < 10**12 else "more than 10^12"
            why = "" if count else " (a list is empty)"
            raise UsageError(f"{number} experiments{why}; allowed: 1 to {LIMIT:,}")
        experiments = dict.fromkeys(Experiment(**point) for point in _points(grids))
        return Grid(tuple(experiments), attacks, of)
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error)}") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        said = f"a grid maps names to values, as in 'sparsity: [0.5, 0.7]'; this is {value!r}"
        raise UsageError(said[:200])
    return value


def _names(field: str, value: Any, allowed: tuple[Any, ...]) -> tuple[Any, ...]:
    chosen = value if isinstance(value, list | tuple) else [value]
    for item in chosen or [value]:
        if item not in allowed:
            raise UsageError(f"{field}: {item!r} is not allowed; allowed: {', '.join(allowed)}")
    return tuple(dict.fromkeys(chosen))


def _count(value: Any) -> int:
    """Return how many `_points` there are, before the first is made."""
    if isinstance(value, list):
        return sum(map(_count, value))
    return math.prod(map(_count, value.values())) if isinstance(value, dict) else 1


def _points(value: Any) -> Iterator[Any]:
    """Yield what a value stands for: a list for each of its own, a mapping for their product."""
    if isinstance(value, list):
        for item in value:
            yield from _points(item)
    elif isinstance(value, dict):
        for point in itertools.product(*map(_points, value.values())):
            yield dict(zip(value, point, strict=True))
    else:
        yield value


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet, by the name's end; whole or not at all."""
    with atomic_write(path) as aside:
        (table.to_csv if path.suffix == ".csv" else table.to_parquet)(aside, index=False)


def run(
    grid: Grid, lab: Lab, output: Path | None, workers: int | None, say: Callable[[str], None]
) -> None:
    """Carry out a grid, say its plan, and write its table; without ``output``, the plan alone.

    ``workers``: processes to start; None: the lab's own. SweepError: the table lacks some.
    """
    if output is not None:
        if output.suffix not in FORMATS:
            raise UsageError(f"--output {output}: a table's name ends in {' or '.join(FORMATS)}")
        require_file(output, "--output")
    if lab.scheduler is not None:
        sweep.risk(lab.scheduler)
    steps = table_steps(grid.experiments, grid.attacks, grid.of)
    foreseen = sweep.Plan(lab.changed(progress=False, foresees=True), steps)
    say(foreseen.describe())
    if output is None:
        return
    cluster: AbstractContextManager[str | None] = nullcontext(lab.scheduler)
    if workers is not None and foreseen.todo:
        cluster = sweep.local_workers(workers)
    with cluster as address:
        planned = sweep.Plan(lab, steps)
        planned.compute(address)
    table = planned.table()
    write(table, output)
    say(f"{len(table):,} rows written: {output}")
    if failures := planned.failures():
        raise sweep.SweepError(failures, table)
