"""Tables of long runs on disk, each with the record of what made it; refused where outdated.

``results/NAME.csv`` is the table; ``results/NAME.json`` says which grid it is of, by which versions
of stages and attacks, which part of it was made when, where and by which libraries, and which
experiments each part is of. A grid can therefore grow: what is there stays, the rest is computed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import io
import json
import platform
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from prunemia import attacks
from prunemia.errors import UsageError
from prunemia.experiment import Experiment, content_key
from prunemia.files import atomic_write
from prunemia.lab import Lab, sweep
from prunemia.lab import grid as grids
from prunemia.lab.effects import fields
from prunemia.lab.stages import STAGES
from prunemia.registry import DEFENSES, NETWORKS
from prunemia.results import references, tables
from prunemia.results.references import MOST
from prunemia.store import repository

Maker = Callable[[Lab, Sequence[Experiment], Sequence[str]], pd.DataFrame]

TABLES: dict[str, Maker] = {
    "concentration_mnist1d": references.concentration,
    "control_digits": tables.levels,
    "control_fashion_mnist": tables.levels,
    "control_letter": tables.levels,
    "control_location": tables.levels,
    "control_mnist1d": tables.levels,
    "capacity_mnist1d": tables.levels,
    "epochs_location": Lab.along_epochs,
    "epochs_mnist1d": Lab.along_epochs,
    "pruners_mnist1d": tables.levels,
    "control_cifar10": tables.levels,
    "curve_cifar10": tables.curve,
    "curve_digits": tables.curve,
    "curve_fashion_mnist": tables.curve,
    "curve_location": tables.curve,
    "curve_mnist1d": tables.curve,
    "paper_digits": tables.papers,
    "paper_location": tables.papers,
    "paper_mnist1d": tables.papers,
    "exposure_location": references.exposed,
    "exposure_mnist1d": references.exposed,
    "references_location": references.compared,
    "references_mnist1d": references.compared,
    "releases_location": tables.released,
    "releases_mnist1d": tables.released,
    "recipes_location": tables.recipes,
    "recipes_mnist1d": tables.recipes,
    "tradeoff_location": tables.tradeoffs,
    "tradeoff_mnist1d": tables.tradeoffs,
}
"""How each table is made of its grid, the file of its name in ``grids/``; KIND_DATASET."""

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "torch")
DIGITS = 6
"""Decimal places of a table's numbers."""


class StaleTableError(UsageError):
    """A table was made by other versions than these; the text names them."""


class Record(dict[str, Any]):
    """What made a table; pandas copies a table's attributes in depth with every operation."""

    def __deepcopy__(self, _: object) -> Record:
        return self


# --- Reading ------------------------------------------------------------------------------------


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


def exists(name: str) -> bool:
    """Tell whether ``results/`` has a table of this name; outside of the repository it has none."""
    try:
        return (folder() / f"{name}.csv").is_file()
    except UsageError:
        return False


def read(name: str) -> pd.DataFrame:
    """Return a table of ``results/``; its ``attrs["record"]`` says what made it.

    Experiments that would be made otherwise today are left out until they are computed.

    Raises
    ------
    UsageError
        There is no such table.
    StaleTableError
        What this package computes has changed since the table was made.
    """
    path, record = _files(name)
    current, missing = _split(name, record)
    source: Path | io.StringIO = path
    if missing or len(current) < len(record["cells"]):  # cells that changed, or left the grid
        text = _read_text(path)
        source = io.StringIO(text[owners(text, current) >= 0].to_csv(index=False))
    table = pd.read_csv(source, keep_default_na=False, na_values=[""])
    texts = table.select_dtypes("object").columns
    table[texts] = table[texts].fillna("")
    table.attrs["record"] = record
    return table


def experiments(name: str) -> frozenset[Experiment]:
    """Return the experiments that a table has as of today."""
    return frozenset(_split(name, _files(name)[1])[0])


def lacking(name: str) -> list[Experiment]:
    """Return the experiments of its grid that a table lacks: new there, or made otherwise today."""
    return _split(name, _files(name)[1])[1]


def by_dataset(kind: str) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return the tables of a kind that results/ has: data set → the table's name, and the table."""
    found = {name: read(name) for name in _of_kind(kind) if exists(name)}
    return {str(table["dataset"].iloc[0]): (name, table) for name, table in found.items()}


def holding(kind: str, wanted: Iterable[Experiment]) -> str:
    """Return the name of the table of a kind that has all these experiments, or ""."""
    wanted = set(wanted)
    return next((n for n in _of_kind(kind) if exists(n) and wanted <= experiments(n)), "")


