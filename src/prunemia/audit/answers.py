"""Read what a network answered: an .npz of `Signals`, or a .csv, .tsv or .parquet table."""

from __future__ import annotations

import csv
import hashlib
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunemia.attacks import log_odds
from prunemia.attacks.likelihood import on_both_sides
from prunemia.checks import ids as checked_ids
from prunemia.errors import UsageError, shortened
from prunemia.registry import suggest
from prunemia.signals import FieldError, Signals, SignalWarning
from prunemia.signals.signals import load_arrays

FEWEST = 10
"""Members, and non-members, below which nothing is judged: cross-fitting halves them."""
SUFFIXES = (".npz", ".csv", ".parquet", ".tsv")
KNOWN = ("posteriors", "logits", "labels", "membership", "sensitivities", "model", "id")
CLASSES = re.compile(r"(p|logit|s)(0|[1-9][0-9]{0,5})")
FIELDS = {"p": "posteriors", "logit": "logits", "s": "sensitivities"}
SINGLE = {"label": "labels", "member": "membership", "model": "model", "id": "id"}
INDEX = re.compile(r"|index|unnamed: [0-9]+|__index_level_[0-9]+__")
"""What a column of row numbers is called where pandas wrote it; it is passed over."""
COLUMNS = "label, member, p0 … (or logit0 …), s0 …, model, id"


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network answered, and what its samples are called.

    Attributes
    ----------
    signals : n samples of C classes, with their membership.
    ids : shape (n,), text; the rows' numbers, from 0, where nobody named them.
    name : what people call it: the file.
    reference : the file of the networks that `signals` has as references, if it has.
    warnings : what was unusual in reading it.
    whole : the `content` of all rows, where these are some of them; else empty.
    """

    signals: Signals
    ids: NDArray[np.str_]
    name: str
    reference: Answers | None = None
    warnings: tuple[str, ...] = ()
    whole: str = ""

    @classmethod
    def of(cls, signals: Signals, name: str, ids: Any = None) -> Answers:
        """Return signals with ids, shape (n,); None: the rows' numbers."""
        return cls(signals, checked_ids(ids, len(signals), signals.model), name)

    def subset(self, rows: NDArray[np.bool_]) -> Answers:
        """Return some of the rows."""
        signals = self.signals.subset(rows)
        return replace(self, signals=signals, ids=self.ids[rows], whole=self.content)

    @property
    def content(self) -> str:
        """SHA-256 of the values as they were read, whatever file they stood in."""
        if self.whole:
            return self.whole
        digest = hashlib.sha256()
        for name, value in sorted(self.signals.arrays().items()):
            if name in ("references", "trained_on"):  # from a file of their own
                continue
            digest.update(f"{name} {value.shape} {value.dtype.str}".encode())
            digest.update(np.ascontiguousarray(value).data)
        digest.update("\0".join(self.ids.tolist()).encode())
        return digest.hexdigest()


def read(path: str | Path, fewest: int = FEWEST) -> Answers:
    """Read the answers to n samples, with their membership.

    An ``.npz`` holds the fields of `Signals` (``membership`` too), or ``logits`` instead of
    ``posteriors``, and optionally ``id``. A table has the columns ``label`` (0 … C-1), ``member``
    (0 or 1, or a pair such as train and test), one a class (``p0``, ``p1`` … or ``logit0`` …; of a
    binary network ``p1`` alone), and optionally ``s0`` … (sensitivities), ``model`` and ``id``.
    Text is separated by commas, semicolons, tabs or bars. Rows are counted from 0. ``fewest``:
    members, and non-members, that there have to be; 0 for reference networks.

    Raises
    ------
    UsageError
        The file cannot be read, or something in it is not like that; one sentence names file, row
        and field.
    """
    path = Path(path)
    shown = shortened(str(path))
    suffix = path.suffix.lower()
    row: Callable[[int], str] = "row {}".format
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{shown}: is no file; name an {', '.join(SUFFIXES)} file")
        path.stat()
        if suffix not in SUFFIXES:
            raise UsageError(f"{shown}: is not read; allowed: {', '.join(SUFFIXES)}")
        if suffix == ".npz":
            fields = _npz(path, shown)
        else:
            table = _parquet(path, shown) if suffix == ".parquet" else _csv(path, shown)
            if suffix != ".parquet" and not _has_line_breaks(table):
                row = _with_line
            fields = _fields(table, shown, row)
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read: {error.strerror or error}") from None
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", SignalWarning)
            signals = _signals(fields)
            ids = checked_ids(fields.get("id"), len(signals), signals.model)
    except FieldError as error:
        where = error.field if error.row is None else row(error.row)
        raise UsageError(f"{shown}: {where}: {error.what}") from None
    member = signals.membership
    assert member is not None
    counts = int(member.sum()), int((~member).sum())
    if min(counts) < fewest:
        raise UsageError(
            f"{shown}: {counts[0]} members and {counts[1]} non-members; "
            f"allowed: {fewest} or more of each"
        )
    return Answers(
        signals, ids, path.name, warnings=tuple(f"{path.name}: {each.message}" for each in told)
    )


