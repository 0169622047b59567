"""The data sets: where each comes from, its checksum, its license; and the seeded split.

Arrays are NumPy's: nothing here needs torch to load what the book runs by default.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from prunemia.data.canaries import Canaries, plant
from prunemia.data.dataset import DataError, Dataset, as_features, check_samples
from prunemia.data.download import find, folders
from prunemia.data.own import check_own, load_own
from prunemia.data.readers import Arrays
from prunemia.data.scaling import ScaleWarning, standardized
from prunemia.data.sources import sheets
from prunemia.data.splitting import OWN, Split, split, victims_half
from prunemia.kinds import SOURCES, Archive, Source
from prunemia.kinds.registry import load as load_place

__all__ = [
    "OWN",
    "SOURCES",
    "Archive",
    "Canaries",
    "DataError",
    "Dataset",
    "ScaleWarning",
    "Source",
    "Split",
    "check_own",
    "fetch",
    "folders",
    "load",
    "plant",
    "sheets",
    "split",
    "standardized",
    "victims_half",
]

MOST_GENERATED = 1_000_000
"""Most samples of a generated data set: 0.2 GiB of MNIST-1D, and minutes to generate them."""


def load(name_or_path: str | Path, samples: int | None = None, progress: bool = True) -> Dataset:
    """Return a data set by name, or the reader's own by the path of an .npz file.

    Parameters
    ----------
    name_or_path : a name of `sheets`, or a path that ends in ``.npz`` (`own.load_own`).
    samples : how many, always the same ones; None: all. MNIST-1D is generated with that many, up
        to a million.
    progress : show the progress of a download on stderr.

    Raises
    ------
    DataError
        The data cannot be had, are damaged, or have fewer samples.
    """
    if str(name_or_path).endswith(".npz"):
        return load_own(Path(name_or_path)).sample(samples)
    source = _source(str(name_or_path))
    if source.generate is not None:
        check_samples(samples, source.name, MOST_GENERATED)
        return _dataset(source, load_place(source.generate)(samples or source.rows)).sample(samples)
    check_samples(samples, source.name, source.rows)  # before anything is downloaded
    return _dataset(source, _read(source, progress)).sample(samples)


def fetch(name: str, progress: bool = True) -> list[Path]:
    """Return the verified published files of a data set, downloaded where need be.

    A data set that is generated or built in has none.

    Raises
    ------
    DataError
        As `load`.
    """
    return [find(archive, progress) for archive in _source(name).archives]


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise DataError(
            f"data set {name!r} is not known; allowed: {', '.join(SOURCES)}, "
            "or the path of an .npz file"
        )
    return SOURCES[name]


def _read(source: Source, progress: bool) -> Arrays:
    assert source.read is not None
    features, labels = load_place(source.read)(fetch(source.name, progress))
    published = (source.rows, *source.shape)
    if features.shape != published or labels.shape != (source.rows,):
        raise DataError(f"{source.name} has shape {features.shape}, not {published} as published")
    if labels.min() != 0 or labels.max() != source.classes - 1:
        raise DataError(
            f"{source.name} has labels {labels.min()} to {labels.max()}, "
            f"not 0 to {source.classes - 1}"
        )
    return features, labels


def _dataset(source: Source, arrays: Arrays) -> Dataset:
    features, labels = arrays
    return Dataset(
        source.name,
        as_features(features),
        np.ascontiguousarray(labels, dtype=np.int64),
        source.classes,
    )
