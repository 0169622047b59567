"""Networks of one kind to train side by side, and samples with something to learn."""

from __future__ import annotations

from collections.abc import Callable

import torch

from prunemia import models
from prunemia.training import Job

NETWORKS = 5


def stack(
    kind: str, shape: tuple[int, ...], classes: int, rows: int
) -> tuple[torch.Tensor, torch.Tensor, Callable[[], list[Job]]]:
    """Return features and labels, and what makes fresh jobs: half of the samples train."""
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(2 * rows, *shape, generator=draw)
    labels = features.flatten(1)[:, :classes].argmax(dim=1)
    train, held = torch.arange(2 * rows).split(rows)

    def jobs() -> list[Job]:
        built = [models.build(kind, shape, classes, seed=i) for i in range(NETWORKS)]
        return [Job(f"{i}", module, train, held, held, i) for i, module in enumerate(built)]

    return features, labels, jobs
