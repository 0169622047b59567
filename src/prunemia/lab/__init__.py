"""The pipeline: an experiment in, artefacts out, each computed once. `Lab` is its door."""

from prunemia.lab.attacking import AttackResult
from prunemia.lab.lab import Lab
from prunemia.lab.networks import TrainedModel

__all__ = ["AttackResult", "Lab", "TrainedModel"]
