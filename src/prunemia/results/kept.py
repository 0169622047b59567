"""Tables of long runs on disk, each with the record of what made it; refused where outdated.

Beside ``results/NAME.csv``, ``NAME.json`` says its grid, the versions of stages and attacks, when,
where and by which libraries each part was made, and of which experiments, so that a grid can grow.
"""

import functools
import hashlib
import importlib.metadata
import io
import json
import platform
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
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

Maker = Callable[..., pd.DataFrame]

KINDS: dict[str, tuple[Maker, str]] = {  # by kind: its maker, and the data sets
    "control": (tables.levels, "digits fashion_mnist letter location mnist1d cifar10"),
    "capacity": (tables.levels, "mnist1d"),
    "pruners": (tables.levels, "mnist1d"),
    "epochs": (Lab.along_epochs, "location mnist1d"),
    "curve": (tables.curve, "cifar10 digits fashion_mnist letter location mnist1d"),
    "paper": (tables.papers, "digits location mnist1d"),
    "concentration": (references.concentration, "mnist1d"),
    "exposure": (references.exposed, "location mnist1d"),
    "references": (references.compared, "location mnist1d"),
    "releases": (tables.released, "location mnist1d"),
    "recipes": (tables.recipes, "location mnist1d"),
    "tradeoff": (tables.tradeoffs, "cifar10 location mnist1d"),
}
TABLES = {f"{kind}_{d}": make for kind, (make, datasets) in KINDS.items() for d in datasets.split()}

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "torch")
DIGITS = 6


class StaleTableError(UsageError):
    """A table was made by other versions than these; the text names them."""


def folder() -> Path:
    """Return ``results/`` of the book's repository here or above; UsageError: there is none."""
    root = repository()
    if root is None or not (root / "results").is_dir():
        where = f"{Path.cwd()}: no results/ of the book here or above"
        raise UsageError(f"{where}; run this in its repository")
    return root / "results"


def exists(name: str) -> bool:
    """Tell whether ``results/`` has a table of this name; outside of the repository it has none."""
    root = repository()
    return root is not None and (root / "results" / f"{name}.csv").is_file()


def read(name: str) -> pd.DataFrame:
    """Return a table of ``results/``, without experiments that would be made otherwise today.

    UsageError: there is no such table. StaleTableError: what this package computes has changed.
    """
    current, missing = _split(name)
    source: Path | io.StringIO = folder() / f"{name}.csv"
    if missing or len(current) < len(record(name)["cells"]):  # cells that left the grid, or changed
        text = _read_text(source)
        source = io.StringIO(text[owners(text, current) >= 0].to_csv(index=False))
    table = pd.read_csv(source, keep_default_na=False, na_values=[""])
    texts = table.select_dtypes("object").columns
    table[texts] = table[texts].fillna("")
    return table


def record(name: str) -> dict[str, Any]:
    """Return what made a table; UsageError where there is none of that name, or no record of it."""
    about = folder() / f"{name}.json"
    if not (exists(name) and about.is_file()):
        known = ", ".join(sorted(file.stem for file in folder().glob("*.csv"))) or "none"
        raise UsageError(f"results: no table {name!r} in {folder()}; there: {known}")
    found: dict[str, Any] = json.loads(about.read_text(encoding="utf-8"))
    return found


def experiments(name: str) -> frozenset[Experiment]:
    """Return the experiments that a table has as of today."""
    return frozenset(_split(name)[0])


def lacking(name: str) -> list[Experiment]:
    """Return the experiments of its grid that a table lacks: new there, or made otherwise today."""
    return _split(name)[1]


def by_dataset(kind: str) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return the tables of a kind that results/ has: data set → the table's name, and the table."""
    found = {name: read(name) for name in _of_kind(kind)}
    return {str(table["dataset"].iloc[0]): (name, table) for name, table in found.items()}


def holding(kind: str, wanted: Iterable[Experiment]) -> str:
    """Return the name of the table of a kind that has all these experiments, or ""."""
    wanted = set(wanted)
    return next((name for name in _of_kind(kind) if wanted <= experiments(name)), "")


