"""A table on disk with the record of what made it: written together, refused where outdated.

``results/NAME.csv`` is the table; ``results/NAME.json`` says which grid, versions of stages,
attacks, networks and libraries, device, seeds and day made it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from prunemia import attacks
from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.kinds import NETWORKS
from prunemia.lab.stages import STAGES
from prunemia.store import repository
from prunemia.sweep.run import whole

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "torch")
DIGITS = 6
"""Decimal places of a table's numbers."""


class StaleTableError(UsageError):
    """A table was made by other versions than these; the text names them."""


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
        there = ", ".join(sorted(file.stem for file in place.glob("*.csv"))) or "none"
        raise UsageError(f"results: no table {name!r} in {place}; there: {there}")
    record = json.loads(about.read_text(encoding="utf-8"))
    require_current(name, record, place.parent)
    table = pd.read_csv(path, keep_default_na=False, na_values=[""])
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


def require_current(name: str, record: dict[str, Any], root: Path) -> None:
    """Refuse a table, by its record, that today's versions and its grid would not make."""
    grid = root / record["grid"]
    again = f"make it anew with 'prunemia results {name}'"
    if not grid.is_file() or _hash(grid) != record["grid_sha256"]:
        raise StaleTableError(
            f"results/{name}.csv: {record['grid']} has changed since it was made; {again}"
        )
    now = versions(record["versions"]["attacks"], record["versions"]["networks"])
    for kind, known in record["versions"].items():
        for what, version in known.items():
            if now[kind].get(what) != version:
                raise StaleTableError(
                    f"results/{name}.csv: made by version {version} of {kind} {what!r}, which is "
                    f"now {now[kind].get(what, 'gone')}; {again}"
                )


def versions(names: Iterable[str], networks: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return the versions of all stages, and of these attacks and networks."""
    known = set(attacks.names())
    return {
        "stages": {name: stage.version for name, stage in STAGES.items() if name != "cost"},
        # as it is without options: the version may depend on them
        "attacks": {name: attacks.get(name)().version for name in names if name in known},
        "networks": {name: NETWORKS[name].version for name in networks if name in NETWORKS},
    }


def record(
    grid: Path, experiments: Iterable[Experiment], names: Iterable[str], device: str
) -> dict[str, Any]:
    """Return what a table's record says, but for the table's own name."""
    todo = list(experiments)
    return {
        "grid": f"grids/{grid.name}",
        "grid_sha256": _hash(grid),
        "made": datetime.now(UTC).date().isoformat(),
        "package": importlib.metadata.version("prunemia"),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "device": device,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "experiments": len(todo),
        "seeds": sorted({exp.seed for exp in todo}),
        "versions": versions(names, sorted({exp.model for exp in todo})),
    }


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write(name: str, table: pd.DataFrame, about: dict[str, Any], place: Path) -> None:
    """Write a table and its record, each whole."""
    with whole(place / f"{name}.csv") as rows, whole(place / f"{name}.json") as said:
        table.round(DIGITS).to_csv(rows, index=False, lineterminator="\n")
        said.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
