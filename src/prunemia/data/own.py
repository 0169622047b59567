"""The reader's own arrays, an .npz with ``features`` or ``images`` and ``labels``; scales."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunemia.data.dataset import DataError, Dataset, as_features
from prunemia.errors import UsageError
from prunemia.files import read_npz

CHANNELS = (1, 3, 4)
"""Sizes of a dimension that are taken for channels of an image: grey, colour, with transparency."""
FEW = 4
"""The most channels of a series that are told by their number; no image has so few lines."""
LARGEST_RATIO = 100
"""Of the widest feature's range to the narrowest's; above it the widest decides alone."""
FIRST, LAST = "channels, height, width", "height, width, channels"
SERIES, SERIES_LAST, GREY = "channels, length", "length, channels", "height, width"
LAYOUTS = {2: ("features",), 3: (SERIES, SERIES_LAST, GREY), 4: (FIRST, LAST)}
"""By the number of an array's dimensions: what those after the first may be."""


class LayoutWarning(UserWarning):
    """What an array's dimensions are was guessed, and they may be something else."""


class ScaleWarning(UserWarning):
    """Features are not on one scale, so training sees little more than the widest ones."""


def load_own(path: Path) -> Dataset:
    """Load the data set of an .npz file.

    ``features`` has one of the shapes

    - (n, f): f features;
    - (n, height, width), both 5 or more: images of one channel, so (n, 8, 8) are images;
    - (n, channels, length) or (n, length, channels), 4 channels or less: series;
    - (n, channels, height, width), or with channels last: images.

    ``images`` instead of ``features``: images of any height and width. Numbers of any type; whole
    bytes (uint8) of three dimensions and more are pixels, and scaled to 0 … 1. ``labels``: any two
    or more whole numbers, as `as_labels` takes them. ``layout``, a text, says what the dimensions
    after the first are where that could be something else, as in ``"channels, length"``.

    Warns
    -----
    LayoutWarning
        The dimensions can be read in several ways, and no ``layout`` says which.
    ScaleWarning
        The features are not on one scale.

    Raises
    ------
    DataError
        The file or a field is not like that. Pickled arrays are refused.
    """
    dataset, guess = _read(path)
    if guess:
        warnings.warn(guess, LayoutWarning, stacklevel=3)
    warn_of_scales(str(path), dataset.features)
    return dataset


