"""What an adversary sees of a network, and how a network is queried."""

from prunemia.checks import FieldError, SignalWarning
from prunemia.signals.query import answers, logits, posteriors, sensitivity
from prunemia.signals.signals import JointSignals, SignalPair, Signals, each_release
