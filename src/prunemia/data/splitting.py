"""Who owns which samples: the victim's half, the adversary's half, and the parts of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunemia.data.dataset import DataError, Dataset
from prunemia.experiment import seed_of

OWN = 1 << 20
"""Networks from this number on are cut from the victim's half, as the victim is."""
FEWEST = 2
"""Fewest samples of a part: one sample has no batch statistics and no spread."""


@dataclass(frozen=True, eq=False)
class Split:
    """Sample indices of one network's parts: disjoint, in random order, int64.

    Members are the training samples and non-members the test samples; validation samples
    only stop training and select epochs, and are neither.
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

    A permutation seeded by the data and ``seed`` gives the victim its first
    n // 2 samples and the adversary the rest. Each network permutes its owner's half
    anew and takes 45 % for testing, then 18.18 % of the remainder for
    validation, both rounded up (as scikit-learn does), and trains on the rest:
    45 / 10 / 45 %. Shadows overlap one another, never the victim. References share the
    victim's half and come in pairs: the second trains on what tests the first, and the other way
    round, so that half of an even number of them trained on a sample (but for validation samples,
    and for a few where the parts' sizes differ).
    Parts depend on (data, seed, index) alone, so shadow 3 is the same among 5 and among 64.

    Source: Yuan & Zhang (2022), section 6.1, and its published code; not stratified.

    Raises
    ------
    DataError
        A part would have fewer than two samples, or training samples of a single class.
    """
    n = len(dataset)
    check_size(dataset.name, n)
    order = _permutation(n, dataset.fingerprint, seed, "halves")
    reference = index >= OWN
    half = order[: n // 2] if index == 0 or reference else order[n // 2 :]
    drawn = index - (index - OWN) % 2 if reference else index
    shuffled = half[_permutation(len(half), dataset.fingerprint, seed, drawn)]
    _, validations, tests = _shares(len(shuffled))
    validation = shuffled[tests : tests + validations]
    test, train = shuffled[:tests], shuffled[tests + validations :]
    if drawn != index:  # as many as the first's; the test part is never the smaller one
        test, train = np.concatenate([test[len(train) :], train]), test[: len(train)]
    parts = Split(train, validation, test)
    if len(np.unique(dataset.labels[parts.train])) < 2:
        raise DataError(
            f"data set {dataset.name!r}: "
            f"the training samples of network {index} are all of one class"
        )
    return parts


def victims_half(dataset: Dataset, seed: int) -> NDArray[np.int64]:
    """Return the samples of the victim's half, of which its references are cut as well."""
    n = len(dataset)
    return _permutation(n, dataset.fingerprint, seed, "halves")[: n // 2]


def sizes(samples: int) -> tuple[int, int, int]:
    """Return how many training, validation and test samples the victim has, of ``samples``."""
    return _shares(samples // 2)


def check_size(name: str, samples: int) -> None:
    """Raise DataError where a data set has too few samples for `split`, whatever the seed."""
    # The victim's half is never the larger one, and its test part never its smallest.
    if min(sizes(samples)[:2]) < FEWEST:
        raise DataError(
            f"data set {name!r}: {samples} samples are too few to split among victim and adversary"
        )


def _shares(half: int) -> tuple[int, int, int]:
    tests = _ceil_share(half, 4500)
    validations = _ceil_share(half - tests, 1818)
    return half - tests - validations, validations, tests


def _ceil_share(samples: int, per_10_000: int) -> int:
    return -(-samples * per_10_000 // 10_000)


def _permutation(samples: int, *purpose: str | int) -> NDArray[np.int64]:
    return np.random.default_rng(seed_of("split", *purpose)).permutation(samples)
