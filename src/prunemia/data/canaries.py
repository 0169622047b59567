"""Canaries: samples with a wrong label, put among the members by the toss of a coin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prunemia.data.dataset import DataError, Dataset
from prunemia.data.splitting import split
from prunemia.experiment import seed_of


@dataclass(frozen=True, eq=False)
class Canaries:
    """m canaries of a victim.

    Attributes
    ----------
    samples : shape (m,), sample numbers; without the canaries they would be non-members.
    labels : shape (m,), the wrong label of each.
    included : shape (m,), bool: which the victim trains on.
    """

    samples: NDArray[np.int64]
    labels: NDArray[np.int64]
    included: NDArray[np.bool_]


def plant(dataset: Dataset, seed: int, count: int) -> Canaries:
    """Return ``count`` canaries, drawn from the victim's test samples.

    Each gets a label drawn uniformly from the other classes, and each is included with probability
    1/2, independently of the others, as an audit in one run assumes.

    Raises
    ------
    DataError
        The victim has fewer than ``count`` + 2 test samples.

    Source: Steinke, Nasr & Jagielski (2023), algorithm 1; mislabelled samples as canaries: Nasr et
    al. (2021).
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
