"""Signals whose members differ from non-members by a known shift."""

import numpy as np

import prunemia as pm


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
