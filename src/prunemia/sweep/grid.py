"""GRID.yml: the experiments of a sweep, as the product of lists.

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prunemia import attacks as registry
from prunemia.errors import UsageError
from prunemia.experiment import Adversary, Experiment, explain
from prunemia.files import read_yaml
from prunemia.lab.steps import Of

FORMATS = (".csv", ".parquet")
NETWORKS: tuple[Of, ...] = ("pruned", "original")
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
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise UsageError(
            f"--output {path}: Parquet needs the package pyarrow; install it, or name a .csv"
        )


def _grid(values: Any) -> Grid:
    common = dict(_mapping("a grid", values))
    attacks = _choices("attacks", common.pop("attacks", None), registry.names(), registry.names())
    of = _choices("of", common.pop("of", None), NETWORKS, ("pruned",))
    several = common.pop("grids", [{}])
    if not isinstance(several, list) or not several:
        raise UsageError("grids: allowed: a list of grids, one or more")
    grids = [common | _mapping("grids: each", grid) for grid in several]
    # Counted before the first is built: a slip of the pen can ask for more than memory holds.
    count = sum(_count(fields) for fields in grids)
    if count > LIMIT:
        # Python refuses to print a number of more than 4,300 digits.
        number = f"{count:,}" if count < 10**12 else "more than 10^12"
        raise UsageError(f"{number} experiments; allowed: at most {LIMIT:,}")
    experiments: dict[Experiment, None] = {}
    for fields in grids:
        experiments |= dict.fromkeys(_experiments(fields))
    return Grid(tuple(experiments), attacks, of)  # type: ignore[arg-type]


def _count(fields: Mapping[str, Any]) -> int:
    """Return how many experiments a grid's lists span; the same one may come twice."""
    return math.prod(
        sum(_count(_assumed_fields(one)) if one is not None else 1 for one in _listed(name, value))
        if name == "adversary"
        else len(_listed(name, value))
        for name, value in fields.items()
    )


def points(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields of each experiment that a grid's lists span."""
    axes = {name: _axis(name, value) for name, value in fields.items()}
    for point in itertools.product(*axes.values()):
        yield dict(zip(axes, point, strict=True))


def _experiments(fields: Mapping[str, Any]) -> Iterator[Experiment]:
    crossed = [name for name, value in fields.items() if len(_axis(name, value)) > 1]
    for chosen in points(fields):
        try:
            yield Experiment(**chosen)
        except ValidationError as error:
            where = ", ".join(f"{name} {chosen[name]}" for name in crossed)
            raise UsageError(f"{explain(error)}{f' (at {where})' if where else ''}") from error


def _axis(name: str, value: Any) -> list[Any]:
    """Return the values of one field."""
    if name == "adversary":
        return [point for one in _listed(name, value) for point in _adversaries(one)]
    return _listed(name, value)


def _adversaries(value: Any) -> list[Any]:
    if value is None:
        return [None]
    fields = _assumed_fields(value)
    points = itertools.product(*(_listed(f"adversary.{name}", v) for name, v in fields.items()))
    return [dict(zip(fields, point, strict=True)) for point in points]


def _assumed_fields(value: Any) -> dict[str, Any]:
    """Return the fields of one adversary, each a value or a list of values."""
    fields = _mapping("adversary", value)
    allowed = ", ".join(Adversary.model_fields)
    for name in fields:
        if name not in Adversary.model_fields:
            raise UsageError(f"adversary.{name}: no such field; allowed: {allowed}")
    return fields


def _listed(name: str, value: Any) -> list[Any]:
    if value == []:
        raise UsageError(f"{name}: an empty list; allowed: one value or more")
    return value if isinstance(value, list) else [value]


def _choices(
    name: str, value: Any, allowed: tuple[str, ...], default: tuple[str, ...]
) -> tuple[str, ...]:
    if value is None:
        return default
    chosen = _listed(name, value)
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
