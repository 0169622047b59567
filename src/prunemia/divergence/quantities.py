"""The quantities by which members and non-members are compared: one number per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from prunemia.signals import Signals

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Quantity = Callable[[Signals], Floats]

SMALLEST_SENSITIVITY = 1e-12
"""Logarithms clip here: a saturated network's sensitivity can be exactly zero."""


def confidence(signals: Signals) -> Floats:
    """Return p_y, the posterior of the true class: shape (n,)."""
    return np.asarray(signals.posteriors[np.arange(len(signals)), signals.labels], dtype=np.float64)


def sensitivity(signals: Signals) -> Floats:
    """Return ‖s‖₁, the sensitivities summed over classes: (n,), posterior per unit of input."""
    return np.asarray(signals.require_sensitivities().sum(axis=1, dtype=np.float64))


def log_sensitivity(signals: Signals) -> Floats:
    """Return log₁₀ ‖s‖₁, shape (n,), in decades: sensitivities spread over several of them."""
    return np.asarray(np.log10(np.maximum(sensitivity(signals), SMALLEST_SENSITIVITY)))


def correctness(signals: Signals) -> Floats:
    """Return 1 where the largest posterior is the true class's, else 0: shape (n,)."""
    correct = signals.posteriors.argmax(axis=1) == signals.labels
    return np.asarray(correct, dtype=np.float64)


QUANTITIES: Mapping[str, Quantity] = {
    "confidence": confidence,
    "sensitivity": sensitivity,
    "correctness": correctness,
}
"""What is compared by its mean, overall and class by class."""
