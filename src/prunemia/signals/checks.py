"""One coercion for each field of `Signals`, wherever it comes from: a table, an array, a tensor.

Each function returns a field as it is kept, or raises a `FieldError` that says which row is wrong
and what is allowed. What can be read only one way is read that way, and told by a `SignalWarning`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

ROW_SUM_TOLERANCE = 1e-3
COARSEST = 0.1
"""How far rounding may move the sum of a row of posteriors."""
PAIRS = (
    ("1", "0"), ("true", "false"), ("yes", "no"), ("member", "non-member"),
    ("member", "nonmember"), ("in", "out"), ("train", "test"), ("training", "test"),
    ("train", "validation"), ("train", "val"), ("train", "holdout"),
)  # fmt: skip
"""What a member and a non-member may be called; a field uses one pair throughout."""
PROBABILITIES = (
    "its logits are probabilities already (each row is 0 or more and sums to 1); a second softmax "
    "flattens them, and attacks find less: leave out the network's softmax, or give the "
    "probabilities as posteriors"
)


class FieldError(ValueError):
    """A field is wrong.

    Attributes
    ----------
    what : what is wrong and what is allowed, as a clause.
    row : where; None: the field as a whole.
    text : the same where no row has to be named first; "": made of the two.
    """

    def __init__(self, field: str, what: str, row: int | None = None, text: str = "") -> None:
        self.field, self.what, self.row = field, what, row
        super().__init__(f"{field}: {text or (what if row is None else f'row {row}: {what}')}")


class SignalWarning(UserWarning):
    """What was given can be read, but its numbers may mislead: what was seen, and what to do."""


def are_probabilities(logits: NDArray[Any]) -> bool:
    """Return whether rows of logits, (n, C), are what a softmax has given already."""
    if len(logits) < 2 or logits.min() < 0:
        return False
    return bool(np.abs(logits.sum(axis=1, dtype=np.float64) - 1).max() < 1e-2)


def posteriors(value: Any) -> NDArray[np.float32]:
    """Return posteriors, shape (n, C), each row of which sums to one.

    Rows that miss one because their numbers are rounded, to half precision or to a few decimals,
    are divided by their sums.
    """
    array = matrix("posteriors", value)
    n, classes = array.shape
    if classes == 1:
        raise FieldError(
            "posteriors",
            f"shape {array.shape}; allowed: at least 1 row and 2 classes (of a binary network's "
            "probability p of class 1 make the columns 1 - p and p)",
        )
    if n < 1:
        raise FieldError(
            "posteriors", f"shape {array.shape}; allowed: at least 1 row and 2 classes"
        )
    outside = (array < 0) | (array > 1 + ROW_SUM_TOLERANCE)
    _refuse("posteriors", "posterior", array, outside, "0 to 1", " (logits?)")
    sums = array.sum(axis=1, dtype=np.float64)
    off = np.abs(sums - 1)
    if off.max() <= ROW_SUM_TOLERANCE:
        return array.astype(np.float32)
    rounding, most = _rounding(array.astype(np.float64))
    if off.max() > max(most, ROW_SUM_TOLERANCE):
        wrong = off > max(most, ROW_SUM_TOLERANCE)
        row = int(wrong.argmax())
        allowed = f"1 within {ROW_SUM_TOLERANCE:g} (is a class left out, or are they rounded?)"
        raise FieldError(
            "posteriors",
            f"the sum of the posteriors is {sums[row]:.6g}; allowed: {allowed}",
            row,
            f"row {row} sums to {sums[row]:.6g}; allowed: {allowed}",
        )
    _warn(
        f"posteriors: rows sum to {sums.min():.3f} to {sums.max():.3f}, because they are rounded "
        f"to {rounding}; each row was divided by its sum. Rounding makes ties, so the leak may be "
        "larger than what is found: give more digits, or logits"
    )
    divided: NDArray[np.float32] = (array / sums[:, None]).astype(np.float32)
    return divided


def _rounding(p: NDArray[np.float64]) -> tuple[str, float]:
    """Return what posteriors are rounded to, and how far that may move a row's sum; ("", 0)."""
    for digits in range(1, 6):
        tens = p * 10**digits
        if np.abs(tens - tens.round()).max() < 1e-2:
            plural = "decimal" if digits == 1 else "decimals"
            return f"{digits} {plural}", min(p.shape[1] / 2 * 10.0**-digits, COARSEST) + 1e-6
    single = p.astype(np.float32)
    if not (single.view(np.uint32) & 0xFFFF).any():
        return "bfloat16", 0.03
    return ("float16", 0.005) if np.array_equal(single.astype(np.float16), single) else ("", 0.0)


