"""The original network's divergence against the pruned one's, over all classes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from prunemia.divergence.bootstrap import before_and_after, resampled, whole
from prunemia.divergence.distances import mean_difference, measures
from prunemia.divergence.quantities import QUANTITIES, Bools
from prunemia.signals import Signals


def gaps(signals: Signals) -> dict[str, float]:
    """Return the mean over members minus the mean over non-members, by quantity.

    That of correctness is the generalization gap.

    Raises
    ------
    ValueError
        Membership is hidden, or all are members, or none is.
    """
    membership = signals.require_membership()
    weights = whole(membership)
    return {
        name: float(mean_difference(quantity(signals), membership)(weights)[0])
        for name, quantity in QUANTITIES.items()
    }


def compare(
    original: Signals, pruned: Signals, *, bootstraps: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return per (quantity, distance): before, after, and the change that pruning brought.

    Parameters
    ----------
    original, pruned : the two networks' signals of the same samples, with membership.
    bootstraps : resamples behind the intervals; members and non-members are resampled apart.
    seed : of the resampling.

    Returns
    -------
    Columns ``original``, ``pruned``, ``change`` (pruned − original), each with ``_low`` and
    ``_high`` (95 %, percentile), and ``chance``: the pruned network's mean distance when membership
    is shuffled. All distances but the mean difference are >= 0 and so exceed 0 by chance: read them
    against that column.

    Raises
    ------
    ValueError
        The two hold other samples, or membership is hidden, or all are members, or none is.
    """
    membership = same_samples(original, pruned)
    prepared = {
        name: (prepare(original), prepare(pruned)) for name, prepare in measures(membership).items()
    }
    draws = resampled(prepared, membership, bootstraps, np.random.default_rng(seed))
    weights = whole(membership)
    records = []
    for (quantity, distance), (before, after) in prepared.items():
        values = float(before(weights)[0]), float(after(weights)[0])
        columns = before_and_after(values, draws[quantity, distance])
        records.append({"quantity": quantity, "distance": distance} | columns)
    permutations = max(20, bootstraps // 20)
    chance = _by_chance(pruned, membership, permutations, np.random.default_rng([seed, 1]))
    return pd.DataFrame(records).assign(chance=chance)


def relative_changes(table: pd.DataFrame) -> pd.Series:
    """Return how far the distances of `compare` have grown, by "quantity, distance".

    That is (|pruned| − |original|) / |original|. A mean difference has a sign, and it has shrunk
    where it comes closer to zero from either side: from −0.74 to −0.43 is a change of −0.42.
    """
    original = table["original"].abs()
    pruned = table["pruned"].abs()
    names = table["quantity"] + ", " + table["distance"]
    return ((pruned - original) / original).set_axis(names)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return `compare`'s table to read: three digits, the change with its interval in one cell."""
    change = [
        f"{r.change:+.3f} [{r.change_low:+.3f}, {r.change_high:+.3f}]" for r in table.itertuples()
    ]
    numbers = table[["original", "pruned", "chance"]].map("{:.3f}".format)
    return table[["quantity", "distance"]].join(numbers).assign(change=change)


def same_samples(original: Signals, pruned: Signals) -> Bools:
    """Return the membership that both share; ValueError where they hold other samples."""
    membership = pruned.require_membership()
    before = original.require_membership()
    if not (np.array_equal(membership, before) and np.array_equal(original.labels, pruned.labels)):
        raise ValueError(
            "original and pruned: labels or membership differ; "
            "allowed: the same rows in the same order"
        )
    return membership


def _by_chance(
    signals: Signals, membership: Bools, permutations: int, generator: np.random.Generator
) -> list[float]:
    """Return each distance's mean when membership is shuffled, in the order of `measures`."""
    distances = []
    for _ in range(permutations):
        shuffled = generator.permutation(membership)
        weights = whole(shuffled)
        prepared = (prepare(signals) for prepare in measures(shuffled).values())
        distances.append([float(distance(weights)[0]) for distance in prepared])
    return [float(mean) for mean in np.mean(distances, axis=0)]
