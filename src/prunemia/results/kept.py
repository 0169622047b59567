"""A table on disk with the record of what made it: written together, refused where outdated.

``results/NAME.csv`` is the table; ``results/NAME.json`` says which grid it is of, by which versions
of stages and attacks, which part of it was made when, where and by which libraries, and which
experiments each part is of. A grid can therefore grow: what is there stays, the rest is computed.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunemia import attacks
from prunemia.errors import UsageError
from prunemia.experiment import Experiment, content_key
from prunemia.files import atomic_write
from prunemia.lab.effects import fields
from prunemia.lab.stages import STAGES
from prunemia.registry import DEFENSES, NETWORKS
from prunemia.results import planes, processor
from prunemia.store import repository
from prunemia.sweep import grid as grids

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "torch")
DIGITS = 6
"""Decimal places of a table's numbers."""


class StaleTableError(UsageError):
    """A table was made by other versions than these; the text names them."""


class Record(dict[str, Any]):
    """What made a table; pandas copies a table's attributes in depth with every operation."""

    def __deepcopy__(self, _: object) -> Record:
        return self


def folder() -> Path:
    """Return where the tables are: ``results/`` of the book's repository around this folder.

    Raises
    ------
    UsageError
        There is no such folder here or above.
    """
    root = repository()
    if root is None or not (root / "results").is_dir():
        here = Path.cwd()
        raise UsageError(
            f"{here}: no results/ of the book here or above; run this in its repository"
        )
    return root / "results"


def read(name: str) -> pd.DataFrame:
    """Return a table of ``results/``; its ``attrs["record"]`` says what made it.

    It has the rows of those experiments of its grid that were made as they would be made today
    (`current`); the others are left out until they are computed.

    Raises
    ------
    UsageError
        There is no such table.
    StaleTableError
        What this package computes has changed since the table was made.
    """
    place = folder()
    path, about = place / f"{name}.csv", place / f"{name}.json"
    if not (path.is_file() and about.is_file()):
        known = ", ".join(sorted(file.stem for file in place.glob("*.csv"))) or "none"
        raise UsageError(f"results: no table {name!r} in {place}; there: {known}")
    record = Record(json.loads(about.read_text(encoding="utf-8")))
    there, missing = current(name, record, place.parent)
    source: Path | io.StringIO = path
    if missing or len(there) < len(record["cells"]):  # rows of cells that changed, or were dropped
        text = _read_text(path)
        source = io.StringIO(text[owners(text, there) >= 0].to_csv(index=False))
    table = pd.read_csv(source, keep_default_na=False, na_values=[""])
    texts = table.select_dtypes("object").columns
    table[texts] = table[texts].fillna("")
    table.attrs["record"] = record
    return table


def there(name: str) -> bool:
    """Tell whether ``results/`` has a table of this name; outside of the repository it has none."""
    try:
        return (folder() / f"{name}.csv").is_file()
    except UsageError:
        return False


def current(
    name: str, record: dict[str, Any], root: Path
) -> tuple[list[Experiment], list[Experiment]]:
    """Return the experiments of a table's grid that it has as of today, and those that it lacks.

    Lacking are experiments that are new in the grid, or that today's versions of a network or a
    defense would make otherwise: ``prunemia results NAME`` computes them.

    Raises
    ------
    StaleTableError
        The grid is gone, versions of stages or attacks are others, or all of it is lacking.
    """
    grid = root / record["grid"]
    command = f"'prunemia results {name}'"
    if not grid.is_file():
        raise StaleTableError(f"results/{name}.csv: its grid {record['grid']} is gone")
    asked = _grid(grid, grid.stat().st_mtime_ns)
    if other := _other_version(record, asked.attacks):
        raise StaleTableError(f"results/{name}.csv: {other}; make it anew with {command}")
    there = [exp for exp in asked.experiments if cell(exp) in record["cells"]]
    if not there:
        raise StaleTableError(
            f"results/{name}.csv: the {len(asked.experiments)} experiments of {record['grid']} are "
            f"new or changed since it was made; compute them with {command}"
        )
    known = set(there)
    return there, [exp for exp in asked.experiments if exp not in known]


@lru_cache(maxsize=64)
def _grid(path: Path, _changed: int) -> grids.Grid:
    return grids.read(path)


def experiments(name: str) -> list[Experiment]:
    """Return the experiments that a table has as of today."""
    return _parts(name)[0]


def lacking(name: str) -> list[Experiment]:
    """Return the experiments of its grid that a table lacks as of today."""
    return _parts(name)[1]


def _parts(name: str) -> tuple[list[Experiment], list[Experiment]]:
    about = folder() / f"{name}.json"
    return current(name, json.loads(about.read_text(encoding="utf-8")), folder().parent)