def _signals(fields: Mapping[str, Any]) -> Signals:
    rest = {name: fields.get(name) for name in ("membership", "model")}
    build = Signals if "posteriors" in fields else Signals.from_logits
    answers = fields["posteriors" if "posteriors" in fields else "logits"]
    return build(answers, fields.get("sensitivities"), fields["labels"], **rest)


def _with_line(row: int) -> str:
    return f"row {row} (line {row + 2})"


def _npz(path: Path, shown: str) -> dict[str, Any]:
    try:
        arrays = load_arrays(path, KNOWN)
    except ValueError as error:
        raise UsageError(shown + str(error).removeprefix(str(path))) from None
    missing = [name for name in ("labels", "membership") if name not in arrays]
    if not {"posteriors", "logits"} & arrays.keys():
        missing.insert(0, "posteriors (or logits)")
    if missing:
        raise UsageError(f"{shown}: misses {', '.join(missing)}; allowed: {', '.join(KNOWN)}")
    if {"posteriors", "logits"} <= arrays.keys():
        raise UsageError(f"{shown}: holds logits beside posteriors; allowed: one of the two")
    return arrays


def _csv(path: Path, shown: str) -> pd.DataFrame:
    """Read a table of text; its separator is the one that its header has most of."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first, second = file.readline(), file.readline()
        separator = max(",;\t|", key=first.count)
        header = next(csv.reader([first], delimiter=separator), [])
        names = _require_columns(header, shown)
        texts = {name: str for name, plain in zip(header, names, strict=True) if plain == "id"}
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # longer rows than the header
            table = pd.read_csv(
                path,
                sep=separator,
                decimal="," if separator != "," and "," in second else ".",
                index_col=False,
                dtype=texts,
                encoding="utf-8-sig",
                float_precision="round_trip",
                keep_default_na=False,
                low_memory=False,
            )
    except UnicodeDecodeError:
        raise UsageError(f"{shown}: is no text in UTF-8") from None
    except pd.errors.ParserWarning:
        raise UsageError(f"{shown}: its rows have more cells than its header") from None
    except (pd.errors.ParserError, csv.Error, OverflowError) as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise UsageError(f"{shown}: is no table of comma-separated values ({reason})") from None
    return table.set_axis(names, axis=1)


def _parquet(path: Path, shown: str) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except ImportError:
        raise UsageError(f"{shown}: Parquet needs the package pyarrow, or give a .csv") from None
    except (OSError, ValueError) as error:
        reason = shortened(" ".join(str(error).split()))
        raise UsageError(f"{shown}: is no Parquet file, or is damaged ({reason})") from None
    return table.set_axis(_require_columns(list(map(str, table.columns)), shown), axis=1)


def _require_columns(header: Sequence[str], shown: str) -> list[str]:
    """Return the columns' names as they are meant; refuse those missing, unknown, or there twice.

    Case, and spaces around, do not count.
    """
    names = [name.strip().casefold() for name in header]
    if not any(names):
        raise UsageError(f"{shown}: is empty; its columns must be {COLUMNS}")
    if all(re.fullmatch(r"[-+0-9.,eE ]+", name) for name in names):
        raise UsageError(f"{shown}: has no header, but numbers in its first row; name {COLUMNS}")
    for name, given in zip(names, header, strict=True):
        if INDEX.fullmatch(name):
            continue
        if name not in SINGLE and not CLASSES.fullmatch(name):
            hint = suggest(name, dict.fromkeys([*SINGLE, "p0", "logit0", "s0"]))
            what = shortened(given, 60)
            raise UsageError(f"{shown}: column {what!r} is not known{hint}; allowed: {COLUMNS}")
        if names.count(name) > 1:
            raise UsageError(f"{shown}: column {name!r} is there twice")
    for name in ("label", "member"):
        if name not in names:
            raise UsageError(f"{shown}: column {name!r} is missing; allowed: {COLUMNS}")
    return names


def _fields(table: pd.DataFrame, shown: str, row: Callable[[int], str]) -> dict[str, Any]:
    """Return the fields of a table's columns."""
    groups: dict[str, list[int]] = {}
    for name in table.columns:
        if match := CLASSES.fullmatch(name):
            groups.setdefault(match[1], []).append(int(match[2]))
    if ("p" in groups) == ("logit" in groups):
        which = "both p0 and logit0" if "p" in groups else "neither p0 nor logit0"
        raise UsageError(f"{shown}: has {which}; allowed: one of the two, for each class")
    fields: dict[str, Any] = {}
    for kind, classes in groups.items():
        binary = classes == [1]  # of two classes: the other's follows
        missing = sorted(set(range(max(classes) + 1)) - set(classes))
        if missing and not binary:
            raise UsageError(
                f"{shown}: column '{kind}{missing[0]}' is missing, and {kind}{max(classes)} is "
                "there"
            )
        columns = [_numbers(table[f"{kind}{c}"], shown, row) for c in sorted(classes)]
        if classes == [0] and kind != "s":
            raise UsageError(
                f"{shown}: {len(table)} rows and 1 classes; allowed: 2 or more "
                f"(of a binary network's numbers for class 1, call the column {kind}1)"
            )
        if binary:
            other = {"p": 1 - columns[0], "logit": 0 * columns[0], "s": columns[0]}
            columns.insert(0, other[kind])
        fields[FIELDS[kind]] = np.stack(columns, axis=1)
    answers = fields.get("posteriors", fields.get("logits"))
    assert answers is not None
    if "sensitivities" in fields and fields["sensitivities"].shape != answers.shape:
        count = fields["sensitivities"].shape[1]
        raise UsageError(f"{shown}: sensitivities of {count} classes; allowed: {answers.shape[1]}")
    if not len(table):
        raise UsageError(f"{shown}: 0 rows and {answers.shape[1]} classes; allowed: 1 or more rows")
    single = {name: table[column].to_numpy() for column, name in SINGLE.items() if column in table}
    return fields | single


