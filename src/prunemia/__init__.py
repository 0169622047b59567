"""Membership inference in pruned networks: attacks, divergence, defenses, and the pipeline.

``import prunemia as pm`` is quick: names that need torch are imported when they are first used.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from prunemia.experiment import Adversary, Experiment

__version__ = "0.2.0"

_NAMES = {
    "Attack": "attacks",
    "ThresholdAttack": "attacks",
    "Lab": "lab",
    "SignalPair": "signals",
    "Signals": "signals",
    "answer": "book.calls",
    "check": "book.calls",
    "known": "book.calls",
    "download": "plots.explorer",
}
_ROOMS = (
    *("attacks", "audit", "claims", "data", "defenses", "divergence", "metrics", "models"),
    *("plots", "pruning", "registry", "results", "signals", "store", "training"),
)
_DEEPER = {"cutting": "pruning.cutting", "query": "signals.query"}

__all__ = ["Adversary", "Experiment", "__version__", "experiment", *_NAMES, *_ROOMS, *_DEEPER]


def experiment(parameters: Mapping[str, Any], *tables: str, own: str = "") -> Experiment:
    """Return the experiment of a page's parameters, its ``globals()``; `book.calls.experiment`."""
    from prunemia.book.calls import experiment

    return experiment(parameters, *tables, own=own)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"prunemia.{_NAMES[name]}"), name)
    if name in _ROOMS or name in _DEEPER:
        return importlib.import_module(f"prunemia.{_DEEPER.get(name, name)}")
    raise AttributeError(f"module 'prunemia' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
