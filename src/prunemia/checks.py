"""One reading of each field of answers and of data, wherever it comes from: table, array, tensor.

Each function returns a field as it is kept; `FieldError`: which row is wrong, what is allowed.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunemia.errors import UsageError

ROW_SUM_TOLERANCE = 1e-3
COARSEST = 0.1  # how far rounding may move the sum of a row of posteriors
LARGEST = 1e38
PAIRS = (  # of a member and a non-member; a field uses one pair throughout
    ("1", "0"), ("true", "false"), ("yes", "no"), ("in", "out"), ("member", "non-member"),
    ("member", "nonmember"), ("train", "test"), ("training", "test"), ("train", "validation"),
    ("train", "val"), ("train", "holdout"),
)  # fmt: skip
SINGULAR = {"posteriors": "posterior", "sensitivities": "sensitivity", "logits": "logit"}
ONE_COLUMN = (
    ", at least 1 row and 2 classes (of a binary network's probability p of class 1 make the "
    "columns 1 - p and p)"
)
PROBABILITIES = (
    "its logits are probabilities already (each row is 0 or more and sums to 1); a second softmax "
    "flattens them, and attacks find less: leave out the network's softmax, or give the "
    "probabilities as posteriors"
)


class FieldError(UsageError):
    """A field is wrong: ``what`` is wrong and allowed, and in which ``row`` (None: the field)."""

    def __init__(self, field: str, what: str, row: int | None = None) -> None:
        self.field, self.what, self.row = field, what, row
        super().__init__(f"{field}: {what}" if row is None else f"{field}: row {row}: {what}")


class SignalWarning(UserWarning):
    """What was given can be read, but its numbers may mislead: what was seen, and what to do."""


def refuse(
    field: str, name: str, values: NDArray[Any], wrong: NDArray[np.bool_], allowed: str
) -> None:
    """Refuse the first wrong one of values, shape (n, …), if there is one."""
    if wrong.any():
        row, *column = np.unravel_index(int(wrong.argmax()), wrong.shape)
        place = " ".join([name, *map(str, column)])
        value = str(values[(row, *column)])[:60]
        raise FieldError(field, f"{place} is {value!r}; allowed: {allowed}", int(row))


def _warn(text: str) -> None:
    warnings.warn(text, SignalWarning, stacklevel=4)


def as_array(value: Any) -> NDArray[Any]:
    """Return an array of a tensor, wherever it lies, or of objects; what is missing is NaN."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # NumPy knows no bfloat16
        return np.asarray(value.float() if str(value.dtype) == "torch.bfloat16" else value)
    array = np.asarray(value)
    if np.ma.is_masked(value):
        array = np.where(np.ma.getmaskarray(value), np.nan, array)
    if array.dtype.kind in "OUS":
        flat = pd.Series(array.ravel().tolist(), dtype=object)
        numbers = pd.to_numeric(flat, errors="coerce")
        if not (numbers.isna() & ~flat.isna()).any():
            return numbers.to_numpy(np.float64, na_value=np.nan).reshape(array.shape)
    return array


def matrix(
    field: str,
    value: Any,
    shape: tuple[int | str, int | str] = ("n", "C"),
    allowed: str = "a finite number, at most 1e38",
    low: float = -LARGEST,
    high: float = LARGEST,
) -> NDArray[np.float64]:
    """Return a matrix of numbers ``low`` to ``high``; ``shape``: sizes, or letters (C >= 2)."""
    array = as_array(value)
    fits = array.ndim == 2 and array.dtype.kind in "fiu"
    for wanted, size in zip(shape, array.shape, strict=False):
        fits &= size >= 1 + (wanted == "C") if isinstance(wanted, str) else size == wanted
    if not fits:
        sizes = f"({shape[0]}, {shape[1]}) of numbers{ONE_COLUMN if shape[1] == 'C' else ''}"
        raise FieldError(field, f"shape {array.shape}, dtype {array.dtype}; allowed: {sizes}")
    array = array.astype(np.float64)
    wrong = ~((array >= low) & (array <= high))  # NaN is neither
    refuse(field, SINGULAR.get(field, "value"), array, wrong, allowed)
    return array


def posteriors(value: Any) -> NDArray[np.float32]:
    """Return posteriors, (n, C); rows whose sums miss one by rounding are divided by them."""
    allowed = "0 to 1 (logits?)"
    array = matrix("posteriors", value, ("n", "C"), allowed, 0, 1 + ROW_SUM_TOLERANCE)
    sums = array.sum(axis=1)
    off = np.abs(sums - 1)
    if off.max() <= ROW_SUM_TOLERANCE:
        return array.astype(np.float32)
    rounding, most = _rounding(array)
    if (wrong := off > max(most, ROW_SUM_TOLERANCE)).any():
        row = int(wrong.argmax())
        said = (
            f"the sum of the posteriors is {sums[row]:.6g}; allowed: 1 within "
            f"{ROW_SUM_TOLERANCE:g} (is a class left out, or are they rounded?)"
        )
        raise FieldError("posteriors", said, row)
    _warn(
        f"posteriors: rows sum to {sums.min():.3f} to {sums.max():.3f}, because they are rounded "
        f"to {rounding}; each row was divided by its sum. Rounding makes ties, so the leak may be "
        "larger than what is found: give more digits, or logits"
    )
    return np.asarray(array / sums[:, None], dtype=np.float32)


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
    array = matrix("logits", value)
    if are_probabilities(array):
        _warn(f"logits: {PROBABILITIES}")
    return array