def read_or_make(
    kind: str, lab: Lab, wanted: Iterable[Experiment], attacks: Sequence[str], *, most: int = MOST
) -> tuple[str, pd.DataFrame]:
    """Return the whole kept table that has these experiments, with its name; else "" and a new one.

    Computed are the short list of releases, and `tables.variants`. ``most``: references.
    """
    todo = list(wanted)
    if most == MOST and (name := holding(kind, todo)):
        return name, read(name)
    if kind == "tradeoff":
        todo = [variant for exp in todo for variant in tables.variants(exp)]
    own: dict[str, Any] = {"releases": {"only": tables.SHORT}}
    own |= {name: {"most": most} for name in ("references", "exposure")}
    return "", KINDS[kind][0](lab, todo, attacks, **own.get(kind, {}))


def _of_kind(kind: str) -> list[str]:
    return [name for name in TABLES if name.split("_", 1)[0] == kind and exists(name)]


def _split(name: str) -> tuple[list[Experiment], list[Experiment]]:
    """Return the experiments of a table's grid that it has as of today, and those that it lacks."""
    about = record(name)
    grid = folder().parent / about["grid"]
    if not grid.is_file():
        raise StaleTableError(f"results/{name}.csv: its grid {about['grid']} is gone")
    wanted = _grid(grid, grid.stat().st_mtime_ns)
    command = f"'prunemia results {name}'"
    if other := _other_version(about, wanted.attacks):
        raise StaleTableError(f"results/{name}.csv: {other}; make it anew with {command}")
    current = [exp for exp in wanted.experiments if cell(exp) in about["cells"]]
    if not current:
        said = f"the {len(wanted.experiments)} experiments of {about['grid']} are new or changed"
        raise StaleTableError(
            f"results/{name}.csv: {said} since it was made; compute them with {command}"
        )
    known = set(current)
    return current, [exp for exp in wanted.experiments if exp not in known]


@functools.lru_cache(maxsize=64)
def _grid(path: Path, _changed: int) -> grids.Grid:
    return grids.read(path)


