"""What an adversary sees of a network, and how a network is queried."""

from __future__ import annotations

from prunemia.signals.joint import JointSignals, each_release
from prunemia.signals.query import answers, posteriors, sensitivity
from prunemia.signals.signals import SignalPair, Signals

__all__ = [
    "JointSignals",
    "SignalPair",
    "Signals",
    "answers",
    "each_release",
    "posteriors",
    "sensitivity",
]
