"""Membership inference in pruned networks: attacks, divergence, defenses, and the pipeline.

``import prunemia as pm`` is quick: names that need torch are imported when they are first used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from prunemia.experiment import Adversary, Experiment

__version__ = "0.2.0"

_LATER = {
    "Attack": "prunemia.attacks",
    "ThresholdAttack": "prunemia.attacks",
    "Lab": "prunemia.lab",
    "SignalPair": "prunemia.signals",
    "Signals": "prunemia.signals",
    "answer": "prunemia.book.page",
    "known": "prunemia.book.page",
    "download": "prunemia.book.page",
}
_MODULES = {
    "attacks": "prunemia.attacks",
    "audit": "prunemia.audit",
    "claims": "prunemia.claims",
    "cutting": "prunemia.pruning.cutting",
    "data": "prunemia.data",
    "defenses": "prunemia.defenses",
    "divergence": "prunemia.divergence",
    "registry": "prunemia.registry",
    "metrics": "prunemia.metrics",
    "models": "prunemia.models",
    "plots": "prunemia.plots",
    "pruning": "prunemia.pruning",
    "query": "prunemia.signals.query",
    "results": "prunemia.results",
    "signals": "prunemia.signals",
    "store": "prunemia.store",
    "training": "prunemia.training",
}

__all__ = ["Adversary", "Experiment", "__version__", "experiment", *_LATER, *_MODULES]


def experiment(parameters: Mapping[str, Any], *tables: str, own: str = "") -> Experiment:
    """Return the experiment of a page's parameters, its ``globals()``; `book.page.experiment`."""
    from prunemia.book.page import experiment

    return experiment(parameters, *tables, own=own)


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'prunemia' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
