"""What identifies a result: one frozen, validated record, and its content key."""

from __future__ import annotations

from prunemia.experiment.record import (
    Adversary,
    Experiment,
    PageParameters,
    content_key,
    explain,
    seed_of,
)

__all__ = ["Adversary", "Experiment", "PageParameters", "content_key", "explain", "seed_of"]
