"""The user's own functions and data, checked before anything is trained."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunemia.errors import UsageError
from prunemia.experiment import content_key
from prunemia.signals import Signals
from prunemia.signals.checks import as_array

LEAST = 100
"""Samples: below, the victim has hardly twenty members."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The arguments of `prunemia.audit.network`, checked.

    Attributes
    ----------
    identity : what the two functions are known by in the store: their name, else their source.
    dense : whether ``prune`` takes ``dense=`` and so offers the control.
    """

    train: Callable[..., Any]
    prune: Callable[..., Any]
    features: torch.Tensor
    labels: NDArray[np.int64]
    shadows: int
    seed: int
    epsilon: float
    draws: int
    identity: str
    dense: bool

    @classmethod
    def of(
        cls, train: Any, prune: Any, features: Any, labels: Any, name: str | None, **options: Any
    ) -> Plan:
        """Return the plan; UsageError names the argument that is wrong, and what is allowed."""
        _require_callable("train", train, (None, 0), "train(rows, seed)")
        _require_callable("prune", prune, (None, None, 0), "prune(module, rows, seed)")
        for what, least in (("shadows", 1), ("seed", 0), ("draws", 1)):
            value = options[what]
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{what}: {value!r}; allowed: a whole number from {least}")
        if not options["epsilon"] > 0:
            raise UsageError(f"epsilon: {options['epsilon']}; allowed: more than 0")
        identity = name if name is not None else _source(train) + _source(prune)
        dense = "dense" in inspect.signature(prune).parameters
        inputs = _features(features)
        classes = _labels(labels, len(inputs))
        return cls(train, prune, inputs, classes, **options, identity=identity, dense=dense)

    @property
    def classes(self) -> int:
        """C, one more than the largest label."""
        return int(self.labels.max()) + 1

    @property
    def called(self) -> str:
        """What a report says of how it was called."""
        return (
            f"pm.audit.network(…, shadows={self.shadows}, seed={self.seed}), "
            f"functions {content_key(self.identity)[:12]}"
        )

    def example(self) -> Signals:
        """Return signals of the kind that the networks will give, to check attacks by.

        A small change of features that are whole numbers means nothing: no sensitivities.
        """
        flat = np.full((2, 2), 0.5, dtype=np.float32)
        moved = flat if self.features.is_floating_point() else None
        return Signals(flat, moved, np.array([0, 1]), np.array([True, False]))


def _features(value: Any) -> torch.Tensor:
    inputs = as_array(value)
    if inputs.ndim < 2 or inputs.dtype.kind not in "fiu" or not np.isfinite(inputs).all():
        raise UsageError(
            f"features: shape {inputs.shape}, type {inputs.dtype}; "
            "allowed: finite numbers of shape (n, …)"
        )
    if len(inputs) < LEAST:
        raise UsageError(f"features: {len(inputs)} samples; allowed: {LEAST} or more")
    return torch.tensor(inputs)


def _labels(value: Any, n: int) -> NDArray[np.int64]:
    labels = as_array(value)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise UsageError(
            f"labels: shape {labels.shape}, type {labels.dtype}; allowed: ({n},) of whole numbers"
        )
    if labels.min() < 0 or labels.max() < 1:
        raise UsageError(
            f"labels: {labels.min()} to {labels.max()}; allowed: 0 to C-1, of 2 or more classes"
        )
    return labels.astype(np.int64)


def _require_callable(name: str, function: Any, arguments: tuple[Any, ...], form: str) -> None:
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: cannot be called as {form}") from None


def _source(function: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise UsageError("name: the functions' source cannot be read; give name='…'") from None
