"""Answers in a table: a .csv or a .parquet file, a column for each number."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunemia.audit.fields import Fields, refuse
from prunemia.errors import UsageError, shortened
from prunemia.registry import suggest

LARGEST = 4 << 30
"""Bytes of a table that is read: of a .csv as it lies, of a .parquet once it is unpacked."""
CLASSES = re.compile(r"(p|logit|s)(0|[1-9][0-9]{0,5})")
FIELDS = {"p": "posteriors", "logit": "logits", "s": "sensitivities"}
SINGLE = {"label": "labels", "member": "membership", "model": "model", "id": "id"}


def read(path: Path, shown: str) -> Fields:
    """Return the fields of a table; UsageError where it is none, or a column is wrong."""
    table = _csv(path, shown) if path.suffix == ".csv" else _parquet(path, shown)
    lines = path.suffix == ".csv" and not _has_line_breaks(table)
    row = (lambda i: f"row {i} (line {i + 2})") if lines else (lambda i: f"row {i}")
    fields = Fields({}, shown, row)
    groups = _groups(list(map(str, table.columns)), fields)
    arrays = {
        FIELDS[kind]: np.stack([_numbers(table[name], fields) for name in names], axis=1)
        for kind, names in groups.items()
    }
    for column, name in SINGLE.items():
        if column in table:
            values = table[column]
            arrays[name] = _text(values, fields) if column == "id" else _numbers(values, fields)
    return Fields(arrays, shown, row)


def _csv(path: Path, shown: str) -> pd.DataFrame:
    if path.stat().st_size > LARGEST:
        raise UsageError(
            f"{shown}: has {path.stat().st_size:,} bytes; at most {LARGEST:,} are read"
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = next(csv.reader(file), [])
        _require_columns(header, shown)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # longer rows than the header
            return pd.read_csv(
                path,
                index_col=False,
                dtype={"id": str},
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
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read: {error.strerror or error}") from None


def _parquet(path: Path, shown: str) -> pd.DataFrame:
    if find_spec("pyarrow") is None:
        raise UsageError(f"{shown}: Parquet needs the package pyarrow; install it, or give a .csv")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _require_columns(file.schema_arrow.names, shown)
            metadata = file.metadata
            size = sum(
                metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)
            )
            if size > LARGEST:
                raise UsageError(
                    f"{shown}: unpacks to {size:,} bytes; at most {LARGEST:,} are read"
                )
            table: pd.DataFrame = file.read().to_pandas(ignore_metadata=True)
            return table
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        reason = shortened(" ".join(str(error).split()))
        raise UsageError(f"{shown}: is no Parquet file, or is damaged ({reason})") from None


def _require_columns(header: Sequence[str], shown: str) -> None:
    """Refuse columns that are missing, unknown, or there twice, before any row is read."""
    allowed = "label, member, p0 … (or logit0 …), s0 …, model, id"
    if not header:
        raise UsageError(f"{shown}: is empty; its columns must be {allowed}")
    for name in header:
        if name not in SINGLE and not CLASSES.fullmatch(name):
            hint = suggest(name, dict.fromkeys([*SINGLE, "p0", "logit0", "s0"]))
            what = shortened(name, 60)
            raise UsageError(f"{shown}: column {what!r} is not known{hint}; allowed: {allowed}")
        if header.count(name) > 1:
            raise UsageError(f"{shown}: column {name!r} is there twice")
    for name in ("label", "member"):
        if name not in header:
            raise UsageError(f"{shown}: column {name!r} is missing; allowed: {allowed}")


def _groups(header: Sequence[str], fields: Fields) -> dict[str, list[str]]:
    """Return the columns of each kind in the order of their classes, which none is left out of."""
    groups: dict[str, list[int]] = {}
    for name in header:
        if match := CLASSES.fullmatch(name):
            groups.setdefault(match[1], []).append(int(match[2]))
    if ("p" in groups) == ("logit" in groups):
        which = "both p0 and logit0" if "p" in groups else "neither p0 nor logit0"
        refuse(fields, f"has {which}; allowed: one of the two, for each class")
    for kind, classes in groups.items():
        missing = sorted(set(range(max(classes) + 1)) - set(classes))
        if missing:
            refuse(
                fields, f"column '{kind}{missing[0]}' is missing, and {kind}{max(classes)} is there"
            )
    return {kind: [f"{kind}{c}" for c in range(len(classes))] for kind, classes in groups.items()}


def _numbers(column: pd.Series[Any], fields: Fields) -> NDArray[Any]:
    """Return a column's numbers; refuse the first cell that is none."""
    if column.dtype.kind in "bfiu":
        return column.to_numpy()
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isnan(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        cell = shortened(str(column.iloc[row]), 60)
        refuse(fields, f"{fields.row(row)}: {column.name} is {cell!r}; allowed: a number")
    return numbers


def _text(column: pd.Series[Any], fields: Fields) -> NDArray[Any]:
    missing = (column.isna() | (column.astype(str) == "")).to_numpy()
    if missing.any():
        refuse(fields, f"{fields.row(int(missing.argmax()))}: id is empty; allowed: text")
    return column.astype(str).to_numpy(dtype=object)


def _has_line_breaks(table: pd.DataFrame) -> bool:
    return "id" in table and bool(table["id"].astype(str).str.contains("\n").any())
