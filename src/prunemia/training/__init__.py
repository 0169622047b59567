"""Fit networks in memory, alone or in stacks, under a defense."""

from __future__ import annotations

from prunemia.training.defense import DefendedRun, Defense, TrainingError
from prunemia.training.job import FitSettings, History, Job
from prunemia.training.run import Run, accuracy, batches, fit
from prunemia.training.stacking import gather, stackable

__all__ = [
    "DefendedRun",
    "Defense",
    "FitSettings",
    "History",
    "Job",
    "Run",
    "TrainingError",
    "accuracy",
    "batches",
    "fit",
    "gather",
    "stackable",
]
