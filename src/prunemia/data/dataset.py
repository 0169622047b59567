"""A loaded data set; who owns which of its samples; canaries among them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunemia.errors import RunError
from prunemia.experiment import seed_of

OWN = 1 << 20  # networks from this number on are cut from the victim's half, as the victim is
FEWEST = 2  # samples of a part: one sample has no batch statistics and no spread


class DataError(RunError):
    """Data cannot be had, read, or used; the text says what, where and why in one sentence."""


def as_features(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers as float32; bytes (uint8) of three dimensions and more, pixels, as 0 … 1."""
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(array, dtype=np.float32)
    pixels = array.dtype == np.uint8 and array.ndim > 2
    return features / np.float32(255) if pixels else features


def check_samples(samples: int | None, name: str, size: int) -> None:
    """Raise DataError where a data set of this size has not as many ``samples``; None: all."""
    if samples is not None and not 1 <= samples <= size:
        raise DataError(f"samples: {samples} of data set {name!r}; allowed: 1 to {size}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """The samples of one data set, all of them pooled; ``name``: a source's, or a file's path.

    ``features``: float32, (n, f), (n, channels, length) or (n, channels, height, width);
    ``labels``: (n,) int64, 0 … classes-1.
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
        digest.update(np.ascontiguousarray(self.features, "<f4").data)
        digest.update(np.ascontiguousarray(self.labels, "<i8").data)
        return digest.hexdigest()[:32]

    def sample(self, samples: int | None, seed: int | None = None) -> Self:
        """Return as many ``samples``; None: all. A smaller choice is part of a larger one.

        Each ``seed`` has its own; without one the choice depends on the data set's size alone.
        DataError: there are fewer, or, with a seed, all are to be chosen.
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
        chosen = np.random.default_rng(seed_of(*purpose)).permutation(size)[:samples]
        return type(self)(self.name, self.features[chosen], self.labels[chosen], self.classes)


@dataclass(frozen=True, eq=False)
class Split:
    """Sample numbers, int64, of one network's parts, disjoint and in random order.

    Members are ``train``, non-members ``test``; ``validation`` stops training and selects epochs.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]

    @property
    def asked(self) -> NDArray[np.int64]:
        """The samples that a network is asked: its members, then its non-members."""
        return np.concatenate([self.train, self.test])


def split(dataset: Dataset, seed: int, index: int) -> Split:
    """Return the parts of network ``index``: 0 the victim, 1 … k shadows, from `OWN` references.

    A permutation by the data and ``seed`` gives the victim n // 2 samples and the adversary the
    rest. Each network permutes its owner's half anew and takes 45 % for testing, of the remainder
    18.18 % for validation, both rounded up, and trains on the rest: 45 / 10 / 45 %. References
    share the victim's half, in pairs: the second trains on what tests the first, and vice versa.
    Parts depend on (data, seed, index) alone: shadow 3 is the same among 5 and 64. DataError: too
    few samples, or one class alone. Source: Yuan & Zhang (2022), section 6.1; not stratified.
    """
    n, reference = len(dataset), index >= OWN
    tests, validations = _shares(n // 2)  # the victim's half is never the larger one
    if min(validations, n // 2 - tests - validations) < FEWEST:
        few = f"{n} samples are too few to split among victim and adversary"
        raise DataError(f"data set {dataset.name!r}: {few}")
    order = _permutation(n, dataset, seed, "halves")
    half = order[: n // 2] if index == 0 or reference else order[n // 2 :]
    drawn = index - (index - OWN) % 2 if reference else index
    shuffled = half[_permutation(len(half), dataset, seed, drawn)]
    test, validation, train = np.split(shuffled, np.cumsum(_shares(len(shuffled))))
    if drawn != index:  # as many as the first's; the test part is never the smaller one
        test, train = np.concatenate([test[len(train) :], train]), test[: len(train)]
    if len(np.unique(dataset.labels[train])) < 2:
        alike = f"the training samples of network {index} are all of one class"
        raise DataError(f"data set {dataset.name!r}: {alike}")
    return Split(train, validation, test)


def victims_half(dataset: Dataset, seed: int) -> NDArray[np.int64]:
    """Return the samples of the victim's half, of which its references are cut as well."""
    return _permutation(len(dataset), dataset, seed, "halves")[: len(dataset) // 2]


def _shares(half: int) -> tuple[int, int]:
    """Return how many of a half's samples are for testing, and for validation."""
    tests = -(-half * 4500 // 10_000)
    return tests, -(-(half - tests) * 1818 // 10_000)


def _permutation(samples: int, dataset: Dataset, *purpose: str | int) -> NDArray[np.int64]:
    seed = seed_of("split", dataset.fingerprint, *purpose)
    return np.random.default_rng(seed).permutation(samples)


@dataclass(frozen=True, eq=False)
class Canaries:
    """m samples, each shape (m,): numbers, wrong labels, whether the victim trains on them."""

    samples: NDArray[np.int64]
    labels: NDArray[np.int64]
    included: NDArray[np.bool_]


def plant(dataset: Dataset, seed: int, count: int) -> Canaries:
    """Return ``count`` canaries, drawn from the victim's test samples, of which two have to remain.

    Each gets a label drawn from the other classes, and is included with probability 1/2. DataError:
    too many. Source: Steinke, Nasr & Jagielski (2023), algorithm 1; Nasr et al. (2021).
    """
    test = split(dataset, seed, 0).test
    if count > len(test) - 2:
        raise DataError(
            f"canaries: {count} is not allowed: data set {dataset.name!r} leaves the victim "
            f"{len(test)} test samples; allowed: at most {len(test) - 2}"
        )
    draw = np.random.default_rng(seed_of("canaries", dataset.fingerprint, seed, count))
    samples = np.sort(draw.choice(test, count, replace=False))
    shift = draw.integers(1, dataset.classes, count)
    labels = (dataset.labels[samples] + shift) % dataset.classes
    return Canaries(samples, labels, draw.random(count) < 0.5)


def standardized(features: NDArray[np.float32], train_samples: ArrayLike) -> NDArray[np.float32]:
    """Return features, (n, …), shifted and scaled to mean 0, deviation 1 on ``train_samples``."""
    train = features[np.asarray(train_samples)].astype(np.float64)
    deviation = train.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return np.asarray((features - train.mean(axis=0)) / scale, dtype=np.float32)
