"""Fit networks in memory, alone or in stacks, under a defense."""

from __future__ import annotations

from prunemia.training.defense import Defense, TrainingError
from prunemia.training.fit import History, Job, Recipe, Run, accuracy, batches, fit
from prunemia.training.stacking import gather, stackable

__all__ = [
    "Defense",
    "History",
    "Job",
    "Recipe",
    "Run",
    "TrainingError",
    "accuracy",
    "batches",
    "fit",
    "gather",
    "stackable",
]
