"""What an adversary sees of a network, and how a network is queried."""

from __future__ import annotations

from prunemia.signals.query import answers, posteriors, sensitivity
from prunemia.signals.signals import SignalPair, Signals

__all__ = ["SignalPair", "Signals", "answers", "posteriors", "sensitivity"]
