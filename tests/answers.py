"""Answers of made-up networks: a planted leak, a null, and the tables that hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import prunemia as pm


def planted(
    n: int, shift: float, seed: int = 0, classes: int = 5, sensitivities: bool = False
) -> pm.Signals:
    """Signals whose true logits are ``shift`` larger for members; 0: a null."""
    draw = np.random.default_rng(seed)
    member = np.arange(n) % 2 == 0
    labels = draw.integers(0, classes, n)
    logits = draw.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1 + shift * member
    p = np.exp(logits)
    moved = draw.exponential(size=(n, classes)) if sensitivities else None
    return pm.Signals(p / p.sum(axis=1, keepdims=True), moved, labels, member)


def frame(signals: pm.Signals, ids: Any = None) -> pd.DataFrame:
    """The same as a table's columns."""
    columns: dict[str, Any] = {"label": signals.labels, "member": signals.membership.astype(int)}
    for c in range(signals.classes):
        columns[f"p{c}"] = signals.posteriors[:, c]
        if signals.sensitivities is not None:
            columns[f"s{c}"] = signals.sensitivities[:, c]
    return pd.DataFrame(columns if ids is None else columns | {"id": ids})
