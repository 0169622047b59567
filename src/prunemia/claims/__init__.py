"""Each claim as an effect, its interval within a family, and the verdict of that: the registry."""

from prunemia.claims.base import RULES, SUPPORTED, VERDICTS, by_verdict, runs_needed, verdict, where
from prunemia.claims.registry import (
    all_networks,
    capacity,
    claims,
    common,
    counts,
    find,
    of,
    pooled,
    registry,
    said,
    show,
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
