"""Each claim as an effect, its interval within a family, and the verdict of that: the registry."""

from __future__ import annotations

from prunemia.claims.advising import advice
from prunemia.claims.base import (
    CONTRADICTED,
    MARGIN,
    NEGLIGIBLE,
    OPEN,
    PAPERS_ATTACKS,
    RULES,
    SUPPORTED,
    TEST_MARGIN,
    UNDECIDED,
    VERDICTS,
    Claim,
    by_verdict,
    family,
    runs_needed,
    simultaneous,
    verdict,
)
from prunemia.claims.effects import all_networks, capacity, networks, regime, where
from prunemia.claims.references import agreement
from prunemia.claims.registry import (
    claims,
    common,
    counts,
    find,
    of,
    pooled,
    registry,
    said,
    show,
    shown,
    tally,
)
from prunemia.claims.tradeoff import confirmed, rivals, without_rival
from prunemia.claims.ways import halves, name_of, on_front, points

__all__ = [
    "CONTRADICTED",
    "MARGIN",
    "NEGLIGIBLE",
    "OPEN",
    "PAPERS_ATTACKS",
    "RULES",
    "SUPPORTED",
    "TEST_MARGIN",
    "UNDECIDED",
    "VERDICTS",
    "Claim",
    "advice",
    "agreement",
    "all_networks",
    "by_verdict",
    "capacity",
    "claims",
    "common",
    "confirmed",
    "counts",
    "family",
    "find",
    "halves",
    "name_of",
    "networks",
    "of",
    "on_front",
    "points",
    "pooled",
    "regime",
    "registry",
    "rivals",
    "runs_needed",
    "said",
    "show",
    "shown",
    "simultaneous",
    "tally",
    "verdict",
    "where",
    "without_rival",
]
