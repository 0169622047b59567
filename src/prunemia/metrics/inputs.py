"""What a metric is given: membership, decisions, scores; checked, and refused in one sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def sides(membership: ArrayLike) -> Bools:
    """Return membership as bool, shape (n,); ValueError where a side is empty."""
    member = flags("membership", membership, None)
    if not 0 < member.sum() < len(member):
        raise ValueError(
            f"membership: {member.sum()} members and {(~member).sum()} non-members; "
            "allowed: 1 or more of each"
        )
    return member


def flags(name: str, value: ArrayLike, n: int | None) -> Bools:
    """Return the value as bool, shape (n,); ValueError where it is not (``n`` None: any length)."""
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype != np.bool_ or (n is not None and len(array) != n):
        allowed = "n" if n is None else n
        raise ValueError(
            f"{name}: shape {array.shape}, dtype {array.dtype}; allowed: ({allowed},) of bool"
        )
    return array


def scores_of(name: str, value: ArrayLike, n: int) -> Floats:
    """Return the value as finite float64, shape (n,); ValueError where it is not."""
    scores = np.asarray(value)
    if scores.shape != (n,) or scores.dtype.kind not in "fiu":
        raise ValueError(
            f"{name}: shape {scores.shape}, dtype {scores.dtype}; allowed: ({n},) of numbers"
        )
    if not np.isfinite(scores).all():
        sample = int((~np.isfinite(scores)).argmax())
        raise ValueError(f"{name}: sample {sample} is NaN or infinite; allowed: finite")
    return scores.astype(np.float64)
