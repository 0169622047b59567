"""The checks of `Signals`: each returns a field as it is kept, or says what is wrong.

Each raises ValueError with the field's name, what it is, and what is allowed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

ROW_SUM_TOLERANCE = 1e-3


def probabilities(value: ArrayLike) -> NDArray[np.float32]:
    """Return posteriors, shape (n, C), each row of which sums to one."""
    posteriors = matrix("posteriors", value)
    n, classes = posteriors.shape
    if n < 1 or classes < 2:
        raise ValueError(
            f"posteriors: shape {posteriors.shape}; allowed: at least 1 row and 2 classes"
        )
    low, high = posteriors.min(), posteriors.max()
    if low < 0 or high > 1 + ROW_SUM_TOLERANCE:
        raise ValueError(f"posteriors: {low:g} to {high:g}; allowed: 0 to 1")
    sums = posteriors.sum(axis=1, dtype=np.float64)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > ROW_SUM_TOLERANCE:
        raise ValueError(
            f"posteriors: row {worst} sums to {sums[worst]:.6g}; "
            f"allowed: 1 within {ROW_SUM_TOLERANCE:g}"
        )
    return posteriors


def changes(value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return sensitivities, 0 or more, of the shape of the posteriors."""
    sensitivities = matrix("sensitivities", value)
    if sensitivities.shape != shape:
        raise ValueError(f"sensitivities: shape {sensitivities.shape}; allowed: {shape}")
    if sensitivities.min() < 0:
        raise ValueError(
            f"sensitivities: smallest value {sensitivities.min():g}; allowed: 0 or more"
        )
    return sensitivities


def labels(value: ArrayLike, n: int, classes: int) -> NDArray[np.int64]:
    """Return labels, shape (n,), 0 … C-1."""
    array = integers("labels", value, n)
    low, high = array.min(), array.max()
    if low < 0 or high >= classes:
        raise ValueError(f"labels: {low} to {high}; allowed: 0 to {classes - 1}")
    return array


def members(value: ArrayLike, n: int) -> NDArray[np.bool_]:
    """Return the membership, shape (n,)."""
    membership = as_array(value)
    if membership.shape != (n,) or membership.dtype != np.bool_:
        raise ValueError(
            f"membership: shape {membership.shape}, dtype {membership.dtype}; "
            f"allowed: ({n},) of bool"
        )
    return membership


def models(value: ArrayLike | None, n: int) -> NDArray[np.int64]:
    """Return which network answered, shape (n,), 0 or more; None: network 0."""
    model = np.zeros(n, dtype=np.int64) if value is None else integers("model", value, n)
    if model.min() < 0:
        raise ValueError(f"model: smallest value {model.min()}; allowed: 0 or more")
    return model


def odds(value: ArrayLike, n: int) -> NDArray[np.float32]:
    """Return references' log-odds, shape (n, k) with k of 1 or more."""
    references = matrix("references", value)
    if references.shape[0] != n or not references.shape[1]:
        raise ValueError(f"references: shape {references.shape}; allowed: ({n}, k), k of 1 or more")
    return references


def training(value: ArrayLike | None, references: Any) -> NDArray[np.bool_] | None:
    """Return which reference trained on which sample, shape (n, k); None: none did."""
    if value is None:
        return None
    trained = as_array(value)
    if references is None or trained.shape != references.shape or trained.dtype != np.bool_:
        allowed = "None without references" if references is None else f"{references.shape} of bool"
        raise ValueError(
            f"trained_on: shape {trained.shape}, dtype {trained.dtype}; allowed: {allowed}"
        )
    return trained


def matrix(name: str, value: ArrayLike, dtype: type = np.float32) -> NDArray[Any]:
    """Return a matrix of finite numbers, shape (n, C)."""
    array = as_array(value)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{name}: shape {array.shape}, dtype {array.dtype}; allowed: (n, C) of numbers"
        )
    array = array.astype(dtype)
    if not np.isfinite(array).all():
        row = int((~np.isfinite(array)).any(axis=1).argmax())
        raise ValueError(f"{name}: row {row} holds NaN or infinity; allowed: finite numbers")
    return array


def integers(name: str, value: ArrayLike, n: int) -> NDArray[np.int64]:
    """Return integers, shape (n,)."""
    array = as_array(value)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: shape {array.shape}, dtype {array.dtype}; allowed: ({n},) of integers"
        )
    return array.astype(np.int64)


def as_array(value: Any) -> NDArray[Any]:
    """Return an array; of a tensor its values, wherever it lies, with or without a gradient."""
    if isinstance(value, torch.Tensor):
        values = value.detach().cpu()
        # NumPy knows no bfloat16
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(value)


def read_only(array: NDArray[Any] | None) -> NDArray[Any] | None:
    """Return an array that nobody can change, not even through another name."""
    if array is not None:
        array = array.copy() if array.base is not None or array.flags.writeable else array
        array.flags.writeable = False
    return array
