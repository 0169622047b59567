"""What a loaded data set is, and what its loaders raise."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from prunemia.experiment import seed_of


class DataError(RuntimeError):
    """Data cannot be had, read, or used; the text says what, where and why in one sentence."""


def as_features(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers of any type as float32, pixels scaled to 0 … 1.

    Pixels are whole bytes (uint8) of three dimensions and more.
    """
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(array, dtype=np.float32)
    if array.dtype == np.uint8 and array.ndim > 2:
        features = features / np.float32(255)
    return features


def check_samples(samples: int | None, name: str, size: int) -> None:
    """Raise DataError where a data set of this size has not as many ``samples``; None: all."""
    if samples is not None and not 1 <= samples <= size:
        raise DataError(f"samples: {samples} of data set {name!r}; allowed: 1 to {size}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """The samples of one data set, all of them pooled.

    Parameters
    ----------
    name : what it is called: a source's name, or an archive's path.
    features : shape (n, …) float32: (n, f), (n, channels, length) or (n, channels, height, width).
    labels : shape (n,) int64, 0 … classes-1.
    classes : how many classes there are.
    """

    name: str
    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.features.shape[1:]

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of SHA-256 of the contents; the name is not part of them."""
        digest = hashlib.sha256(repr((self.features.shape, self.classes)).encode())
        for array in (
            np.ascontiguousarray(self.features, "<f4"),
            np.ascontiguousarray(self.labels, "<i8"),
        ):
            digest.update(array.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()[:32]

    def sample(self, samples: int | None, seed: int | None = None) -> Self:
        """Return as many ``samples``; None: all.

        Without a ``seed`` they are always the same ones: the choice depends on the data set's size
        alone. With one, every seed has its own. A smaller choice is part of a larger one.

        Raises
        ------
        DataError
            ``samples`` is not among 1 … n; with a seed, not among 1 … n-1.
        """
        size = len(self)
        check_samples(samples, self.name, size)
        if seed is not None and samples in (None, size):
            raise DataError(
                f"rows: 'fresh' is not allowed with all {size} samples of data set {self.name!r}; "
                f"allowed: 'same', or samples below {size}"
            )
        if samples is None or samples == size:
            return self
        purpose = ["samples", size] if seed is None else ["samples", size, seed]
        order = np.random.default_rng(seed_of(*purpose)).permutation(size)
        chosen = order[:samples]
        return type(self)(self.name, self.features[chosen], self.labels[chosen], self.classes)
