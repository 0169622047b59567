"""Answers of made-up networks: a planted leak, a null, and the tables that hold them."""

import numpy as np
import pandas as pd

import prunemia as pm


def planted(n, shift, seed=0, classes=5, sensitivities=False):
    """Signals whose true logits are ``shift`` larger for members; 0: a null."""
    draw = np.random.default_rng(seed)
    member = np.arange(n) % 2 == 0
    labels = draw.integers(0, classes, n)
    logits = draw.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1 + shift * member
    p = np.exp(logits)
    moved = draw.exponential(size=(n, classes)) if sensitivities else None
    return pm.Signals(p / p.sum(axis=1, keepdims=True), moved, labels, member)


def drawn(n=400, classes=4, shift=0.0, seed=0, networks=2):
    """Signals whose members are surer by ``shift`` on the logit scale, and less sensitive."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, n)
    member = np.arange(n) % 2 == 0
    logits = draw.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1.5 + shift * member
    sensitivities = np.exp(draw.normal(size=(n, classes)) - shift * member[:, None])
    model = np.arange(n) % networks
    return pm.Signals.from_logits(logits, sensitivities, labels, membership=member, model=model)


def frame(signals, ids=None):
    """The same as a table's columns."""
    columns = {"label": signals.labels, "member": signals.membership.astype(int)}
    for c in range(signals.classes):
        columns[f"p{c}"] = signals.posteriors[:, c]
        if signals.sensitivities is not None:
            columns[f"s{c}"] = signals.sensitivities[:, c]
    return pd.DataFrame(columns if ids is None else columns | {"id": ids})
