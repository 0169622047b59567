"""Tables of long sweeps, kept with the book: read here, and made anew where there is time."""

from __future__ import annotations

from prunemia.results.kept import StaleTableError, read
from prunemia.results.tables import TABLES, as_effects, control, effects, make, points

__all__ = [
    "TABLES",
    "StaleTableError",
    "as_effects",
    "control",
    "effects",
    "make",
    "points",
    "read",
]
