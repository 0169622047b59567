"""The data sets: source, checksum and license of each, and the seeded split; without torch."""

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
