"""Tables of long sweeps, kept with the book: read here, and made anew where there is time."""

from __future__ import annotations

from prunemia.lab.effects import as_effects
from prunemia.results.kept import StaleTableError, lacking, read, there
from prunemia.results.making import make
from prunemia.results.references import FEW, MOST
from prunemia.results.tables import TABLES, by_dataset, experiments, holding, read_or_make

__all__ = [
    "FEW",
    "MOST",
    "TABLES",
    "StaleTableError",
    "as_effects",
    "by_dataset",
    "experiments",
    "holding",
    "lacking",
    "make",
    "read",
    "read_or_make",
    "there",
]
