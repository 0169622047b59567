"""How differently a network answers members and non-members, and what pruning does to that.

Each distance compares the distribution of a quantity over members with that over non-members.
Original and pruned network answered the same samples, so both are resampled alike (paired
bootstrap).

Source: Yuan & Zhang (2022), section 4 (prediction divergence).
"""

from prunemia.divergence.classes import by_class, class_spread
from prunemia.divergence.comparison import compare, gaps, readable, relative_changes
from prunemia.divergence.distances import BINS
from prunemia.divergence.quantities import (
    QUANTITIES,
    confidence,
    correctness,
    log_sensitivity,
    sensitivity,
)

__all__ = [
    "BINS",
    "QUANTITIES",
    "by_class",
    "class_spread",
    "compare",
    "confidence",
    "correctness",
    "gaps",
    "log_sensitivity",
    "readable",
    "relative_changes",
    "sensitivity",
]
