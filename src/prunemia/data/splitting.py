"""Who owns which rows: the victim's half, the adversary's half, and the parts of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunemia.data.dataset import DataError, Dataset
from prunemia.experiment import seed_of

FEWEST = 2
"""Fewest rows of a part: one row has no batch statistics and no spread."""


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of one network's parts: disjoint, in random order, int64.

    Members are the training rows and non-members the test rows; validation rows
    only stop training and select epochs, and are neither.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(dataset: Dataset, seed: int, index: int) -> Split:
    """Return the parts of network ``index``: 0 the victim, 1 … k the shadows.

    A permutation seeded by the data and ``seed`` gives the victim its first
    n // 2 rows and the adversary the rest. Each network permutes its owner's half
    anew and takes 45 % for testing, then 18.18 % of the remainder for
    validation, both rounded up (as scikit-learn does), and trains on the rest:
    45 / 10 / 45 %. Shadows overlap one another, never the victim. Parts depend on
    (data, seed, index) alone, so shadow 3 is the same among 5 and among 64.

    Source: Yuan & Zhang (2022), section 6.1, and its published code; not stratified.

    Raises
    ------
    DataError
        A part would have fewer than two rows, or training rows of a single class.
    """
    n = len(dataset)
    order = _permutation(n, dataset.fingerprint, seed, "halves")
    half = order[: n // 2] if index == 0 else order[n // 2 :]
    own = half[_permutation(len(half), dataset.fingerprint, seed, index)]
    _, validations, tests = _shares(len(own))
    parts = Split(own[tests + validations :], own[tests : tests + validations], own[:tests])
    if min(len(parts.train), len(parts.validation)) < FEWEST:
        raise DataError(
            f"data set {dataset.name!r}: {n} rows are too few to split among victim and adversary"
        )
    if len(np.unique(dataset.labels[parts.train])) < 2:
        raise DataError(
            f"data set {dataset.name!r}: the training rows of network {index} are all of one class"
        )
    return parts


def sizes(rows: int) -> tuple[int, int, int]:
    """Return how many training, validation and test rows the victim has, of a data set of ``rows``."""
    return _shares(rows // 2)


def _shares(own: int) -> tuple[int, int, int]:
    tests = _ceil_share(own, 4500)
    validations = _ceil_share(own - tests, 1818)
    return own - tests - validations, validations, tests


def _ceil_share(rows: int, per_10_000: int) -> int:
    return -(-rows * per_10_000 // 10_000)


def _permutation(rows: int, *purpose: str | int) -> NDArray[np.int64]:
    return np.random.default_rng(seed_of("split", *purpose)).permutation(rows)
