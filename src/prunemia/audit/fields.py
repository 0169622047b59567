"""What a file of answers must hold, checked field by field; every refusal names the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunemia.errors import UsageError, shortened
from prunemia.signals import Signals
from prunemia.signals.checks import ROW_SUM_TOLERANCE

FEWEST = 10
"""Members, and non-members, below which nothing is judged: cross-fitting halves them."""

LONGEST_ID = 200


@dataclass(frozen=True)
class Fields:
    """The fields of one file, unchecked.

    Attributes
    ----------
    arrays : by name: posteriors or logits (n, C), labels, membership (n,), and what else there is.
    shown : the file, in messages.
    row : from a row's number to how messages call it.
    """

    arrays: Mapping[str, NDArray[Any]]
    shown: str
    row: Callable[[int], str]


def checked(fields: Fields, fewest: int = FEWEST) -> tuple[Signals, NDArray[np.str_]]:
    """Return the signals and the ids; UsageError names file, row, field and what is allowed.

    ``fewest``: members, and non-members, that there have to be.
    """
    arrays = fields.arrays
    given = "posteriors" if "posteriors" in arrays else "logits"
    answers = _numbers(fields, given, arrays[given])
    n, classes = answers.shape
    if n < 1 or classes < 2:
        refuse(
            fields, f"{n} rows and {classes} classes; allowed: 1 or more rows, 2 or more classes"
        )
    if given == "posteriors":
        _probabilities(fields, answers)
    labels = _whole(fields, "labels", arrays["labels"], classes - 1)
    member = _flags(fields, arrays["membership"])
    sensitivities = None
    if "sensitivities" in arrays:
        sensitivities = _numbers(fields, "sensitivities", arrays["sensitivities"])
        if sensitivities.shape != answers.shape:
            refuse(fields, f"sensitivities of {sensitivities.shape[1]} classes; allowed: {classes}")
        _first(fields, "sensitivity", sensitivities, sensitivities < 0, "0 or more")
    model = np.zeros(n, dtype=np.int64)
    if "model" in arrays:
        model = _whole(fields, "model", arrays["model"], 2**31)
    ids = _ids(fields, arrays.get("id"), model)
    counts = int(member.sum()), int((~member).sum())
    if min(counts) < fewest:
        refuse(
            fields,
            f"{counts[0]} members and {counts[1]} non-members; allowed: {fewest} or more of each",
        )
    build = Signals if given == "posteriors" else Signals.from_logits
    return build(answers, sensitivities, labels, membership=member, model=model), ids


def refuse(fields: Fields, what: str) -> NoReturn:
    """Raise a `UsageError` whose subject is the file."""
    raise UsageError(f"{fields.shown}: {what}")


def _first(
    fields: Fields, name: str, values: NDArray[Any], wrong: NDArray[np.bool_], allowed: str
) -> None:
    """Refuse the first row with a wrong value, if there is one."""
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        column = f"{name} {place[1]}" if len(place) == 2 else name
        value = shortened(str(values[place]), 60)
        refuse(fields, f"{fields.row(int(place[0]))}: {column} is {value!r}; allowed: {allowed}")


def _numbers(fields: Fields, name: str, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "fiu":
        refuse(fields, f"{name}: type {values.dtype}; allowed: numbers")
    singular = {"posteriors": "posterior", "logits": "logit"}.get(name, "sensitivity")
    _first(fields, singular, values, ~np.isfinite(values), "a finite number")
    # what float32 cannot hold would become infinite
    _first(fields, singular, values, np.abs(values) > 1e38, "at most 1e38")
    return values


def _probabilities(fields: Fields, values: NDArray[Any]) -> None:
    outside = (values < 0) | (values > 1 + ROW_SUM_TOLERANCE)
    _first(fields, "posterior", values, outside, "0 to 1")
    sums = values.sum(axis=1, dtype=np.float64)
    wrong = np.abs(sums - 1) > ROW_SUM_TOLERANCE
    allowed = f"1 within {ROW_SUM_TOLERANCE:g} (logits go by another name)"
    _first(fields, "the sum of the posteriors", sums.round(6), wrong, allowed)


def _whole(fields: Fields, name: str, values: NDArray[Any], most: int) -> NDArray[np.int64]:
    if values.dtype.kind not in "fiu":
        refuse(fields, f"{name}: type {values.dtype}; allowed: whole numbers")
    fits = (values >= 0) & (values <= most) & (values == np.floor(values))
    singular = "label" if name == "labels" else name
    _first(fields, singular, values, ~fits, f"a whole number from 0 to {most}")
    return values.astype(np.int64)


def _flags(fields: Fields, values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind not in "bfiu":
        refuse(fields, f"membership: type {values.dtype}; allowed: 0 and 1")
    _first(fields, "member", values, ~np.isin(values, (0, 1)), "0 or 1")
    return values.astype(bool)


def _ids(fields: Fields, values: NDArray[Any] | None, model: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return the ids as text; each stands once for each network."""
    if values is None:
        return np.arange(len(model)).astype(str)
    if values.dtype.kind not in "OUiu":
        refuse(fields, f"id: type {values.dtype}; allowed: text or whole numbers")
    for row, text in enumerate(values.tolist() if values.dtype.kind in "OU" else ()):
        # an array of text is as wide as its longest
        if len(text) > LONGEST_ID:
            refuse(
                fields, f"{fields.row(row)}: id has {len(text):,} characters; at most {LONGEST_ID}"
            )
        if not text.isascii() and text.encode(errors="replace").decode() != text:
            refuse(fields, f"{fields.row(row)}: id is no valid Unicode text")
    ids = values.astype(str)
    twice = pd.DataFrame({"id": ids, "model": model}).duplicated().to_numpy()
    _first(fields, "id", ids, twice, "each id once for each network")
    return ids
