"""What an adversary sees of a network, and how a network is queried."""

from __future__ import annotations

from prunemia.checks import FieldError, SignalWarning
from prunemia.signals.query import answers, logits, posteriors, sensitivity
from prunemia.signals.signals import JointSignals, SignalPair, Signals, each_release
