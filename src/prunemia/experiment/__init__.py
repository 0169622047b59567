"""What identifies a result: one frozen, validated record, and its content key.

Light on purpose: the command line needs this room alone to refuse a wrong parameter within a
second, so nothing here may import torch.
"""

from __future__ import annotations

from prunemia.experiment.adversary import Adversary
from prunemia.experiment.explain import explain
from prunemia.experiment.hashing import content_key, seed_of
from prunemia.experiment.page_parameters import PageParameters
from prunemia.experiment.record import Experiment

__all__ = ["Adversary", "Experiment", "PageParameters", "content_key", "explain", "seed_of"]
