"""How differently a network behaves on members and on non-members, and what pruning does to that.

Each distance compares the distribution of a quantity over members with that over non-members.
Original and pruned network answered the same samples, so both are resampled with the same rows
(paired bootstrap).

Source: Yuan & Zhang (2022), section 4 (prediction divergence).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import rel_entr

from prunemia.metrics import LEVEL
from prunemia.signals import Signals

Floats = NDArray[np.float64]
Distance = Callable[[Floats, Floats], Floats]

BINS = 30
"""Bins of the histogram that both samples share, for the Jensen-Shannon divergence."""
CHUNK = 100
"""Resamples that are weighed at once; bounds the memory."""


def confidence(signals: Signals) -> Floats:
    """Return p_y, the posterior of the true class: shape (n,)."""
    return np.asarray(signals.posteriors[np.arange(len(signals)), signals.labels], dtype=np.float64)


def sensitivity(signals: Signals) -> Floats:
    """Return ‖s‖₁, the sensitivities summed over classes: shape (n,), posterior per unit of input."""
    return np.asarray(signals.sensitivities.sum(axis=1, dtype=np.float64))


def correctness(signals: Signals) -> Floats:
    """Return 1 where the largest posterior is the true class's, else 0: shape (n,)."""
    right = signals.posteriors.argmax(axis=1) == signals.labels
    return np.asarray(right, dtype=np.float64)


QUANTITIES: Mapping[str, Callable[[Signals], Floats]] = {
    "confidence": confidence,
    "sensitivity": sensitivity,
    "correctness": correctness,
}


def gaps(signals: Signals) -> dict[str, float]:
    """Return the mean over members minus the mean over non-members, by quantity; of correctness: generalization gap.

    Raises
    ------
    ValueError
        Membership is hidden or has an empty side.
    """
    membership = signals.require_membership()
    weights = _weights(membership)
    return {
        name: float(_mean_difference(f(signals), membership)(weights)[0])
        for name, f in QUANTITIES.items()
    }


