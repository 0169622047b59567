"""What several attacks make of signals before they look at them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from prunemia.signals import Signals

Inputs = NDArray[np.float32]
Floating = TypeVar("Floating", bound=np.floating)


def one_hot(signals: Signals) -> Inputs:
    """Return the true classes as rows of the unit matrix, shape (n, C)."""
    return np.eye(signals.classes, dtype=np.float32)[signals.labels]


def largest(posteriors: NDArray[Floating], count: int) -> NDArray[Floating]:
    """Return each sample's largest posteriors, descending: (n, count), or (n, C) if C is less."""
    return -np.sort(-posteriors, axis=1)[:, :count]
