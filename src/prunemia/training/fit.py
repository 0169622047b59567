"""Fit one network, or many of one shape at once, in memory; each with its own seed and stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from prunemia.models import one_thread
from prunemia.training.defense import Defense
from prunemia.training.job import FitSettings, History, Job
from prunemia.training.run import Run


def fit(
    jobs: Sequence[Job],
    features: Tensor,
    labels: Tensor,
    settings: FitSettings,
    *,
    defense: Defense | None = None,
    report: Callable[[str], None] | None = None,
) -> list[History]:
    """Fit the networks of ``jobs`` side by side, in place, and return their histories.

    Parameters
    ----------
    jobs : one network each; more than one only if `stacking.stackable` and the defense is not one
        by one. All have equally many samples.
    features : shape (n, …), every sample of the data set, on the device to train on.
    labels : shape (n,), integer classes.
    settings : shared by all.
    defense : a fresh one; None: no defense.
    report : called after each epoch with a line that says how it goes.

    Raises
    ------
    TrainingError
        A loss became NaN or infinite, or the defense cannot take the network.
    """
    run = Run(list(jobs), features, labels, settings, defense or Defense())
    with one_thread(), torch.backends.cudnn.flags(enabled=True, deterministic=True):
        run.defense.start(run)
        for epoch in range(settings.epochs):
            run.train_epoch(epoch)
            run.validate(epoch)
            if report is not None:
                report(run.line())
            if run.finished:
                break
    for job, best in zip(jobs, run.best, strict=True):
        job.module.load_state_dict(best)
        job.module.eval()
    # Only now: a defense may have wrapped the modules that the best states are loaded into.
    guarantee = run.defense.finish(run)
    for history in run.histories:
        history.guarantee = guarantee
    return run.histories


@torch.no_grad()
def accuracy(
    module: nn.Module, features: Tensor, labels: Tensor, samples: Tensor, batch: int = 1024
) -> float:
    """Return the share of the samples, given by their numbers, that ``module`` classifies right."""
    module.eval()
    with one_thread():
        right = [
            (module(features[part]).argmax(dim=1) == labels[part]).sum()
            for part in samples.split(batch)
        ]
    return int(torch.stack(right).sum()) / len(samples)
