"""Read what a stranger's network answered: an .npz of `Signals`, or a .csv or .parquet table."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunemia.audit import tables
from prunemia.audit.fields import FEWEST, Fields, checked
from prunemia.data.npz import Header, NpzError, read_npz
from prunemia.errors import UsageError, shortened
from prunemia.signals import Signals

SUFFIXES = (".npz", ".csv", ".parquet")
KNOWN = ("posteriors", "logits", "labels", "membership", "sensitivities", "model", "id")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network answered, and what its samples are called.

    Attributes
    ----------
    signals : n samples of C classes, with their membership.
    ids : shape (n,), text; the rows' numbers, from 0, where nobody named them.
    name : what people call it: the file.
    reference : the file of the networks that `signals` has as references, if it has.
    """

    signals: Signals
    ids: NDArray[np.str_]
    name: str
    reference: Answers | None = None

    @classmethod
    def of(cls, signals: Signals, name: str, ids: Any = None) -> Answers:
        """Return signals with ids, shape (n,); None: the rows' numbers."""
        return cls(signals, named_samples(ids, len(signals)), name)

    @property
    def content(self) -> str:
        """SHA-256 of the values as they were read, whatever file they stood in."""
        digest = hashlib.sha256()
        for name, value in sorted(self.signals.arrays().items()):
            if name in ("references", "trained_on"):  # from a file of their own
                continue
            digest.update(f"{name} {value.shape} {value.dtype.str}".encode())
            digest.update(np.ascontiguousarray(value).data)
        digest.update("\0".join(self.ids.tolist()).encode())
        return digest.hexdigest()


def named_samples(ids: Any, n: int) -> NDArray[np.str_]:
    """Return what n samples are called, as text; None: their numbers."""
    named = np.arange(n) if ids is None else np.asarray(ids)
    if named.shape != (n,):
        raise UsageError(f"ids: shape {named.shape}; allowed: ({n},)")
    return named.astype(str)


def read(path: str | Path, fewest: int = FEWEST) -> Answers:
    """Read the answers to n samples, with their membership.

    An ``.npz`` holds the fields of `Signals` (``membership`` too), or ``logits`` instead of
    ``posteriors``, and optionally ``id``. A ``.csv`` or ``.parquet`` has the columns ``label``
    (0 … C-1), ``member`` (0 or 1), one a class (``p0``, ``p1`` … or ``logit0`` …), and optionally
    ``s0`` … (sensitivities), ``model`` and ``id``. Rows are counted from 0. ``fewest``: members,
    and non-members, that there have to be; 0 for reference networks.

    Raises
    ------
    UsageError
        The file cannot be read, or something in it is not like that; one sentence names file, row
        and field.
    """
    path = Path(path)
    shown = shortened(str(path))
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{shown}: cannot be read: {reason}") from None
    if not stat.S_ISREG(mode):
        raise UsageError(f"{shown}: is no file; name an {', '.join(SUFFIXES)} file")
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{shown}: is not read; allowed: {', '.join(SUFFIXES)}")
    found = _npz(path, shown) if path.suffix == ".npz" else tables.read(path, shown)
    signals, ids = checked(found, fewest)
    return Answers(signals, ids, path.name)


def _npz(path: Path, shown: str) -> Fields:
    try:
        arrays = read_npz(path, _chosen)
    except NpzError as error:
        raise UsageError(f"{shown}: {error}") from None
    return Fields(arrays, shown, lambda row: f"row {row}")


def _chosen(headers: dict[str, Header]) -> Iterable[str]:
    """Return the names of the fields, which are known, of the right dimensions, and as long."""
    answers = [name for name in ("posteriors", "logits") if name in headers]
    missing = [name for name in ("labels", "membership") if name not in headers]
    unknown = sorted(headers.keys() - set(KNOWN))
    if len(answers) != 1:
        missing = ["posteriors (or logits)", *missing] if not answers else missing
        unknown = unknown if not answers else ["logits beside posteriors"]
    if missing or unknown:
        what = f"misses {', '.join(missing)}" if missing else f"holds {', '.join(unknown)}"
        raise NpzError(f"{shortened(what)}; allowed: {', '.join(KNOWN)}")
    rows = headers[answers[0]].rows
    for name, header in headers.items():
        dimensions = 2 if name in ("posteriors", "logits", "sensitivities") else 1
        if len(header.shape) != dimensions or header.rows != rows:
            expected = f"({rows}, C)" if dimensions == 2 else f"({rows},)"
            raise NpzError(f"{name}: shape {header.shape}; allowed: {expected}")
    return headers
