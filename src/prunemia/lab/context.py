"""What steps are carried out with: a store, a device, the data; and the form of a stage."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from prunemia import data
from prunemia.experiment import Experiment, content_key
from prunemia.files import pack_arrays, pack_json, unpack_arrays, unpack_json
from prunemia.lab.steps import VICTIM, Step, experiment_label, network_label
from prunemia.store import Store, default_root

DATA_VERSION = 2  # raise it when a reader or a generator gives other arrays
GENERATORS = [f"{name} {version(name)}" for name in ("mnist1d", "numpy", "scikit-learn", "scipy")]
"""What generated data depend on."""

Files = dict[str, bytes]  # an artefact's, by name
Report = Callable[[str], None]  # moves a bar on by one, and says how it goes


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline: a row of the table `prunemia.lab.stages.STAGES`.

    ``version``: raised when it computes something else. ``says``: what is done, a format.
    ``compute``, ``load``: to the artefact's files, and back to a value. ``settings``: to JSON
    values that decide the result. ``needs``: to the steps that it reads.
    """

    version: int
    says: str
    compute: Callable[[Step, Context], Files]
    load: Callable[[Files, Step, Context], Any]
    settings: Callable[[Step, Context], Any] = lambda *_: {}
    needs: Callable[[Step], list[Step]] = lambda step: [step.networks]


class Context:
    """Where steps are carried out: a table of stages, and else what `prunemia.lab.Lab` takes.

    ``foresees``: read no published data, for plans of what has not been downloaded yet.
    """

    def __init__(
        self,
        stages: Mapping[str, Stage],
        store: str | Path | None = None,
        device: str | torch.device | None = None,
        progress: bool = True,
        foresees: bool = False,
    ) -> None:
        self.stages = stages
        self.store = Store(default_root() if store is None else Path(store))
        self.chosen_device = None if device is None else str(device)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.progress = progress
        self.foresees = foresees
        self._facts: dict[str, dict[str, Any]] = {}
        self._keys: dict[Step, str] = {}

    def changed(self, *, progress: bool, foresees: bool = False) -> Context:
        """Return a context with the same store and device."""
        return Context(self.stages, self.store.root, self.chosen_device, progress, foresees)

    def dataset(self, exp: Experiment) -> data.Dataset:
        """Return the experiment's data set; generated samples, which take seconds, are kept."""
        with warnings.catch_warnings():
            if exp.standardize:  # what the warning advises to do
                warnings.simplefilter("ignore", data.ScaleWarning)
            return _dataset(exp.dataset, exp.samples, exp.rows_seed, _origin(exp), self.store.root)

    def split(self, exp: Experiment, network: int = VICTIM) -> data.Split:
        """Return the samples of a network's parts."""
        return data.split(self.dataset(exp), exp.seed, network)

    def facts(self, exp: Experiment) -> dict[str, Any]:
        """Return a data set's fingerprint and classes: kept, or read now, or made up to foresee."""
        origin = _origin(exp)
        if origin not in self._facts:
            files = self.store.get("data", origin)
            if files is not None:
                facts = unpack_json(files["facts.json"])
            elif self.foresees and exp.dataset in data.SOURCES:
                unread = f"unread {exp.dataset} {exp.samples} {exp.rows_seed}"
                facts = {"fingerprint": unread, "classes": data.SOURCES[exp.dataset].classes}
            else:
                loaded = self.dataset(exp)
                facts = {"fingerprint": loaded.fingerprint, "classes": loaded.classes}
                record = {"facts.json": pack_json(facts)}
                self.store.put("data", origin, record, what=f"what {exp.dataset} is")
            self._facts[origin] = facts
        return self._facts[origin]

    def needs(self, step: Step) -> list[Step]:
        """Return the steps whose results a step reads."""
        return self.stages[step.stage].needs(step)

    def key(self, step: Step) -> str:
        """Return a hash: of stage and version, its settings, and the keys of what it needs."""
        if step not in self._keys:
            stage = self.stages[step.stage]
            settings = stage.settings(step, self)  # first: it refuses a wrong attack or option
            needs = [self.key(part) for part in self.needs(step)]
            self._keys[step] = content_key([step.stage, stage.version, settings, needs])
        return self._keys[step]

    def has(self, step: Step) -> bool:
        """Say whether the store has the step's result."""
        return self.store.has(step.stage, self.key(step))

    def value(self, step: Step) -> Any:
        """Return the step's result; it, and what it needs, is computed where the store has none."""
        return self.stages[step.stage].load(self.get_or_compute(step), step, self)

    def get_or_compute(self, step: Step) -> Files:
        """Return the files of the step's artefact; computed once, whoever else wants them."""
        key, title = self.key(step), self.title(step)
        if (files := self.store.get(step.stage, key)) is not None:
            return files
        waits = partial(tqdm.write, f"waiting for another process: {title}", file=sys.stderr)
        with self.store.lock(step.stage, key, on_wait=waits if self.progress else None):
            files = self.store.get(step.stage, key)
            if files is None:
                files = self.stages[step.stage].compute(step, self)
                self.store.put(step.stage, key, files, what=title)
        return files

    def title(self, step: Step) -> str:
        """Return what the step does, for people."""
        networks = network_label(step.group) if step.group else ""
        about = {"networks": networks, "attack": step.attack, "releases": len(step.releases)}
        said = self.stages[step.stage].says.format(**about)
        return f"{said}, {experiment_label(step.exp, step.of)}"

    @contextlib.contextmanager
    def bar(self, title: str, total: int, unit: str = "epoch") -> Iterator[Report]:
        """Show how something goes: what it is given moves on by one, and says how it goes."""
        pause = 0.2 if sys.stderr.isatty() else 5.0  # seconds between lines: a log wants fewer
        hidden = not (self.progress and total)
        with tqdm(total=total, desc=title, unit=unit, disable=hidden, mininterval=pause) as bar:

            def report(line: str) -> None:
                bar.set_postfix_str(line, refresh=False)
                bar.update()

            yield report


def _origin(exp: Experiment) -> str:
    """Return a hash of published files' checksums, generator's versions or own file, and rows."""
    name = exp.dataset
    rows = [exp.samples] if exp.rows_seed is None else [exp.samples, exp.rows_seed]
    if name.endswith(".npz"):
        status = Path(name).stat()
        digest = _digest(name, status.st_mtime_ns, status.st_size)
        return content_key([DATA_VERSION, digest, *rows])
    archives = [archive.checksum for archive in data.SOURCES[name].archives]
    return content_key([DATA_VERSION, name, archives or GENERATORS, *rows])


@lru_cache(maxsize=64)
def _digest(path: str, _modified: int, _size: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=4)
def _dataset(name: str, n: int | None, seed: int | None, key: str, root: Path) -> data.Dataset:
    source, store = data.SOURCES.get(name), Store(root)
    if source is None or source.generate is None:
        return data.load(name, n, rows_seed=seed)
    if (files := store.get("samples", key)) is None:
        made = data.load(name, n, rows_seed=seed)
        packed = pack_arrays({"features": made.features, "labels": made.labels})
        store.put("samples", key, {"samples.npz": packed}, what=f"the samples of {name}")
        return made
    return data.Dataset(name, **unpack_arrays(files["samples.npz"]), classes=source.classes)
