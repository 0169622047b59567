"""The reader's own arrays: an .npz file with ``features`` (or ``images``) and ``labels``."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunemia.data.dataset import DataError, Dataset, as_features

CHANNELS = (1, 3, 4)


def load_own(path: Path) -> Dataset:
    """Load the data set of an .npz file.

    ``features``: shape (n, f), (n, channels, length) or (n, channels, height, width);
    ``images`` instead: (n, height, width), with channels last or first where they
    have any. Numbers of any type; whole bytes (uint8) of three dimensions and more
    are pixels, and scaled to 0 … 1. ``labels``: shape (n,), any two or more
    whole numbers: in ascending order they become 0 … C-1.

    Raises
    ------
    DataError
        The file or a field is not like that. Pickled arrays are refused.
    """
    with _opened(path) as archive:
        name = (
            "images"
            if "images" in archive.files and "features" not in archive.files
            else "features"
        )
        features = _features(path, name, _field(path, archive, name))
        labels = _field(path, archive, "labels")
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise _wrong(path, "labels", labels, "whole numbers of shape (n,)")
    if len(labels) != len(features):
        raise DataError(
            f"{path}: field 'labels' has {len(labels)} rows and field {name!r} {len(features)}"
        )
    values, labels = np.unique(labels, return_inverse=True)
    if len(values) < 2:
        raise DataError(
            f"{path}: field 'labels' has {len(values)} different values; at least 2 classes are needed"
        )
    return Dataset(str(path), features, labels.astype(np.int64), len(values))


def _opened(path: Path) -> Any:
    try:
        if not zipfile.is_zipfile(path):
            path.open("rb").close()
            raise DataError(f"{path} is no .npz archive, or is truncated")
        return np.load(path, allow_pickle=False)
    except (OSError, zipfile.BadZipFile) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path} cannot be read: {reason}") from None


def _field(path: Path, archive: Any, name: str) -> NDArray[Any]:
    if name not in archive.files:
        there = ", ".join(archive.files) or "none"
        raise DataError(f"{path}: field {name!r} is missing; its fields are {there}")
    try:
        return np.asarray(archive[name])
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = (
            "is pickled, which is not read"
            if "allow_pickle" in str(error)
            else f"is damaged: {error}"
        )
        raise DataError(f"{path}: field {name!r} {reason}") from None


def _features(path: Path, name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind not in "biuf":
        raise _wrong(path, name, array, "numbers")
    if not 2 <= array.ndim <= 4 or (name == "images" and array.ndim == 2) or 0 in array.shape:
        raise _wrong(path, name, array, "2 to 4 dimensions (images 3 or 4), none of them empty")
    if name == "images" and array.ndim == 3:
        array = array[:, np.newaxis]
    if array.ndim == 4 and array.shape[-1] in CHANNELS and array.shape[1] not in CHANNELS:
        array = np.moveaxis(array, -1, 1)
    features = as_features(array)
    if not np.isfinite(features).all():
        row = int(np.argwhere(~np.isfinite(features))[0, 0])
        raise DataError(f"{path}: field {name!r} holds a value in row {row} that is not finite")
    return features


def _wrong(path: Path, name: str, array: NDArray[Any], allowed: str) -> DataError:
    return DataError(
        f"{path}: field {name!r} has shape {array.shape} and type {array.dtype}; allowed: {allowed}"
    )