def compare(
    original: Signals, pruned: Signals, *, bootstraps: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return one row a (quantity, distance): before, after, and the change that pruning brought.

    Parameters
    ----------
    original, pruned : the two networks' signals of the same rows, with membership.
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
        The two hold other rows, or membership is hidden or has an empty side.
    """
    membership = _same_rows(original, pruned)
    measures = {(q, d): (f(original), f(pruned)) for q, d, f in _measures(membership)}
    draws = _resampled(measures, membership, bootstraps, np.random.default_rng(seed))
    whole = {
        name: [float(f(_weights(membership))[0]) for f in pair] for name, pair in measures.items()
    }
    rows = []
    for name in measures:
        before, after = draws[name]
        row: dict[str, Any] = {"quantity": name[0], "distance": name[1]}
        row |= _cells("original", whole[name][0], before) | _cells("pruned", whole[name][1], after)
        row |= _cells("change", whole[name][1] - whole[name][0], after - before)
        rows.append(row)
    table = pd.DataFrame(rows)
    table["chance"] = _by_chance(
        pruned, membership, max(20, bootstraps // 20), np.random.default_rng([seed, 1])
    )
    return table


def relative_changes(table: pd.DataFrame) -> pd.Series:
    """Return `compare`'s changes in units of the original network's distance, by "quantity, distance"."""
    return (table["change"] / table["original"].abs()).set_axis(
        table["quantity"] + ", " + table["distance"]
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return `compare`'s table to read: three digits, the change with its interval in one cell."""
    change = [
        f"{r.change:+.3f} [{r.change_low:+.3f}, {r.change_high:+.3f}]" for r in table.itertuples()
    ]
    numbers = table[["original", "pruned", "chance"]].map("{:.3f}".format)
    return table[["quantity", "distance"]].join(numbers).assign(change=change)


def by_class(
    original: Signals, pruned: Signals, *, bootstraps: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return one row a (class, quantity): the mean difference between members and non-members.

    Columns as `compare` (without ``chance``), and ``class``, ``members``, ``nonmembers``. A class
    with fewer than two rows on a side is left out. ``correctness`` is the class's generalization
    gap.
    """
    membership = _same_rows(original, pruned)
    generator = np.random.default_rng(seed)
    rows = []
    for c in np.unique(original.labels):
        mask = original.labels == c
        side = membership[mask]
        if min(side.sum(), (~side).sum()) < 2:
            continue
        parts = [signals.subset(mask) for signals in (original, pruned)]
        weights = _resample(side, bootstraps, generator)
        for quantity, value in QUANTITIES.items():
            before, after = (_mean_difference(value(part), side) for part in parts)
            whole = [float(f(_weights(side))[0]) for f in (before, after)]
            row = {
                "class": int(c),
                "quantity": quantity,
                "members": int(side.sum()),
                "nonmembers": int((~side).sum()),
            }
            row |= _cells("original", whole[0], before(weights)) | _cells(
                "pruned", whole[1], after(weights)
            )
            row |= _cells("change", whole[1] - whole[0], after(weights) - before(weights))
            rows.append(row)
    return pd.DataFrame(rows)


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
        for side in (membership, ~membership):
            labels[side] = generator.permutation(labels[side])
        null.append(_spread(values, labels, membership, signals.classes))
    p = (1 + sum(value >= observed for value in null)) / (1 + permutations)
    return {"spread": observed, "chance": float(np.mean(null)), "p": p}


def _spread(
    values: Floats, labels: NDArray[np.int64], membership: NDArray[np.bool_], classes: int
) -> float:
    means = []
    for side in (membership, ~membership):
        counts = np.bincount(labels[side], minlength=classes)
        with np.errstate(invalid="ignore"):
            means.append(np.bincount(labels[side], values[side], minlength=classes) / counts)
    differences = means[0] - means[1]
    return float(np.std(differences[np.isfinite(differences)], ddof=1))


# A distance is a function of resampling weights, shape (B, n), and returns one number a resample,
# shape (B,). Weights sum to one over the members and to one over the non-members: a whole sample
# weighs its rows alike.

Weighed = Callable[[Floats], Floats]


def _measures(membership: NDArray[np.bool_]) -> list[tuple[str, str, Callable[[Signals], Weighed]]]:
    def over(
        quantity: str, distance: Callable[[Floats, NDArray[np.bool_]], Weighed]
    ) -> Callable[[Signals], Weighed]:
        return lambda signals: distance(QUANTITIES[quantity](signals), membership)

    found = [
        (q, d, over(q, f)) for q in ("confidence", "sensitivity") for d, f in _DISTANCES.items()
    ]
    found.append(("correctness", "mean difference", over("correctness", _mean_difference)))
    found.append(
        ("sorted posterior", "Kullback–Leibler", lambda signals: _kl_of_means(signals, membership))
    )
    return found


def _mean_difference(values: Floats, membership: NDArray[np.bool_]) -> Weighed:
    signed = np.where(membership, values, -values)
    return lambda weights: weights @ signed


def _cumulative_gap(values: Floats, membership: NDArray[np.bool_]) -> tuple[Floats, Weighed]:
    """Return the distinct steps of the pooled values, and F_members − F_nonmembers at each but the last."""
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order])
    ends = np.flatnonzero(steps > 0)
    sign = np.where(membership, 1.0, -1.0)[order]
    return steps[ends], lambda weights: np.cumsum(weights[:, order] * sign, axis=1)[:, ends]


def _kolmogorov_smirnov(values: Floats, membership: NDArray[np.bool_]) -> Weighed:
    _, gap = _cumulative_gap(values, membership)
    return lambda weights: np.abs(gap(weights)).max(axis=1, initial=0.0)


def _wasserstein(values: Floats, membership: NDArray[np.bool_]) -> Weighed:
    steps, gap = _cumulative_gap(values, membership)
    return lambda weights: np.abs(gap(weights)) @ steps


def _jensen_shannon(values: Floats, membership: NDArray[np.bool_]) -> Weighed:
    """Jensen-Shannon divergence in bits, 0 … 1, of a histogram of `BINS` bins over the pooled range."""
    edges = np.histogram_bin_edges(values, BINS)
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)
    member, other = (np.eye(BINS)[places] * side[:, None] for side in (membership, ~membership))

    def distance(weights: Floats) -> Floats:
        p, q = weights @ member, weights @ other
        middle = (p + q) / 2
        bits: Floats = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / (2 * np.log(2))
        return bits

    return distance


def _kl_of_means(signals: Signals, membership: NDArray[np.bool_]) -> Weighed:
    """KL(members ‖ non-members) in nats between the mean posteriors, each sorted descending."""
    descending = -np.sort(-signals.posteriors.astype(np.float64), axis=1)
    sides = [descending * side[:, None] for side in (membership, ~membership)]

    def distance(weights: Floats) -> Floats:
        p, q = (np.clip(weights @ side, 1e-30, None) for side in sides)
        nats: Floats = rel_entr(p, q).sum(axis=1)
        return nats

    return distance


_DISTANCES: Mapping[str, Callable[[Floats, NDArray[np.bool_]], Weighed]] = {
    "mean difference": _mean_difference,
    "Kolmogorov–Smirnov": _kolmogorov_smirnov,
    "Wasserstein-1": _wasserstein,
    "Jensen–Shannon": _jensen_shannon,
}


def _weights(membership: NDArray[np.bool_]) -> Floats:
    """Return the weights of the sample itself, shape (1, n)."""
    return np.asarray(np.where(membership, 1 / membership.sum(), 1 / (~membership).sum()))[None]


def _resample(membership: NDArray[np.bool_], count: int, generator: np.random.Generator) -> Floats:
    """Return the weights of ``count`` bootstrap resamples, shape (count, n)."""
    weights = np.empty((count, len(membership)))
    for side in (membership, ~membership):
        n = int(side.sum())
        weights[:, side] = generator.multinomial(n, np.full(n, 1 / n), size=count) / n
    return weights


def _resampled(
    measures: Mapping[tuple[str, str], tuple[Weighed, Weighed]],
    membership: NDArray[np.bool_],
    count: int,
    generator: np.random.Generator,
) -> dict[tuple[str, str], tuple[Floats, Floats]]:
    parts: dict[tuple[str, str], list[tuple[Floats, Floats]]] = {name: [] for name in measures}
    for start in range(0, count, CHUNK):
        weights = _resample(membership, min(CHUNK, count - start), generator)
        for name, (before, after) in measures.items():
            parts[name].append((before(weights), after(weights)))
    return {
        name: (np.concatenate([b for b, _ in p]), np.concatenate([a for _, a in p]))
        for name, p in parts.items()
    }


def _by_chance(
    signals: Signals, membership: NDArray[np.bool_], count: int, generator: np.random.Generator
) -> list[float]:
    """Return each distance's mean when membership is shuffled, in the order of `_measures`."""
    shuffled = [generator.permutation(membership) for _ in range(count)]
    found = [[float(f(signals)(_weights(m))[0]) for _, _, f in _measures(m)] for m in shuffled]
    return [float(mean) for mean in np.mean(found, axis=0)]


def _cells(name: str, value: float, draws: Floats) -> dict[str, float]:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}


def _same_rows(original: Signals, pruned: Signals) -> NDArray[np.bool_]:
    membership = pruned.require_membership()
    before = original.require_membership()
    if not (np.array_equal(membership, before) and np.array_equal(original.labels, pruned.labels)):
        raise ValueError(
            "original and pruned: labels or membership differ; allowed: the same rows in the same order"
        )
    return membership
