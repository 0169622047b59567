"""The reader's own arrays: an .npz file with ``features`` (or ``images``) and ``labels``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunemia.data.dataset import DataError, Dataset, as_features, check_samples
from prunemia.data.npz import Header, NpzError, read_npz
from prunemia.data.scaling import warn_of_scales
from prunemia.data.splitting import check_size

CHANNELS = (1, 3, 4)
"""Sizes of a dimension that are taken for a number of channels: grey, colour, with transparency."""


def load_own(path: Path) -> Dataset:
    """Load the data set of an .npz file; warn where its features are not on one scale.

    ``features`` has one of the shapes

    - (n, f): f features;
    - (n, height, width), both 5 or more: images of one channel, so (n, 8, 8) are images;
    - (n, channels, length), either 4 or less: series;
    - (n, channels, height, width), or with channels last: images.

    ``images`` instead of ``features``: images of any height and width. Numbers of any type; whole
    bytes (uint8) of three dimensions and more are pixels, and scaled to 0 … 1. ``labels``: shape
    (n,), any two or more whole numbers: in ascending order they become 0 … C-1.

    Raises
    ------
    DataError
        The file or a field is not like that, or too large; sizes and types are compared before an
        array is unpacked. Pickled arrays are refused.
    """
    dataset = _read(path)
    warn_of_scales(str(path), dataset.features)
    return dataset


def check_own(path: Path, samples: int | None = None) -> tuple[int, ...]:
    """Refuse what `load_own` or a split refuses, and return the shape of one sample.

    For use before an experiment begins; it warns of nothing.

    Parameters
    ----------
    path : the .npz file; it is read once.
    samples : how many the experiment takes; None: all.

    Raises
    ------
    DataError
        The file cannot be used; the text says why in one sentence.
    """
    features = _read(path).features
    size = len(features)
    check_samples(samples, str(path), size)
    check_size(str(path), samples or size)
    return features.shape[1:]


def _read(path: Path) -> Dataset:
    try:
        arrays = read_npz(path, _checked)
        labels = arrays.pop("labels")
        ((name, array),) = arrays.items()
        features = _features(name, array)
        values, labels = np.unique(labels, return_inverse=True)
        if len(values) < 2:
            raise NpzError(
                f"field 'labels' has {len(values)} different values; at least 2 classes are needed"
            )
    except NpzError as error:
        raise DataError(f"{path}: {error}") from None
    return Dataset(str(path), features, labels.astype(np.int64), len(values))


def _checked(headers: dict[str, Header]) -> tuple[str, str]:
    """Return the names of the two fields, whose headers are as needed and agree."""
    name = "images" if "images" in headers and "features" not in headers else "features"
    for field in (name, "labels"):
        if field not in headers:
            fields = ", ".join(headers) or "none"
            raise NpzError(f"field {field!r} is missing; its fields are {fields}")
    features, labels = headers[name], headers["labels"]
    if features.dtype.kind not in "biuf":
        raise _wrong(name, features, "numbers")
    dimensions = len(features.shape)
    if not (3 if name == "images" else 2) <= dimensions <= 4 or 0 in features.shape:
        raise _wrong(name, features, "2 to 4 dimensions (images 3 or 4), none of them empty")
    if labels.dtype.kind not in "iu" or len(labels.shape) != 1:
        raise _wrong("labels", labels, "whole numbers of shape (n,)")
    if labels.rows != features.rows:
        raise NpzError(
            f"field 'labels' has {labels.rows} samples and field {name!r} {features.rows}"
        )
    return name, "labels"


def _features(name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    # No image has so few lines or columns; two sensors' series have.
    series = name == "features" and min(array.shape[1:]) <= max(CHANNELS)
    if array.ndim == 3 and not series:
        array = array[:, np.newaxis]
    if array.ndim == 4 and array.shape[-1] in CHANNELS and array.shape[1] not in CHANNELS:
        array = np.moveaxis(array, -1, 1)
    features = as_features(array)
    finite = np.isfinite(features)
    if not finite.all():
        sample = int((~finite).reshape(len(finite), -1).any(axis=1).argmax())
        raise NpzError(f"field {name!r} holds a value in sample {sample} that is not finite")
    return features


def _wrong(name: str, header: Header, allowed: str) -> NpzError:
    return NpzError(
        f"field {name!r} has shape {header.shape} and type {header.dtype}; allowed: {allowed}"
    )
