"""The networks, what they cost, and how they compute."""

from __future__ import annotations

from prunemia.models.macs import macs
from prunemia.models.networks import Dropout, Pool, build, dropout_mask
from prunemia.models.threads import one_thread

__all__ = ["Dropout", "Pool", "build", "dropout_mask", "macs", "one_thread"]
