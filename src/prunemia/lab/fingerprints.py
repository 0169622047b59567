"""What a data set is, remembered: fingerprint, size and shape without reading it again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from prunemia import data
from prunemia.experiment import Experiment, content_key
from prunemia.store import Store, pack_json, unpack_json

VERSION = 1
"""Raise it when a reader gives other arrays for the same files."""
GENERATORS = ("mnist1d", "numpy", "scikit-learn", "scipy")
"""The packages that a data set without files depends on."""


@dataclass(frozen=True)
class Facts:
    """What keys and cost estimates need of a data set.

    Attributes
    ----------
    fingerprint : of the contents (`data.Dataset.fingerprint`).
    rows, shape, classes : how many samples, the shape of one, how many classes.
    """

    fingerprint: str
    rows: int
    shape: tuple[int, ...]
    classes: int

    @property
    def features(self) -> int:
        """How many numbers one sample has."""
        return math.prod(self.shape)


def origin(exp: Experiment) -> str:
    """Return the content key of what an experiment's data set is made from.

    That is its published files' checksums, its generator's versions, or the reader's file; and
    which of their rows.
    """
    name = exp.dataset
    rows = [exp.samples] if exp.rows_seed is None else [exp.samples, exp.rows_seed]
    if name.endswith(".npz"):
        status = Path(name).stat()
        return content_key([VERSION, _digest(name, status.st_mtime_ns, status.st_size), *rows])
    archives = [archive.checksum for archive in data.SOURCES[name].archives]
    return content_key([VERSION, name, archives or _versions(), *rows])


def remembered(store: Store, exp: Experiment, load: Callable[[], data.Dataset]) -> Facts:
    """Return the facts, from the store where they are, else from the data, read by ``load``."""
    key = origin(exp)
    facts = _known(store, key)
    if facts is None:
        loaded = load()
        facts = Facts(loaded.fingerprint, len(loaded), loaded.shape, loaded.classes)
        store.put(
            "data",
            key,
            {"facts.json": pack_json(asdict(facts))},
            {"what": f"what data set {exp.dataset} is"},
        )
    return facts


def foreseen(store: Store, exp: Experiment, load: Callable[[], data.Dataset]) -> Facts:
    """Return the facts without reading published data.

    Data never read have the facts of their sheet, and a fingerprint under which nothing is stored.
    """
    facts = _known(store, origin(exp))
    if facts is not None or exp.dataset.endswith(".npz"):
        return facts or remembered(store, exp, load)
    source = data.SOURCES[exp.dataset]
    unread = " ".join(map(str, ["unread", exp.dataset, exp.samples, exp.rows_seed]))
    return Facts(unread, exp.samples or source.rows, source.shape, source.classes)


def _known(store: Store, key: str) -> Facts | None:
    files = store.get("data", key)
    if files is None:
        return None
    record = unpack_json(files["facts.json"])
    return Facts(**{**record, "shape": tuple(record["shape"])})


@lru_cache(maxsize=1)
def _versions() -> list[str]:
    return [f"{package} {version(package)}" for package in GENERATORS]


@lru_cache(maxsize=64)
def _digest(path: str, _modified: int, _size: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
