"""Resampling of members and non-members, as weights of the samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from prunemia.divergence.distances import Weighted
from prunemia.divergence.quantities import Bools, Floats
from prunemia.metrics import LEVEL

Name = TypeVar("Name")

CHUNK = 100
"""Resamples that are weighed at once; bounds the memory."""


def whole(membership: Bools) -> Floats:
    """Return the weights of the samples themselves, shape (1, n)."""
    return np.asarray(np.where(membership, 1 / membership.sum(), 1 / (~membership).sum()))[None]


def resample(membership: Bools, count: int, generator: np.random.Generator) -> Floats:
    """Return the weights of ``count`` bootstrap resamples, shape (count, n).

    Members are resampled among members and non-members among non-members, so that their numbers
    stay.
    """
    weights = np.empty((count, len(membership)))
    for mask in (membership, ~membership):
        n = int(mask.sum())
        weights[:, mask] = generator.multinomial(n, np.full(n, 1 / n), size=count) / n
    return weights


def resampled(
    pairs: Mapping[Name, tuple[Weighted, Weighted]],
    membership: Bools,
    count: int,
    generator: np.random.Generator,
) -> dict[Name, tuple[Floats, Floats]]:
    """Return each pair of distances over ``count`` resamples, two arrays of shape (count,).

    All distances see the same resamples: they are paired.
    """
    parts: dict[Name, list[tuple[Floats, Floats]]] = {name: [] for name in pairs}
    for start in range(0, count, CHUNK):
        weights = resample(membership, min(CHUNK, count - start), generator)
        for name, (before, after) in pairs.items():
            parts[name].append((before(weights), after(weights)))
    return {
        name: (np.concatenate([b for b, _ in part]), np.concatenate([a for _, a in part]))
        for name, part in parts.items()
    }


def columns(name: str, value: float, draws: Floats) -> dict[str, float]:
    """Return a value and its percentile interval, as the columns that `name` heads."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}


def before_and_after(values: tuple[float, float], draws: tuple[Floats, Floats]) -> dict[str, float]:
    """Return the columns ``original``, ``pruned`` and ``change``, each with its interval."""
    (original, pruned) = values
    (original_draws, pruned_draws) = draws
    return (
        columns("original", original, original_draws)
        | columns("pruned", pruned, pruned_draws)
        | columns("change", pruned - original, pruned_draws - original_draws)
    )
