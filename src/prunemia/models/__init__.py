"""The networks, what they cost, and how they compute."""

from __future__ import annotations

from prunemia.models.networks import (
    Dropout,
    Pool,
    build,
    dropout_mask,
    evaluating,
    macs,
    one_thread,
)

__all__ = ["Dropout", "Pool", "build", "dropout_mask", "evaluating", "macs", "one_thread"]