def are_probabilities(logits: NDArray[Any]) -> bool:
    """Return whether rows of logits, (n, C), are what a softmax has given already."""
    if len(logits) < 2 or logits.min() < 0:
        return False
    return bool(np.abs(logits.sum(axis=1, dtype=np.float64) - 1).max() < 1e-2)


def classes(value: Any, n: int) -> NDArray[np.int64]:
    """Return whole numbers of any type, shape (n,) or (n, 1), or one-hot rows, as shape (n,)."""
    array = as_array(value)
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "biuf":
        if not (np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()):
            raise FieldError("labels", f"shape {array.shape}; allowed: ({n},), or one-hot rows")
        array = array.argmax(axis=1)
    return _whole("labels", "label", array, n, "a whole number, as classes are numbered")


def labels(value: Any, n: int, count: int | None = None) -> NDArray[np.int64]:
    """Return labels, (n,), 0 … C-1, C the ``count`` (None: any); 1 … C are lowered by one."""
    array = classes(value, n)
    low, high = array.min(), array.max()
    if count is None:
        if low < 0 or high < 1:
            said = f"{low} to {high}; allowed: 0 to C-1, of 2 or more classes"
            raise FieldError("labels", said)
        return array
    if 1 <= low < high == count:
        _warn(
            f"labels: they run from {low} to {count} for {count} classes, so they are "
            f"read as counted from 1: lowered by 1; give 0 to {count - 1}"
        )
        return array - 1
    refuse("labels", "label", array, (array < 0) | (array >= count), f"0 to {count - 1}")
    return array


def membership(value: Any, n: int) -> NDArray[np.bool_]:
    """Return the membership, shape (n,): of truth values, 0 and 1, or a pair of words (`PAIRS`)."""
    array = _column("membership", as_array(value), n)
    if array.dtype.kind in "biuf":
        refuse("membership", "member", array, ~np.isin(array, (0, 1)), "0 or 1")
        return array.astype(bool)
    words = pd.Series(array.tolist()).astype(str).str.strip().str.casefold()
    words = words.str.replace("[_ ]", "-", regex=True).str.removesuffix(".0")
    pair = max(PAIRS, key=lambda each: words.isin(each).sum())
    wrong = ~words.isin(pair).to_numpy()
    refuse("membership", "member", array, wrong, f"{pair[1]} or {pair[0]} in each row")
    return (words == pair[0]).to_numpy()


def model(value: Any, n: int) -> NDArray[np.int64]:
    """Return which network answered, shape (n,), 0 or more; None: network 0."""
    if value is None:
        return np.zeros(n, dtype=np.int64)
    array = _whole("model", "model", as_array(value), n, "a whole number")
    refuse("model", "model", array, array < 0, "0 or more")
    return array


def trained_on(value: Any, others: Any) -> NDArray[np.bool_] | None:
    """Return which reference trained on which sample, shape (n, k); None: none did."""
    if value is None:
        return None
    array = as_array(value)
    if others is not None and array.shape == others.shape and array.dtype == np.bool_:
        return array
    allowed = "None without references" if others is None else f"{others.shape} of bool"
    said = f"shape {array.shape}, dtype {array.dtype}; allowed: {allowed}"
    raise FieldError("trained_on", said)


def ids(value: Any, n: int, model: NDArray[np.int64] | None = None) -> NDArray[np.str_]:
    """Return what the samples are called, (n,), as text, once per ``model``; None: numbers."""
    if value is None:
        return np.arange(n).astype(str)
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if array.shape != (n,) or array.dtype.kind not in "OUSiufb":
        sizes = f"shape {array.shape}; allowed: ({n},) of text or numbers"
        raise FieldError("ids", f"{sizes}, and this is type {array.dtype}")
    names = array.astype(str)
    refuse("ids", "id", array, pd.isna(array) | (names == ""), "text")
    table = pd.DataFrame({"id": names, "model": 0 if model is None else model})
    if (twice := table.duplicated().to_numpy()).any():
        row, rows = int(twice.argmax()), int(table.duplicated(keep=False).sum())
        said = (
            f"id is {str(names[row])!r} again, and {rows:,} rows share an id with another; "
            "allowed: each id once for each network (average the answers to repeated queries)"
        )
        raise FieldError("ids", said, row)
    return names


def _whole(field: str, name: str, array: NDArray[Any], n: int, allowed: str) -> NDArray[np.int64]:
    array = _column(field, array, n, " of whole numbers")
    if array.dtype.kind in "biu":
        return array.astype(np.int64)
    values = pd.Series(array.tolist(), dtype=object)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    whole = (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
    refuse(field, name, array, ~whole, allowed)
    return numbers.astype(np.int64)


def _column(field: str, array: NDArray[Any], n: int, what: str = "") -> NDArray[Any]:
    """Return an array of shape (n,); (n, 1) is taken for it."""
    array = array[:, 0] if array.shape == (n, 1) else array
    if array.shape != (n,):
        raise FieldError(field, f"shape {array.shape}, dtype {array.dtype}; allowed: ({n},){what}")
    return array