def logits(value: Any) -> NDArray[np.float64]:
    """Return logits, shape (n, C) with two classes or more; warn where they are probabilities."""
    array = matrix("logits", value).astype(np.float64)
    if array.shape[1] < 2 or not len(array):
        raise FieldError("logits", f"shape {array.shape}; allowed: at least 1 row and 2 classes")
    _refuse("logits", "logit", array, np.abs(array) > 1e38, "at most 1e38")
    if are_probabilities(array):
        _warn(f"logits: {PROBABILITIES}")
    return array


def sensitivities(value: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return sensitivities, 0 or more, of the shape of the posteriors."""
    array = matrix("sensitivities", value)
    if array.shape != shape:
        raise FieldError("sensitivities", f"shape {array.shape}; allowed: {shape}")
    _refuse("sensitivities", "sensitivity", array, array < 0, "0 or more")
    return array.astype(np.float32)


def labels(value: Any, n: int, classes: int | None = None) -> NDArray[np.int64]:
    """Return labels, shape (n,), 0 … C-1 (``classes``; None: any C of 2 or more).

    They may be whole numbers of any type, or the rows of the unit matrix (one-hot). Labels that run
    from 1 to C throughout are lowered by one.
    """
    array = as_array(value)
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "biuf":
        if not (np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()):
            raise FieldError("labels", f"shape {array.shape}; allowed: ({n},), or one-hot rows")
        array = array.argmax(axis=1)
    array = _whole("labels", "label", array, n)
    if classes is None:
        if array.min() < 0 or array.max() < 1:
            raise FieldError(
                "labels",
                f"{array.min()} to {array.max()}; allowed: 0 to C-1, of 2 or more classes",
            )
        return array
    if array.min() >= 1 and array.max() == classes and len(np.unique(array)) > 1:
        _warn(
            f"labels: they run from {array.min()} to {classes} for {classes} classes, so they are "
            f"read as counted from 1: lowered by 1; give 0 to {classes - 1}"
        )
        return array - 1
    outside = (array < 0) | (array >= classes)
    _refuse("labels", "label", array, outside, f"0 to {classes - 1}")
    return array


def membership(value: Any, n: int) -> NDArray[np.bool_]:
    """Return the membership, shape (n,): of truth values, 0 and 1, or a pair of words (`PAIRS`)."""
    array = _column("membership", as_array(value), n)
    if array.dtype.kind in "biuf":
        _refuse("membership", "member", array, ~np.isin(array, (0, 1)), "0 or 1")
        return array.astype(bool)
    words = np.array([_word(each) for each in array.tolist()])
    pair = max(PAIRS, key=lambda each: np.isin(words, each).sum())
    shown = np.array([str(each) for each in array.tolist()], dtype=object)
    _refuse(
        "membership", "member", shown, ~np.isin(words, pair), f"{pair[1]} or {pair[0]} in each row"
    )
    member: NDArray[np.bool_] = words == pair[0]
    return member


def _word(value: Any) -> str:
    text = str(value).strip().casefold().replace("_", "-").replace(" ", "-")
    return text.removesuffix(".0")


def model(value: Any, n: int) -> NDArray[np.int64]:
    """Return which network answered, shape (n,), 0 or more; None: network 0."""
    if value is None:
        return np.zeros(n, dtype=np.int64)
    array = _whole("model", "model", as_array(value), n)
    _refuse("model", "model", array, array < 0, "0 or more")
    return array


def references(value: Any, n: int) -> NDArray[np.float32]:
    """Return references' log-odds, shape (n, k) with k of 1 or more."""
    array = matrix("references", value)
    if array.shape[0] != n or not array.shape[1]:
        raise FieldError("references", f"shape {array.shape}; allowed: ({n}, k), k of 1 or more")
    return array.astype(np.float32)


def trained_on(value: Any, others: Any) -> NDArray[np.bool_] | None:
    """Return which reference trained on which sample, shape (n, k); None: none did."""
    if value is None:
        return None
    array = as_array(value)
    if others is None or array.shape != others.shape or array.dtype != np.bool_:
        allowed = "None without references" if others is None else f"{others.shape} of bool"
        raise FieldError(
            "trained_on", f"shape {array.shape}, dtype {array.dtype}; allowed: {allowed}"
        )
    return array


def ids(value: Any, n: int, model: NDArray[np.int64] | None = None) -> NDArray[np.str_]:
    """Return what the samples are called, shape (n,), as text; None: their numbers.

    Each name stands once for each network (``model``).
    """
    if value is None:
        return np.arange(n).astype(str)
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.shape != (n,):
        raise FieldError("ids", f"shape {array.shape}; allowed: ({n},)")
    if array.dtype.kind not in "OUSiufb":
        raise FieldError("ids", f"type {array.dtype}; allowed: text or numbers")
    missing = np.array([each is None or each == "" or pd.isna(each) for each in array.tolist()])
    _refuse("ids", "id", array, missing, "text")
    names = array.astype(str)
    table = pd.DataFrame({"id": names, "model": 0 if model is None else model})
    twice = table.duplicated().to_numpy()
    if twice.any():
        row, rows = int(twice.argmax()), int(table.duplicated(keep=False).sum())
        raise FieldError(
            "ids",
            f"id is {str(names[row])!r} again, and {rows:,} rows share an id with another; "
            "allowed: each id once for each network (average the answers to repeated queries)",
            row,
        )
    return names


def matrix(field: str, value: Any) -> NDArray[Any]:
    """Return a matrix of finite numbers, shape (n, C), in the type they came in."""
    array = as_array(value)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise FieldError(
            field, f"shape {array.shape}, dtype {array.dtype}; allowed: (n, C) of numbers"
        )
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(np.float32) if field != "logits" else array)
    if not finite.all():
        row, column = np.unravel_index(int((~finite).argmax()), finite.shape)
        name = {"posteriors": "posterior", "sensitivities": "sensitivity"}.get(field, "logit")
        raise FieldError(
            field,
            f"{name} {column} is '{array[row, column]}'; allowed: a finite number",
            int(row),
            f"row {row} holds NaN or infinity; allowed: finite numbers",
        )
    return array