def as_labels(value: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """Return labels as classes 0 … C-1, in ascending order of what they were, and C.

    Whole numbers of any type, shape (n,) or (n, 1), or the rows of the unit matrix (one-hot).

    Raises
    ------
    ValueError
        They are something else, or of fewer than two classes.
    """
    array = np.asarray(value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    whole = array.dtype.kind in "biuf" and bool(np.isfinite(array).all())
    whole = whole and bool((array == np.trunc(array)).all())
    if whole and array.ndim == 2 and ((array != 0).sum(axis=1) == 1).all() and array.max() == 1:
        array = array.argmax(axis=1)
    if not whole or array.ndim != 1:
        raise ValueError(
            f"field 'labels' has shape {array.shape} and type {array.dtype}; "
            "allowed: whole numbers of shape (n,), or one-hot rows"
        )
    values, labels = np.unique(array, return_inverse=True)
    if len(values) < 2:
        raise ValueError(
            f"field 'labels' has {len(values)} different values; at least 2 classes are needed"
        )
    return labels.astype(np.int64), len(values)


def _read(path: Path) -> tuple[Dataset, str]:
    """Return the data set, and a sentence where its layout is a guess, else ""."""
    try:
        arrays = read_npz(path)
    except UsageError as error:
        raise DataError(str(error)) from None
    try:
        name = "images" if "images" in arrays and "features" not in arrays else "features"
        for field in (name, "labels"):
            if field not in arrays:
                fields = ", ".join(arrays) or "none"
                raise ValueError(f"field {field!r} is missing; its fields are {fields}")
        labels, classes = as_labels(arrays["labels"])
        samples = len(np.atleast_1d(arrays[name]))
        if len(labels) != samples:
            raise ValueError(
                f"field 'labels' has {len(labels)} samples and field {name!r} {samples}"
            )
        features, guess = _features(name, arrays[name], arrays.get("layout"))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    return Dataset(str(path), features, labels, classes), guess and f"{path}: {guess}"


def _features(
    name: str, array: NDArray[Any], layout: NDArray[Any] | None
) -> tuple[NDArray[np.float32], str]:
    shape = f"field {name!r} has shape {array.shape}"
    least = 3 if name == "images" else 2
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{shape} and type {array.dtype}; allowed: numbers")
    if not least <= array.ndim <= 4 or 0 in array.shape:
        raise ValueError(f"{shape}; allowed: 2 to 4 dimensions (images 3 or 4), none of them empty")
    likely, *others = _readings(name, array.shape)
    guess = ""
    if layout is not None:
        likely = str(layout)
        if likely not in LAYOUTS[array.ndim]:
            allowed = " or ".join(map(repr, LAYOUTS[array.ndim]))
            raise ValueError(f"{shape} and field 'layout' is {likely[:60]!r}; allowed: {allowed}")
    elif others:
        guess = (
            f"{shape}, which is read as ({likely}) and may as well be ({') or ('.join(others)}); "
            f"say which it is by a field layout, as in np.savez(…, layout={others[0]!r})"
        )
    if likely == GREY:
        array = array[:, np.newaxis]
    if likely in (LAST, SERIES_LAST):
        array = np.moveaxis(array, -1, 1)
    features = as_features(array)
    finite = np.isfinite(features)
    if not finite.all():
        sample = int((~finite).reshape(len(finite), -1).any(axis=1).argmax())
        raise ValueError(f"field {name!r} holds a value in sample {sample} that is not finite")
    return features, guess


def _readings(name: str, shape: tuple[int, ...]) -> list[str]:
    """Return what the dimensions after the first may be, the likeliest first."""
    if len(shape) == 2:
        return ["features"]
    if len(shape) == 4:
        if shape[-1] in CHANNELS and shape[1] not in CHANNELS:
            return [LAST]
        # (28, 28, 2): two channels or 28; (1, 4, 4) and all that is square in this order is clear
        return [FIRST, LAST] if shape[-1] <= FEW and shape[2] != shape[3] else [FIRST]
    if name == "images":
        return [GREY]
    first, last = shape[1:]
    if min(first, last) > FEW:
        return [GREY] if first == last else [GREY, SERIES, SERIES_LAST]
    if last > FEW or first == 1:
        return [SERIES]
    return [SERIES_LAST, SERIES] if last < first else [SERIES, SERIES_LAST]


def standardized(features: NDArray[np.float32], train_samples: ArrayLike) -> NDArray[np.float32]:
    """Return features of mean 0 and deviation 1 on the training samples.

    The other samples are shifted and scaled by the same numbers, so that nothing of them flows into
    training. A feature that is constant on the training samples is shifted only: it is zero there.

    Parameters
    ----------
    features : shape (n, …), all samples.
    train_samples : the indices of the training samples; at least one.
    """
    train = features[np.asarray(train_samples)].astype(np.float64)
    deviation = train.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return np.asarray((features - train.mean(axis=0)) / scale, dtype=np.float32)


def warn_of_scales(name: str, features: NDArray[np.float32]) -> None:
    """Give one `ScaleWarning` where the ranges of features, shape (n, f), differ a hundredfold.

    Ranges and not deviations: a rare binary feature has a small deviation, but the range of all the
    others. Images and series are on one scale by their nature.
    """
    if features.ndim != 2:
        return
    # float64: the range of finite float32 numbers may exceed the largest of them
    ranges = features.max(axis=0).astype(np.float64) - features.min(axis=0)
    ranges = ranges[ranges > 0]
    if len(ranges) and ranges.max() > LARGEST_RATIO * ranges.min():
        warnings.warn(
            # no page has this parameter, so `-p standardize true` would be refused
            f"{name}: features are not on one scale (their ranges go from {ranges.min():.3g} to "
            f"{ranges.max():.3g}); set standardize=True in the Experiment",
            ScaleWarning,
            stacklevel=4,
        )
