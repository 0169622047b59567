"""Claims as tests: an effect, its interval, and a verdict in words that the numbers decide."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prunemia.intervals import Estimate

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "not decided at this size"


def verdict(effect: Estimate) -> str:
    """Say whether a claim that ``effect`` is positive holds.

    Supported: the 95 % interval lies above 0. Contradicted: below 0. Else, or without an interval: not decided.
    """
    if math.isnan(effect.low) or effect.low <= 0 <= effect.high:
        return UNDECIDED
    return SUPPORTED if effect.low > 0 else CONTRADICTED


@dataclass(frozen=True)
class Change:
    """Words for a change whose sign the data may or may not decide, e.g. "pruning {verb} the leakage"."""

    effect: Estimate

    @property
    def verb(self) -> str:
        """Return raises, lowers, or does not measurably change."""
        words = {SUPPORTED: "raises", CONTRADICTED: "lowers", UNDECIDED: "does not measurably change"}
        return words[verdict(self.effect)]
