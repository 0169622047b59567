"""The reader's own arrays, an .npz with ``features`` or ``images`` and ``labels``."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunemia import checks
from prunemia.data.dataset import DataError, Dataset, as_features
from prunemia.errors import UsageError
from prunemia.files import read_npz

CHANNELS = (1, 3, 4)  # sizes taken for an image's channels: grey, colour, with transparency
FEW = 4  # the most channels of a series told by their number; no image has so few lines
LARGEST_RATIO = 100  # of the widest feature's range to the narrowest's; above, it decides alone
FIRST, LAST = "channels, height, width", "height, width, channels"
SERIES, SERIES_LAST, GREY = "channels, length", "length, channels", "height, width"
LAYOUTS = {2: ("features",), 3: (SERIES, SERIES_LAST, GREY), 4: (FIRST, LAST)}  # by dimensions


class LayoutWarning(UserWarning):
    """What an array's dimensions are was guessed, and they may be something else."""


class ScaleWarning(UserWarning):
    """Features are not on one scale, so training sees little more than the widest ones."""


def load_own(path: Path) -> Dataset:
    """Load an .npz of ``features``, or ``images``, and ``labels``; DataError: it is not like this.

    ``features``: numbers, (n, f); (n, height, width), both 5 or more, images of one channel; (n,
    channels, length) or (n, length, channels), 4 channels or less, series; or images (n, channels,
    height, width), or channels last. ``images``: of any height and width. Bytes (uint8) of three
    dimensions and more are pixels, scaled to 0 … 1. ``labels``: two or more whole numbers, or
    one-hot rows. ``layout``, a text, names the dimensions after the first, as in "channels,
    length". `LayoutWarning`: it is needed; `ScaleWarning`: features are not on one scale.
    """
    try:
        arrays = read_npz(path)
        name = "images" if "images" in arrays and "features" not in arrays else "features"
        for field in (name, "labels"):
            if field not in arrays:
                known = ", ".join(arrays) or "none"
                raise UsageError(f"{path}: field {field!r} is missing; its fields are {known}")
        features, guess = _features(name, arrays)
        numbers = checks.classes(arrays["labels"], len(features))
        values, labels = np.unique(numbers, return_inverse=True)
        if len(values) < 2:
            raise checks.FieldError("labels", "all alike; allowed: 2 or more classes")
    except UsageError as error:
        where = f"{path}: " if isinstance(error, checks.FieldError) else ""
        raise DataError(f"{where}{error}") from None
    if guess:
        warnings.warn(f"{path}: {guess}", LayoutWarning, stacklevel=3)
    if features.ndim == 2:
        # ranges, as rare binary features deviate little; of float32 they may exceed the largest
        ranges = features.max(axis=0).astype(np.float64) - features.min(axis=0)
        ranges = ranges[ranges > 0]
        if len(ranges) and ranges.max() > LARGEST_RATIO * ranges.min():
            said = (
                f"{path}: features are not on one scale (their ranges go from {ranges.min():.3g} "
                f"to {ranges.max():.3g}); set standardize=True in the Experiment"
            )
            warnings.warn(said, ScaleWarning, stacklevel=3)
    return Dataset(str(path), features, labels.astype(np.int64), len(values))


def _features(name: str, arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float32], str]:
    """Return features, channels first, and a sentence where their layout is a guess, else ""."""
    array = arrays[name]
    least, shape = 3 if name == "images" else 2, f"shape {array.shape}"
    if array.dtype.kind not in "biuf" or not least <= array.ndim <= 4 or 0 in array.shape:
        allowed = "numbers of 2 to 4 dimensions (images 3 or 4), none of them empty"
        raise checks.FieldError(name, f"{shape}, type {array.dtype}; allowed: {allowed}")
    layout, *others = _readings(name, array.shape)
    guess = ""
    if "layout" in arrays:
        layout = str(arrays["layout"])
        if layout not in LAYOUTS[array.ndim]:
            allowed = " or ".join(map(repr, LAYOUTS[array.ndim]))
            raise checks.FieldError("layout", f"{layout[:60]!r} with {shape}; allowed: {allowed}")
    elif others:
        guess = (
            f"{name}: {shape}, which is read as ({layout}) and may as well be "
            f"({') or ('.join(others)}); say which it is by a field layout, as in "
            f"np.savez(…, layout={others[0]!r})"
        )
    if layout == GREY:
        array = array[:, np.newaxis]
    if layout in (LAST, SERIES_LAST):
        array = np.moveaxis(array, -1, 1)
    features = as_features(array)
    checks.refuse(name, "value", features, ~np.isfinite(features), "finite numbers")
    return features, guess


def _readings(name: str, shape: tuple[int, ...]) -> list[str]:
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
