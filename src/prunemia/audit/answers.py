"""Read what a network answered: an .npz of `Signals`, or a .csv, .tsv or .parquet table."""

from __future__ import annotations

import csv
import hashlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunemia import checks
from prunemia.attacks import log_odds
from prunemia.attacks.likelihood import on_both_sides
from prunemia.errors import UsageError, shortened
from prunemia.files import read_npz
from prunemia.registry import suggest
from prunemia.signals import FieldError, Signals, SignalWarning

SUFFIXES = (".npz", ".csv", ".parquet", ".tsv")
KNOWN = ("posteriors", "logits", "labels", "membership", "sensitivities", "model", "id")
CLASSES = re.compile(r"(p|logit|s)(0|[1-9][0-9]{0,5})")
FIELDS = {"p": "posteriors", "logit": "logits", "s": "sensitivities"}
SINGLE = {"label": "labels", "member": "membership", "model": "model", "id": "id"}
INDEX = re.compile(r"|index|unnamed: [0-9]+|__index_level_[0-9]+__")  # of row numbers, by pandas
COLUMNS = "label, member, p0 … (or logit0 …), s0 …, model, id"


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network answered to n samples, the samples' ids, shape (n,), and how it is called.

    ``warnings``: what was unusual in reading it.
    """

    signals: Signals
    ids: NDArray[np.str_]
    name: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, signals: Signals, name: str, ids: Any = None) -> Answers:
        """Return signals with ids, shape (n,); None: the rows' numbers."""
        return cls(signals, checks.ids(ids, len(signals), signals.model), name)

    def subset(self, rows: NDArray[np.bool_]) -> Answers:
        """Return some of the rows."""
        return replace(self, signals=self.signals.subset(rows), ids=self.ids[rows])

    @property
    def content(self) -> str:
        """SHA-256 of the values, whatever file they stood in; without references' answers."""
        digest = hashlib.sha256()
        for name, value in sorted(self.signals.arrays().items()):
            if name not in ("references", "trained_on"):
                digest.update(f"{name} {value.shape} {value.dtype.str}".encode())
                digest.update(np.ascontiguousarray(value).data)
        digest.update("\0".join(self.ids.tolist()).encode())
        return digest.hexdigest()


def read(path: str | Path) -> Answers:
    """Read the answers to n samples, with their membership.

    An ``.npz`` holds the fields of `Signals` (``membership`` too), or ``logits`` instead of
    ``posteriors``, and optionally ``id``. A table has the columns ``label`` (0 … C-1), ``member``
    (0 or 1, or a pair such as train and test), one a class (``p0``, ``p1`` … or ``logit0`` …; of a
    binary network ``p1`` alone), and optionally ``s0`` … (sensitivities), ``model`` and ``id``.
    UsageError names file, row (from 0) and field: it cannot be read, or is not like that.
    """
    path, lines = Path(path), False
    suffix = path.suffix.lower()
    try:
        path.stat()
        if suffix not in SUFFIXES:
            raise UsageError(f"is not read; allowed: {', '.join(SUFFIXES)}")
        if suffix == ".npz":
            fields = _archive(path)
        else:
            table = _table(path, suffix == ".parquet")
            breaks = "id" in table and table["id"].astype(str).str.contains("\n").any()
            lines = suffix != ".parquet" and not breaks
            fields = _fields(table)
        ids, logits = fields.pop("id", None), fields.pop("logits", None)
        fields = {"sensitivities": None, **fields}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", SignalWarning)
            signals = Signals(**fields) if logits is None else Signals.from_logits(logits, **fields)
            ids = checks.ids(ids, len(signals), signals.model)
    except FieldError as error:
        where = error.field if error.row is None else f"row {error.row}"
        where += f" (line {error.row + 2})" if lines and error.row is not None else ""
        raise UsageError(f"{shortened(str(path))}: {where}: {error.what}") from None
    except (OSError, UsageError) as error:
        why = str(error).removeprefix(f"{path}: ")
        if isinstance(error, OSError):
            why = f"cannot be read: {error.strerror or error}"
        raise UsageError(f"{shortened(str(path))}: {why}") from None
    said = tuple(f"{path.name}: {each.message}" for each in told)
    return Answers(signals, ids, path.name, said)


def _archive(path: Path) -> dict[str, Any]:
    arrays = read_npz(path)
    allowed = f"; allowed: {', '.join(KNOWN)}"
    if unknown := sorted(arrays.keys() - set(KNOWN)):
        raise UsageError(f"holds {', '.join(unknown)}{allowed}")
    if "posteriors" in arrays and "logits" in arrays:
        raise UsageError("holds logits beside posteriors; allowed: one of the two")
    missing = [] if arrays.keys() & {"posteriors", "logits"} else ["posteriors (or logits)"]
    missing += [name for name in ("labels", "membership") if name not in arrays]
    if missing:
        raise UsageError(f"misses {', '.join(missing)}{allowed}")
    return arrays


def _table(path: Path, parquet: bool) -> pd.DataFrame:
    """Read a table, its columns named as they are meant; a text's header says what separates."""
    try:
        if parquet:
            table = pd.read_parquet(path)
            header = [str(name) for name in table]
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                first, second = file.readline(), file.readline()
            separator = max(",;\t|", key=first.count)
            header = next(csv.reader([first], delimiter=separator), [])
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)  # longer than the header
                table = pd.read_csv(
                    path,
                    sep=separator,
                    decimal="," if separator != "," and "," in second else ".",
                    index_col=False,
                    dtype={name: str for name in header if name.strip().casefold() == "id"},
                    encoding="utf-8-sig",
                    float_precision="round_trip",
                    keep_default_na=False,
                    low_memory=False,
                )
    except (ValueError, OverflowError, csv.Error, pd.errors.ParserWarning) as error:
        kind = "Parquet file, or is damaged" if parquet else "table of comma-separated values"
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise UsageError(f"is no {kind} ({shortened(reason.partition('. ')[0])})") from None
    return table.set_axis(_columns(header), axis=1)


