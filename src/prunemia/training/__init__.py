"""Fit networks in memory, alone or in stacks, under a defense."""

from prunemia.training.run import (
    Defense,
    FitSettings,
    History,
    Job,
    Run,
    TrainingError,
    accuracy,
    batches,
    fit,
)
