"""A second signal beside a score: the sensitivity, weighed by a logistic regression."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from prunemia.attacks.base import Bools, Floats
from prunemia.signals import Signals

SMALLEST = 1e-6
"""Added to a mean sensitivity before its logarithm is taken."""


def stillness(signals: Signals) -> Floats:
    """Return −ln of each sample's mean sensitivity over classes, shape (n,): large for members."""
    moved = signals.require_sensitivities().mean(axis=1, dtype=np.float64)
    still: Floats = -np.log(moved + SMALLEST)
    return still


def quadratics(scores: Floats, still: Floats, centre: Floats, scale: Floats) -> Floats:
    """Return both signals, standardized, their squares and their product, shape (n, 5)."""
    one, two = ((np.stack([scores, still]).T - centre) / scale).T
    return np.stack([one, two, one**2, two**2, one * two], axis=1)


def weigh(scores: Floats, still: Floats, membership: Bools) -> tuple[Floats, Floats, Floats]:
    """Return centre (2,), scale (2,) and weights (6,), the intercept last, of both signals."""
    both = np.stack([scores, still], axis=1)
    centre, scale = both.mean(axis=0), both.std(axis=0)
    scale[scale == 0] = 1.0
    model = LogisticRegression(max_iter=1000)
    model.fit(quadratics(scores, still, centre, scale), membership)
    return centre, scale, np.append(model.coef_[0], model.intercept_[0])


def combined(
    scores: Floats, still: Floats, centre: Floats, scale: Floats, weights: Floats
) -> Floats:
    """Return the log-odds of membership by both signals, shape (n,)."""
    odds: Floats = quadratics(scores, still, centre, scale) @ weights[:-1] + weights[-1]
    return odds