def read_or_make(
    kind: str,
    lab: Lab,
    wanted: Iterable[Experiment],
    attacks: Sequence[str],
    *,
    most: int = MOST,
) -> tuple[str, pd.DataFrame]:
    """Return the kept table that has these experiments, with its name; else "" and it computed.

    The kept table comes whole, with all its runs. Computed are the short list of releases, and
    `tables.variants`. ``most``: references; the kept tables have 64.
    """
    todo = list(wanted)
    if most == MOST and (name := holding(kind, todo)):
        return name, read(name)
    options: dict[str, Any] = {"releases": {"only": tables.SHORT}}.get(kind, {})
    if kind in ("references", "exposure"):
        options = {"most": most}
    if kind == "tradeoff":
        todo = [variant for exp in todo for variant in tables.variants(exp)]
    maker: Callable[..., pd.DataFrame] = TABLES[_of_kind(kind)[0]]
    return "", maker(lab, todo, attacks, **options)


def _of_kind(kind: str) -> list[str]:
    return [name for name in TABLES if name.split("_", 1)[0] == kind]


def _files(name: str) -> tuple[Path, Record]:
    """Return where a table is, and its record; both files have to be there."""
    path, about = folder() / f"{name}.csv", folder() / f"{name}.json"
    if not (path.is_file() and about.is_file()):
        known = ", ".join(sorted(file.stem for file in folder().glob("*.csv"))) or "none"
        raise UsageError(f"results: no table {name!r} in {folder()}; there: {known}")
    return path, Record(json.loads(about.read_text(encoding="utf-8")))


def _split(name: str, record: Record) -> tuple[list[Experiment], list[Experiment]]:
    """Return the experiments of a table's grid that it has as of today, and those that it lacks.

    Raises
    ------
    StaleTableError
        The grid is gone, versions of stages or attacks are others, or all of it is lacking.
    """
    grid = folder().parent / record["grid"]
    command = f"'prunemia results {name}'"
    if not grid.is_file():
        raise StaleTableError(f"results/{name}.csv: its grid {record['grid']} is gone")
    wanted = _grid(grid, grid.stat().st_mtime_ns)
    if other := _other_version(record, wanted.attacks):
        raise StaleTableError(f"results/{name}.csv: {other}; make it anew with {command}")
    known: dict[bool, list[Experiment]] = {True: [], False: []}
    for exp in wanted.experiments:
        known[cell(exp) in record["cells"]].append(exp)
    if not known[True]:
        raise StaleTableError(
            f"results/{name}.csv: the {len(wanted.experiments)} experiments of {record['grid']} "
            f"are new or changed since it was made; compute them with {command}"
        )
    return known[True], known[False]


@functools.lru_cache(maxsize=64)
def _grid(path: Path, _changed: int) -> grids.Grid:
    return grids.read(path)


def _other_version(record: Record, names: Iterable[str]) -> str:
    """Return which version of a stage or an attack is not today's, "" where all are."""
    now = versions(names)
    without = [name for name in now["attacks"] if name not in record["versions"]["attacks"]]
    if without:
        return f"made without {', '.join(without)}"
    for kind, known in record["versions"].items():
        for what, version in known.items():
            if (today := now[kind].get(what)) != version:
                return f"made by version {version} of {kind} {what!r}, which is now {today}"
    return ""


# --- What made a table --------------------------------------------------------------------------


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


def _part(device: str) -> dict[str, Any]:
    """Return what a record says of a part that is made here and now."""
    return {
        "made": datetime.now(UTC).date().isoformat(),
        "package": importlib.metadata.version("prunemia"),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "device": device,
        "processor": {"name": processor(device), "probe": probe(device)},
    }


SMALL = {"samples": 300, "epochs": 2, "finetune_epochs": 1, "shadows": 2, "draws": 1}
PROBED = (("mnist1d", "cnn1d"), ("mnist1d", "columnfc"), ("digits", "cnn2d"))
"""One of each kind of network that tables are made of; their widths and batches are the tables'."""


@functools.cache
def probe(device: str = "cpu") -> str:
    """Return a hash of a small training and attack: equal where arithmetic is equal, bit for bit.

    Processors differ in the order in which they add, and library versions do, so the last bits of
    a sum differ, and each step of training magnifies that. Sixteen hexadecimal digits.
    """
    found = hashlib.sha256()
    with tempfile.TemporaryDirectory() as store:
        lab = Lab(store, device=device, progress=False)
        for dataset, model in PROBED:
            exp = Experiment(dataset=dataset, model=model, **SMALL)
            for tensor in lab.pruned(exp).module.state_dict().values():
                found.update(tensor.cpu().numpy().tobytes())
            found.update(lab.attack(exp, "samia", epochs=1).scores.tobytes())
    return found.hexdigest()[:16]


