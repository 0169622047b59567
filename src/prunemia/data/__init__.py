"""The data sets: where each comes from, its checksum, its license; and the seeded split.

Arrays are NumPy's: nothing here needs torch to load what the book runs by default.
"""

from __future__ import annotations

from prunemia.data.dataset import (
    OWN,
    Canaries,
    DataError,
    Dataset,
    Split,
    plant,
    split,
    standardized,
    victims_half,
)
from prunemia.data.own import LayoutWarning, ScaleWarning
from prunemia.data.sources import fetch, folders, load, sheets
from prunemia.registry import SOURCES, Archive, Source
