"""Features on one scale: standardized by a network's training samples, or a warning beforehand."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST_RATIO = 100
"""Of the widest feature's range to the narrowest's; above it the widest decides alone."""


class ScaleWarning(UserWarning):
    """Features are not on one scale, so training sees little more than the widest ones."""


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
