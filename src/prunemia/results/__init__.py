"""Tables of long sweeps, kept with the book: read here, and made anew where there is time."""

from __future__ import annotations

from prunemia.results.kept import StaleTableError, read, there
from prunemia.results.references import FEW, MOST
from prunemia.results.tables import (
    TABLES,
    as_effects,
    compared,
    concentrated,
    control,
    effects,
    exposed,
    kept_releases,
    make,
    other_tradeoffs,
    points,
    released,
    tradeoff,
)

__all__ = [
    "FEW",
    "MOST",
    "TABLES",
    "StaleTableError",
    "as_effects",
    "compared",
    "concentrated",
    "control",
    "effects",
    "exposed",
    "kept_releases",
    "make",
    "other_tradeoffs",
    "points",
    "read",
    "released",
    "there",
    "tradeoff",
]