def _other_version(about: dict[str, Any], names: Iterable[str]) -> str:
    """Return which version of a stage or an attack is not today's, "" where all are."""
    now = versions(names)
    without = [name for name in now["attacks"] if name not in about["versions"]["attacks"]]
    if without:
        return f"made without {', '.join(without)}"
    for kind, known in about["versions"].items():
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

    Defaults and first versions do not count: a new field leaves hashes alone.
    """
    defenses = (exp.defense, exp.adversary and exp.adversary.defense)
    kinds = [("model", exp.model, NETWORKS[exp.model].version)]
    kinds += [("defense", name, DEFENSES[name].version) for name in defenses if name]
    later = {f"{kind} {name}": version for kind, name, version in kinds if version > 1}
    return content_key([exp.model_dump(mode="json", exclude_defaults=True), later])[:8]


SMALL = {"samples": 300, "epochs": 2, "finetune_epochs": 1, "shadows": 2, "draws": 1}
PROBED = (("mnist1d", "cnn1d"), ("mnist1d", "columnfc"), ("digits", "cnn2d"))  # one of each kind


@functools.cache
def probe(device: str = "cpu") -> str:
    """Return a hash of a small training and attack: equal where arithmetic is equal to the bit."""
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
    text = about.read_text(encoding="utf-8") if about.is_file() else ""
    found = re.search(r"^model name\s*:(.*)$", text, re.MULTILINE)
    name = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def make(
    name: str,
    lab: Lab,
    workers: int = 1,
    anew: bool = False,
    wanted: Callable[[Experiment], bool] = lambda _: True,
) -> pd.DataFrame:
    """Compute what a table lacks of its grid, and write it, with its record, to ``results/``.

    Rows of experiments that say what they said stay bit for bit, those that left the grid go; all
    is computed ``anew`` where versions or columns are others. ``workers``: processes here; 1: this
    one, or the lab's scheduler. ``wanted``: which experiments now. UsageError: no such table.
    """
    if name not in TABLES:
        raise UsageError(f"results: {name!r} is not allowed; allowed: {', '.join(TABLES)}")
    path = folder() / f"{name}.csv"
    grid = grids.read(path.parent.parent / "grids" / f"{name}.yml")
    about: dict[str, Any] = {"parts": [], "cells": {}}
    kept: list[pd.DataFrame] = []
    made: list[Experiment] = []
    if not anew and exists(name) and not _other_version(record(name), grid.attacks):
        about, rows = record(name), _read_text(path)
        made = [exp for exp in grid.experiments if cell(exp) in about["cells"]]
        owner = owners(rows, made)
        kept, made = [rows[owner >= 0]], [made[place] for place in sorted({*owner} - {-1})]
    part_of = {exp: about["cells"][cell(exp)] for exp in made}
    todo = [exp for exp in grid.experiments if exp not in part_of and wanted(exp)]
    if todo:
        with sweep.local_workers(workers) if workers > 1 else nullcontext(lab.scheduler) as address:
            at_work = Lab(lab.store.root, address, lab.device, lab.progress)
            new = as_text(TABLES[name](at_work, todo, grid.attacks))
        if kept and not set(kept[0]) <= set(new):
            return make(name, lab, workers, anew=True)
        # columns that came later are empty in rows that were made before
        kept = [*(rows.reindex(columns=new.columns, fill_value="") for rows in kept), new]
    part_of |= dict.fromkeys(todo, len(about["parts"]))
    made = [exp for exp in grid.experiments if exp in part_of]
    table = pd.concat(kept, ignore_index=True)
    table = table.iloc[np.argsort(owners(table, made), kind="stable")]
    device, version = lab.device.type, importlib.metadata.version
    part = {
        "made": datetime.now(UTC).date().isoformat(),
        "package": version("prunemia"),
        "python": platform.python_version(),
        "libraries": {library: version(library) for library in LIBRARIES},
        "device": device,
        "processor": {"name": processor(device), "probe": probe(device)},
    }
    parts = [*about["parts"], part]
    left, counts = sorted(set(part_of.values())), Counter(part_of.values())
    about = {
        "grid": f"grids/{name}.yml",
        "versions": versions(grid.attacks),
        "parts": [{**parts[index], "experiments": counts[index]} for index in left],
        "cells": {cell(exp): left.index(part_of[exp]) for exp in made},
    }
    with atomic_write(path) as csv, atomic_write(path.with_suffix(".json")) as json_file:
        table.to_csv(csv, index=False, lineterminator="\n")
        json_file.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return read(name)


def owners(table: pd.DataFrame, experiments: Sequence[Experiment]) -> NDArray[np.int64]:
    """Return each row's experiment by index, or -1; UsageError: columns do not tell two apart."""
    if not experiments:
        return np.full(len(table), -1)
    labels = as_text(pd.DataFrame([fields(exp) | tables.label(exp) for exp in experiments]))
    columns = [str(column) for column in labels if column in table]
    labels = labels[columns]
    if count := int(labels.duplicated().sum()):
        said = (
            f"{len(labels)} experiments, of which {', '.join(columns)} tell {len(labels) - count}"
        )
        raise UsageError(f"results: {said} apart; take the others out of the grid")
    mine = table[columns].replace({"pruner": {tables.ORIGINAL: "dense"}})
    places = mine.merge(labels.assign(place=labels.index), how="left")["place"]
    return places.fillna(-1).to_numpy(dtype=np.int64)


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table's cells as `make` writes them, so that rows can be put beside kept ones."""
    text = table.round(DIGITS).to_csv(index=False, lineterminator="\n")
    return _read_text(io.StringIO(text))


def _read_text(source: Path | io.StringIO) -> pd.DataFrame:
    return pd.read_csv(source, dtype=str, keep_default_na=False)