def _numbers(column: pd.Series[Any], shown: str, row: Callable[[int], str]) -> NDArray[Any]:
    """Return a column's numbers; refuse the first cell that is none."""
    if column.dtype.kind in "bfiu":
        return column.to_numpy()
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isnan(numbers)
    if wrong.any():
        first = int(wrong.argmax())
        cell = shortened(str(column.iloc[first]), 60)
        raise UsageError(f"{shown}: {row(first)}: {column.name} is {cell!r}; allowed: a number")
    return numbers


def _has_line_breaks(table: pd.DataFrame) -> bool:
    return "id" in table and bool(table["id"].astype(str).str.contains("\n").any())


def beside(target: Answers, reference: Answers) -> Answers:
    """Return the target's answers with the reference networks' log-odds of the same samples.

    ``reference``: for each of k networks (the field model) one row per sample of the target, told
    by id; its membership says whether that network trained on the sample. UsageError where samples,
    labels or classes differ.
    """
    mine, theirs = target.signals, reference.signals
    if mine.classes != theirs.classes:
        raise UsageError(
            f"{reference.name}: {theirs.classes} classes; allowed: {mine.classes}, as {target.name}"
        )
    if len(set(target.ids.tolist())) < len(mine):
        raise UsageError(f"{target.name}: an id is there twice; allowed with references: once each")
    places = pd.Index(target.ids).get_indexer(pd.Index(reference.ids))
    if (unknown := places < 0).any():
        row = int(unknown.argmax())
        raise UsageError(
            f"{reference.name}: row {row}: id {_quoted(reference.ids[row])} is none of "
            f"{target.name}"
        )
    if (differs := theirs.labels != mine.labels[places]).any():
        row = int(differs.argmax())
        raise UsageError(f"{reference.name}: row {row}: label differs from {target.name}'s")
    numbers, networks = np.unique(np.asarray(theirs.model), return_inverse=True)
    odds = np.full((len(mine), len(numbers)), np.nan)
    trained = np.zeros(odds.shape, dtype=bool)
    odds[places, networks] = log_odds(theirs.posteriors, theirs.labels)
    trained[places, networks] = theirs.membership
    if np.isnan(odds).any():
        place, network = np.argwhere(np.isnan(odds))[0]
        raise UsageError(
            f"{reference.name}: network {numbers[network]} has no row for id "
            f"{_quoted(target.ids[place])}; allowed: one for each sample of {target.name}"
        )
    both = on_both_sides(trained.T)
    if trained.any() and not both.all():
        raise UsageError(
            f"{reference.name}: id {_quoted(target.ids[int(both.argmin())])}: all networks trained "
            "on it, or none; allowed: some and others for each sample, or none for all"
        )
    signals = Signals.from_arrays({**mine.arrays(), "references": odds, "trained_on": trained})
    return Answers(signals, target.ids, target.name, reference, target.warnings)


def _quoted(name: object) -> str:
    return repr(shortened(str(name), 60))