def _whole(field: str, name: str, array: NDArray[Any], n: int) -> NDArray[np.int64]:
    """Return whole numbers of any type, shape (n,)."""
    array = _column(field, array, n, " of whole numbers")
    if array.dtype.kind not in "biuf":
        text = np.array([str(each) for each in array.tolist()], dtype=object)
        numbers = pd.to_numeric(pd.Series(text), errors="coerce").to_numpy()
        allowed = "a whole number" + (", as classes are numbered" if field == "labels" else "")
        _refuse(field, name, text, np.isnan(numbers), allowed)
        array = numbers
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        whole = np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2**53)
        _refuse(field, name, array, ~whole, "a whole number")
    return array.astype(np.int64)


def _column(field: str, array: NDArray[Any], n: int, what: str = "") -> NDArray[Any]:
    """Return an array of shape (n,); (n, 1) is taken for it."""
    array = array[:, 0] if array.shape == (n, 1) else array
    if array.shape != (n,):
        raise FieldError(field, f"shape {array.shape}, dtype {array.dtype}; allowed: ({n},){what}")
    return array


def _refuse(
    field: str,
    name: str,
    values: NDArray[Any],
    wrong: NDArray[np.bool_],
    allowed: str,
    hint: str = "",
) -> None:
    """Refuse the first wrong value, if there is one."""
    if not wrong.any():
        return
    place = np.unravel_index(int(wrong.argmax()), wrong.shape)
    column = f"{name} {place[1]}" if len(place) == 2 else name
    what = f"{column} is {str(values[place])[:60]!r}; allowed: {allowed}{hint}"
    span = ""
    if allowed.startswith("0 to"):
        span = f"{values.min():g} to {values.max():g}; allowed: {allowed}{hint}"
    elif allowed == "0 or more":
        span = f"smallest value {values.min():g}; allowed: {allowed}"
    row = int(place[0])
    raise FieldError(field, what, row, f"{span} (row {row})" if span else "")


def _warn(text: str) -> None:
    warnings.warn(text, SignalWarning, stacklevel=4)


def as_array(value: Any) -> NDArray[Any]:
    """Return an array: of a tensor its values wherever it lies, of objects their numbers.

    What is masked or missing becomes NaN.
    """
    if isinstance(value, torch.Tensor):
        values = value.detach().cpu()
        # NumPy knows no bfloat16
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    array = np.asarray(value)
    if np.ma.is_masked(value):
        array = np.where(np.ma.getmaskarray(value), np.nan, array)
    if array.dtype.kind in "OUS":
        numbers = pd.to_numeric(pd.Series(array.ravel().tolist(), dtype=object), errors="coerce")
        missing = pd.isna(pd.Series(array.ravel().tolist(), dtype=object)).to_numpy()
        found = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
        if not (np.isnan(found) & ~missing).any():
            return found.reshape(array.shape)
    return array


def read_only(array: NDArray[Any] | None) -> NDArray[Any] | None:
    """Return an array that nobody can change, not even through another name."""
    if array is not None:
        array = array.copy() if array.base is not None or array.flags.writeable else array
        array.flags.writeable = False
    return array