def processor(device: str = "cpu") -> str:
    """Return what the processor is called, and the instructions that torch uses of it."""
    if device != "cpu":
        return str(torch.cuda.get_device_name(device))
    about = Path("/proc/cpuinfo")  # Linux tells more than Python does
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


# --- Making and extending -----------------------------------------------------------------------


def make(
    name: str,
    lab: Lab,
    workers: int = 1,
    anew: bool = False,
    wanted: Callable[[Experiment], bool] = lambda _: True,
) -> pd.DataFrame:
    """Compute what a table lacks of its grid, and write it, with its record, to ``results/``.

    Rows of experiments that say what they said are kept bit for bit, those of experiments that left
    the grid are dropped. If the versions of stages or attacks are others, or the columns are, all
    is computed.

    ``workers``: processes on this machine; 1: this one, or the lab's scheduler. ``anew``: compute
    all. ``wanted``: which of the experiments that it lacks are computed now.

    Raises
    ------
    UsageError
        There is no such table, or its grid is not allowed.
    """
    if name not in TABLES:
        raise UsageError(f"results: {name!r} is not allowed; allowed: {', '.join(TABLES)}")
    file = folder().parent / "grids" / f"{name}.yml"
    grid = grids.read(file)
    rows, cells, parts = (None, {}, []) if anew else _reusable(name, grid)
    todo = [exp for exp in grid.experiments if cell(exp) not in cells and wanted(exp)]
    pieces = [] if rows is None else [rows]
    if todo:
        cluster: AbstractContextManager[str | None] = contextlib.nullcontext(lab.scheduler)
        if workers > 1:
            cluster = sweep.local_workers(workers)
        with cluster as address:
            at_work = Lab(lab.store.root, address, lab.device, lab.progress)
            new = as_text(TABLES[name](at_work, todo, grid.attacks))
        if rows is not None and not set(rows) <= set(new):
            return make(name, lab, workers, anew=True)
        # columns that came later are empty in rows that were made before
        pieces = [*(piece.reindex(columns=new.columns, fill_value="") for piece in pieces), new]
    computed = set(todo)
    made = [exp for exp in grid.experiments if exp in computed or cell(exp) in cells]
    table = pd.concat(pieces, ignore_index=True)
    table = table.iloc[np.argsort(owners(table, made), kind="stable")]
    part_of = {known: cells.get(known, len(parts)) for known in map(cell, made)}
    left, counts = sorted(set(part_of.values())), Counter(part_of.values())
    parts = [*parts, _part(lab.device.type)]
    record = {
        "grid": f"grids/{file.name}",
        "versions": versions(grid.attacks),
        "parts": [{**parts[index], "experiments": counts[index]} for index in left],
        "cells": {known: left.index(index) for known, index in part_of.items()},
    }
    path = folder() / f"{name}.csv"
    with atomic_write(path) as csv, atomic_write(path.with_suffix(".json")) as about:
        table.to_csv(csv, index=False, lineterminator="\n")
        about.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return read(name)


def _reusable(
    name: str, grid: grids.Grid
) -> tuple[pd.DataFrame | None, Mapping[str, int], list[dict[str, Any]]]:
    """Return the rows that are kept of a table, which part made each of their cells, all parts.

    None, if there is no such table or other versions made it.
    """
    try:
        path, record = _files(name)
    except UsageError:
        return None, {}, []
    if _other_version(record, grid.attacks):
        return None, {}, []
    table = _read_text(path)
    same = [exp for exp in grid.experiments if cell(exp) in record["cells"]]
    owner = owners(table, same)
    cells = {cell(same[index]) for index in set(owner[owner >= 0])}
    return table[owner >= 0], {c: record["cells"][c] for c in cells}, record["parts"]


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
    labels = as_text(pd.DataFrame([fields(exp) | tables.label(exp) for exp in experiments]))
    columns = [str(column) for column in labels if column in table]
    places = {key: place for place, key in enumerate(map(tuple, labels[columns].to_numpy()))}
    if len(places) < len(experiments):
        raise UsageError(
            f"results: {len(experiments)} experiments, of which {', '.join(columns)} tell "
            f"{len(places)} apart; take the others out of the grid"
        )
    mine = table[columns]
    if "pruner" in columns:
        mine = mine.assign(pruner=mine["pruner"].replace(tables.ORIGINAL, "dense"))
    return np.array([places.get(key, -1) for key in map(tuple, mine.to_numpy())], dtype=np.int64)


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table's cells as `make` writes them, so that rows can be put beside kept ones."""
    text = table.round(DIGITS).to_csv(index=False, lineterminator="\n")
    return _read_text(io.StringIO(text))


def _read_text(source: Path | io.StringIO) -> pd.DataFrame:
    return pd.read_csv(source, dtype=str, keep_default_na=False)
