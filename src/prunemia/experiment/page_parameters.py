"""What pages take besides the fields of an experiment."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from prunemia.experiment.fields import Frozen, PrunerName, Sparsity


class PageParameters(Frozen):
    """Parameters of the book's pages that are no field of an `Experiment`."""

    seeds: int = Field(3, ge=1, le=100, description="runs, with seeds seed, seed + 1, …")
    sparsities: tuple[Sparsity, ...] = Field(
        (0.5, 0.6, 0.7, 0.8, 0.9), min_length=1, description="sparsities to compare"
    )
    pruners: tuple[PrunerName, ...] | None = Field(
        None, min_length=1, description="pruning methods to compare; None: all the network allows"
    )
    strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1, 4, 16), min_length=1, description="strengths of the defense to compare"
    )
    references: int = Field(
        64, ge=8, le=1024, description="networks that answer the same samples as the victim"
    )
    canaries: int = Field(
        200, ge=4, le=100_000, description="mislabelled samples planted for a bound on ε"
    )
    top: float = Field(0.05, gt=0, lt=1, description="share of samples called the most exposed")
    bootstraps: int = Field(
        1000, ge=20, le=100_000, description="resamples behind a bootstrap interval"
    )