def _columns(header: Sequence[str]) -> list[str]:
    """Return the columns' names in lower case; refuse those missing, unknown, or there twice."""
    names = [name.strip().casefold() for name in header]
    if all(re.fullmatch(r"[-+0-9.,eE ]+", name) for name in names):
        raise UsageError(f"has no header, but numbers in its first row; name {COLUMNS}")
    for name, given in zip(names, header, strict=True):
        index = INDEX.fullmatch(name)
        if not index and name not in SINGLE and not CLASSES.fullmatch(name):
            hint = suggest(name, dict.fromkeys([*SINGLE, "p0", "logit0", "s0"]))
            what = shortened(given, 60)
            raise UsageError(f"column {what!r} is not known{hint}; allowed: {COLUMNS}")
        if not index and names.count(name) > 1:
            raise UsageError(f"column {name!r} is there twice")
    for name in ("label", "member"):
        if name not in names:
            raise UsageError(f"column {name!r} is missing; allowed: {COLUMNS}")
    return names


def _fields(table: pd.DataFrame) -> dict[str, Any]:
    """Return the fields of a table's columns."""
    fields = {name: table[column].to_numpy() for column, name in SINGLE.items() if column in table}
    for prefix, field in FIELDS.items():
        found = [CLASSES.fullmatch(name) for name in table.columns]
        classes = sorted(int(match[2]) for match in found if match and match[1] == prefix)
        columns = [_numbers(table[f"{prefix}{c}"]) for c in classes]
        if classes == [1]:  # of two classes: the other's follows
            first = {"p": 1 - columns[0], "logit": 0 * columns[0], "s": columns[0]}[prefix]
            columns.insert(0, first)
        elif missing := sorted(set(range(max(classes, default=0))) - set(classes)):
            name, last = f"{prefix}{missing[0]}", f"{prefix}{classes[-1]}"
            raise UsageError(f"column {name!r} is missing, and {last} is there")
        if columns:
            fields[field] = np.stack(columns, axis=1)
    if ("posteriors" in fields) == ("logits" in fields):
        which = "both p0 and logit0" if "logits" in fields else "neither p0 nor logit0"
        raise UsageError(f"has {which}; allowed: one of the two, for each class")
    return fields


def _numbers(column: pd.Series[Any]) -> NDArray[Any]:
    """Return a column's numbers; refuse the first cell that is none."""
    if column.dtype.kind in "bfiu":
        return column.to_numpy()
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isnan(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        cell = shortened(str(column.iloc[row]), 60)
        raise FieldError(str(column.name), f"{column.name} is {cell!r}; allowed: a number", row)
    return numbers


def with_references(target: Answers, given: Signals | Answers) -> tuple[Answers, Answers]:
    """Return the target's answers with reference networks' log-odds of its samples; and theirs."""
    n = len(target.ids)
    if isinstance(given, Signals):
        counts = pd.Series(given.model).value_counts()
        if given.membership is None or (counts != n).any():
            raise UsageError(
                f"reference: {len(given)} rows of {len(counts)} networks; allowed: {n} per "
                "network, as target has, with their membership"
            )
        order = pd.DataFrame({"model": given.model}).groupby("model").cumcount()
        given = Answers(given, target.ids[order], "reference")
    mine, theirs, names = target.signals, given.signals, pd.Index(target.ids)
    if mine.classes != theirs.classes:
        raise UsageError(
            f"{given.name}: {theirs.classes} classes; allowed: {mine.classes}, as {target.name}"
        )
    if not names.is_unique:
        raise UsageError(f"{target.name}: an id is there twice; allowed with references: once each")
    places = names.get_indexer(pd.Index(given.ids))
    of_rows = {
        f"id is none of {target.name}": places < 0,
        f"label differs from {target.name}'s": theirs.labels != mine.labels[places],
    }
    for what, wrong in of_rows.items():
        if wrong.any():
            row = int(wrong.argmax())
            raise UsageError(f"{given.name}: row {row} (id {str(given.ids[row])[:60]!r}): {what}")
    answers = {"odds": log_odds(theirs.posteriors, theirs.labels), "member": theirs.membership}
    table = pd.DataFrame({"id": given.ids, "model": theirs.model, **answers})
    wide = table.pivot(index="id", columns="model").reindex(names)
    odds, trained = wide["odds"].to_numpy(), wide["member"].eq(True).to_numpy()
    one_sided = "all networks trained on it, or none; allowed: some and others for each sample, or"
    of_samples = {
        "a network has no row for it; allowed: one of each network": np.isnan(odds).any(axis=1),
        f"{one_sided} none for all": trained.any() & ~on_both_sides(trained.T),
    }
    for what, wrong in of_samples.items():
        if wrong.any():
            raise UsageError(f"{given.name}: id {names[int(wrong.argmax())][:60]!r}: {what}")
    fields = {"references": odds, "trained_on": trained}
    return replace(target, signals=Signals.from_arrays(mine.arrays() | fields)), given
