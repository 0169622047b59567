"""The divergence class by class, and whether it differs between classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunemia.divergence.bootstrap import before_and_after, resample, whole
from prunemia.divergence.comparison import same_samples
from prunemia.divergence.distances import mean_difference
from prunemia.divergence.quantities import QUANTITIES, Bools, Floats
from prunemia.signals import Signals


def by_class(
    original: Signals, pruned: Signals, *, bootstraps: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return per (class, quantity) the mean difference between members and non-members.

    Columns as `compare` (without ``chance``), and ``class``, ``members``, ``nonmembers``. A class
    with fewer than two members or two non-members is left out. ``correctness`` is the class's
    generalization gap.
    """
    membership = same_samples(original, pruned)
    generator = np.random.default_rng(seed)
    records = []
    for c in np.unique(original.labels):
        of_class = original.labels == c
        members = membership[of_class]
        if min(members.sum(), (~members).sum()) < 2:
            continue
        # the same resamples for all quantities and both networks
        weights = resample(members, bootstraps, generator)
        pair = original.subset(of_class), pruned.subset(of_class)
        counts = {"members": int(members.sum()), "nonmembers": int((~members).sum())}
        for quantity in QUANTITIES:
            head = {"class": int(c), "quantity": quantity}
            records.append(head | counts | _changes(pair, quantity, members, weights))
    return pd.DataFrame(records)


def _changes(
    pair: tuple[Signals, Signals], quantity: str, membership: Bools, weights: Floats
) -> dict[str, float]:
    before, after = (mean_difference(QUANTITIES[quantity](s), membership) for s in pair)
    sample = whole(membership)
    values = float(before(sample)[0]), float(after(sample)[0])
    return before_and_after(values, (before(weights), after(weights)))


def class_spread(
    signals: Signals, quantity: str = "confidence", *, permutations: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Test whether members and non-members differ by other amounts in other classes.

    The statistic is the standard deviation over classes of the mean difference; its null shuffles
    the classes among members, and among non-members, so that all classes share one difference.

    Returns
    -------
    ``spread``, ``chance`` (its mean under the null) in units of the quantity, and the one-sided
    ``p``.
    """
    membership = signals.require_membership()
    values = QUANTITIES[quantity](signals)
    generator = np.random.default_rng(seed)
    labels = signals.labels.copy()
    observed = _spread(values, labels, membership, signals.classes)
    null = []
    for _ in range(permutations):
        for mask in (membership, ~membership):
            labels[mask] = generator.permutation(labels[mask])
        null.append(_spread(values, labels, membership, signals.classes))
    # the observed labelling is one of the permutations, so p is never zero
    p = (1 + sum(value >= observed for value in null)) / (1 + permutations)
    return {"spread": observed, "chance": float(np.mean(null)), "p": p}


def _spread(values: Floats, labels: NDArray[np.int64], membership: Bools, classes: int) -> float:
    """Return the standard deviation over classes of the mean difference; classes with both only."""
    means = []
    for mask in (membership, ~membership):
        counts = np.bincount(labels[mask], minlength=classes)
        with np.errstate(invalid="ignore"):
            means.append(np.bincount(labels[mask], values[mask], minlength=classes) / counts)
    differences = means[0] - means[1]
    return float(np.std(differences[np.isfinite(differences)], ddof=1))