def _other_version(record: dict[str, Any], names: Iterable[str]) -> str:
    """Return which version of a stage or an attack is not today's, "" where all are."""
    now = versions(names)
    lacking = [name for name in now["attacks"] if name not in record["versions"]["attacks"]]
    if lacking:
        return f"made without {', '.join(lacking)}"
    for kind, known in record["versions"].items():
        for what, version in known.items():
            if (today := now[kind].get(what)) != version:
                return f"made by version {version} of {kind} {what!r}, which is now {today}"
    return ""


def versions(names: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return the versions of all stages, and of these attacks."""
    known = set(attacks.names())
    return {
        "stages": {name: stage.version for name, stage in STAGES.items() if name != "cost"},
        # as it is without options: the version may depend on them
        "attacks": {name: attacks.get(name)().version for name in names if name in known},
    }


def cell(exp: Experiment) -> str:
    """Return a short hash of what an experiment says, and of its network's and defenses' versions.

    Fields at their defaults, and first versions, do not count: a new field, which has a default,
    leaves the hashes as they are. Eight hexadecimal digits.
    """
    defenses = (exp.defense, exp.adversary and exp.adversary.defense)
    kinds = [("model", exp.model, NETWORKS[exp.model].version)]
    kinds += [("defense", name, DEFENSES[name].version) for name in defenses if name]
    later = {f"{kind} {name}": version for kind, name, version in kinds if version > 1}
    return content_key([exp.model_dump(mode="json", exclude_defaults=True), later])[:8]


def part(device: str) -> dict[str, Any]:
    """Return what a record says of a part that is made here and now."""
    return {
        "made": datetime.now(UTC).date().isoformat(),
        "package": importlib.metadata.version("prunemia"),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "device": device,
        "processor": {"name": processor.name(device), "probe": processor.probe(device)},
    }


def record(
    grid: Path,
    names: Iterable[str],
    made: Iterable[Experiment],
    fresh: dict[str, Any],
    known: Mapping[str, int],
    before: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return a table's record: cells that are ``known`` keep their part, all others are ``fresh``.

    ``made``: the experiments that the table has, by the attacks ``names``; ``known``: cell → index
    of its part in the record ``before``. Parts of which nothing is left are dropped.
    """
    parts = [*(before["parts"] if before else []), fresh]
    cells = {name: known.get(name, len(parts) - 1) for name in map(cell, made)}
    left = sorted(set(cells.values()))
    counts = Counter(cells.values())
    return {
        "grid": f"grids/{grid.name}",
        "versions": versions(names),
        "parts": [{**parts[index], "experiments": counts[index]} for index in left],
        "cells": {name: left.index(index) for name, index in cells.items()},
    }


def owners(table: pd.DataFrame, experiments: Sequence[Experiment]) -> NDArray[np.int64]:
    """Return the index of each row's experiment, -1 where it is none of these.

    ``table``: cells as text (`as_text`). An experiment is told by the columns that it has in
    common with the table; rows of original networks are those of the control.

    Raises
    ------
    UsageError
        The columns do not tell two of the experiments apart.
    """
    if not experiments:
        return np.full(len(table), -1)
    labels = as_text(pd.DataFrame([_labels(exp) for exp in experiments]))
    columns = [str(column) for column in labels if column in table]
    places = {key: place for place, key in enumerate(map(tuple, labels[columns].to_numpy()))}
    if len(places) < len(experiments):
        raise UsageError(
            f"results: {len(experiments)} experiments, of which {', '.join(columns)} tell "
            f"{len(places)} apart; take the others out of the grid"
        )
    mine = table[columns]
    if "pruner" in columns:
        mine = mine.assign(pruner=mine["pruner"].replace(planes.ORIGINAL, "dense"))
    return np.array([places.get(key, -1) for key in map(tuple, mine.to_numpy())], dtype=np.int64)


def _labels(exp: Experiment) -> dict[str, Any]:
    return fields(exp) | planes.label(exp)


def reusable(name: str, asked: grids.Grid) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """Return the table that is there, as text, and its record, if today's versions made it."""
    path, about = folder() / f"{name}.csv", folder() / f"{name}.json"
    if not (path.is_file() and about.is_file()):
        return None
    before = json.loads(about.read_text(encoding="utf-8"))
    if _other_version(before, asked.attacks):
        return None
    return _read_text(path), before


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table's cells as `write` writes them, so that rows can be put beside kept ones."""
    text = table.round(DIGITS).to_csv(index=False, lineterminator="\n")
    return _read_text(io.StringIO(text))


def _read_text(source: Path | io.StringIO) -> pd.DataFrame:
    return pd.read_csv(source, dtype=str, keep_default_na=False)


def write(name: str, table: pd.DataFrame, about: dict[str, Any]) -> None:
    """Write a table, its cells as text, and its record, each whole."""
    place = folder()
    with (
        atomic_write(place / f"{name}.csv") as rows,
        atomic_write(place / f"{name}.json") as said,
    ):
        table.to_csv(rows, index=False, lineterminator="\n")
        said.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
