"""Each claim as an effect, its interval within a family, and the verdict of that: the registry."""

from __future__ import annotations

from prunemia.claims.base import (
    CONTRADICTED,
    MARGIN,
    NEGLIGIBLE,
    OPEN,
    RULES,
    SUPPORTED,
    TEST_MARGIN,
    UNDECIDED,
    VERDICTS,
    Claim,
    by_verdict,
    runs_needed,
    simultaneous,
    verdict,
)
from prunemia.claims.questions import regime, where
from prunemia.claims.registry import (
    all_networks,
    capacity,
    claims,
    common,
    counts,
    find,
    networks,
    of,
    pooled,
    registry,
    said,
    show,
    shown,
    tally,
)
from prunemia.claims.tradeoff import (
    advice,
    halves,
    name_of,
    on_front,
    points,
    rivals,
    without_rival,
)
from prunemia.results.references import agreement
