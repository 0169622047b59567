"""Tables of long sweeps, kept with the book: read here, and made anew where there is time."""

from prunemia.lab.effects import as_effects
from prunemia.results.kept import (
    TABLES,
    StaleTableError,
    by_dataset,
    exists,
    experiments,
    holding,
    lacking,
    make,
    read,
    read_or_make,
    record,
)
from prunemia.results.references import FEW, MOST
