"""The data sheets as a table."""

from __future__ import annotations

import pandas as pd

from prunemia.registry import SOURCES


def sheets() -> pd.DataFrame:
    """Return the data sheets, one row per data set: what ``prunemia data list`` shows."""
    rows = [
        {
            "name": source.name,
            "rows": source.rows,
            "features": "×".join(map(str, source.shape)),
            "classes": source.classes,
            "about": source.about,
            "used for": source.used_for,
            "source": source.origin,
            "license": source.license,
            "citation": source.citation,
            "integrity": source.integrity,
        }
        for source in SOURCES.values()
    ]
    return pd.DataFrame(rows).set_index("name")
