"""What the page on exposure needs beside its table: neighbours, and a file to take away."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import HTML
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors

NEAREST = 5
REPEATS = 200
QUANTILES = (0.5, 0.9, 0.99)
"""Of which false-positive rates the page speaks."""


def alarms(rates: pd.DataFrame, networks: int) -> pd.DataFrame:
    """Return how the samples' false-positive rates are spread, and how by chance alone they were.

    ``rates``: columns network and alarms, one row per sample; ``networks``: how many a sample is a
    non-member of. The last row is the mean over draws in which each sample has the same rate, that
    of all. Columns: mean, 50%, 90%, 99%, max.
    """
    rows = {
        str(name): _spread(part.dropna())
        for name, part in rates.groupby("network", sort=False)["alarms"]
    }
    rate, count = rates["alarms"].mean(), len(rates) // len(rows)
    drawn = np.random.default_rng(0).binomial(networks, rate, (REPEATS, count)) / networks
    rows["by chance"] = pd.DataFrame([_spread(pd.Series(draw)) for draw in drawn]).mean()
    return pd.DataFrame(rows).T


def _spread(rates: pd.Series) -> pd.Series:
    return rates.describe(percentiles=list(QUANTILES)).drop(["count", "std", "min"])


def neighbours(features: NDArray[np.float32], rows: ArrayLike) -> NDArray[np.float64]:
    """Return the mean distance of each row to its five nearest others among them, shape (n,)."""
    flat = features[np.asarray(rows)].reshape(len(np.asarray(rows)), -1)
    found = NearestNeighbors(n_neighbors=NEAREST + 1).fit(flat)
    distances: NDArray[np.float64] = found.kneighbors(flat)[0][:, 1:].mean(axis=1)
    return distances


def download(table: pd.DataFrame, columns: Sequence[str], name: str) -> HTML:
    """Return a link that saves some columns of a table as CSV; the page itself holds the file."""
    text = table[list(columns)].round(3).to_csv(index=False, lineterminator="\n")
    data = base64.b64encode(text.encode()).decode()
    link = '<p><a download="{}" href="data:text/csv;base64,{}">{}</a> ({} rows)</p>'
    return HTML(str(Markup(link).format(name, data, name, f"{len(table):,}")))
