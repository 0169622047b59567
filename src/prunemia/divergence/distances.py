"""Distances between the members' and the non-members' distribution of a quantity.

A distance, prepared for one set of samples, is a function of resampling weights, shape (B, n), and
returns one number a resample, shape (B,). Weights sum to one over the members and to one over the
non-members: a whole sample weighs its entries alike.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import rel_entr

from prunemia.divergence.quantities import (
    Bools,
    Floats,
    Quantity,
    confidence,
    correctness,
    log_sensitivity,
    sensitivity,
)
from prunemia.signals import Signals

Weighted = Callable[[Floats], Floats]
Distance = Callable[[Floats, Bools], Weighted]

BINS = 30
"""Bins of the histogram that both samples share, for the Jensen-Shannon divergence."""


def measures(membership: Bools) -> dict[tuple[str, str], Callable[[Signals], Weighted]]:
    """Return, by (quantity, distance), what prepares that distance for a network's signals.

    Sensitivities have a heavy tail, which a handful of samples would rule. So their distances are
    scale-free (Kolmogorov–Smirnov) or taken of their logarithms, in decades.
    """

    def over(quantity: Quantity, distance: Distance) -> Callable[[Signals], Weighted]:
        return lambda signals: distance(quantity(signals), membership)

    return {
        ("confidence", "mean difference"): over(confidence, mean_difference),
        ("confidence", "Kolmogorov–Smirnov"): over(confidence, kolmogorov_smirnov),
        ("confidence", "Wasserstein-1"): over(confidence, wasserstein),
        ("confidence", "Jensen–Shannon"): over(confidence, jensen_shannon),
        ("sensitivity", "mean difference"): over(sensitivity, mean_difference),
        ("sensitivity", "Kolmogorov–Smirnov"): over(sensitivity, kolmogorov_smirnov),
        ("log sensitivity", "Wasserstein-1"): over(log_sensitivity, wasserstein),
        ("log sensitivity", "Jensen–Shannon"): over(log_sensitivity, jensen_shannon),
        ("correctness", "mean difference"): over(correctness, mean_difference),
        ("sorted posterior", "Kullback–Leibler"): lambda s: _kl_of_means(s, membership),
    }


def mean_difference(values: Floats, membership: Bools) -> Weighted:
    """Return the members' mean minus the non-members': the only distance with a sign."""
    signed = np.where(membership, values, -values)
    return lambda weights: weights @ signed


def _cumulative_gap(values: Floats, membership: Bools) -> tuple[Floats, Weighted]:
    """Return the steps between distinct values, and F_members − F_nonmembers before each step.

    Where values tie, F is read after the last of them: a tie is one step.
    """
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order])
    ends = np.flatnonzero(steps > 0)
    sign = np.where(membership, 1.0, -1.0)[order]
    return steps[ends], lambda weights: np.cumsum(weights[:, order] * sign, axis=1)[:, ends]


def kolmogorov_smirnov(values: Floats, membership: Bools) -> Weighted:
    """Return the largest difference between the two distribution functions, 0 … 1."""
    _, gap = _cumulative_gap(values, membership)
    return lambda weights: np.abs(gap(weights)).max(axis=1, initial=0.0)


def wasserstein(values: Floats, membership: Bools) -> Weighted:
    """Return the area between the two distribution functions, in units of the quantity."""
    steps, gap = _cumulative_gap(values, membership)
    return lambda weights: np.abs(gap(weights)) @ steps


def jensen_shannon(values: Floats, membership: Bools) -> Weighted:
    """Return the Jensen-Shannon divergence in bits, 0 … 1, of `BINS` bins over one range."""
    edges = np.histogram_bin_edges(values, BINS)
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)
    members, nonmembers = (np.eye(BINS)[bins] * mask[:, None] for mask in (membership, ~membership))

    def distance(weights: Floats) -> Floats:
        p = weights @ members
        q = weights @ nonmembers
        middle = (p + q) / 2
        bits: Floats = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / (2 * np.log(2))
        return bits

    return distance


def _kl_of_means(signals: Signals, membership: Bools) -> Weighted:
    """Return KL(members ‖ non-members) in nats between the mean posteriors, sorted descending."""
    descending = -np.sort(-signals.posteriors.astype(np.float64), axis=1)
    members, nonmembers = (descending * mask[:, None] for mask in (membership, ~membership))

    def distance(weights: Floats) -> Floats:
        p, q = (np.clip(weights @ part, 1e-30, None) for part in (members, nonmembers))
        nats: Floats = rel_entr(p, q).sum(axis=1)
        return nats

    return distance
