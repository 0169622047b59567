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
