"""The table of samples: one row each, safe to open in a spreadsheet."""

from __future__ import annotations

import pandas as pd

from prunemia.audit.evidence import Evidence

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "＝", "＋", "－", "＠")
"""What a spreadsheet takes a cell for a formula by (OWASP, CSV injection), full-width forms too."""


def table(evidence: Evidence) -> pd.DataFrame:
    """Return one row per sample: id, label, member, model; each attack's score and decision."""
    signals = evidence.signals
    columns = {
        "id": evidence.target.ids,
        "label": signals.labels,
        "member": evidence.membership.astype(int),
        "model": signals.model,
    }
    for name, verdict in evidence.verdicts.items():
        if verdict.ranks:
            columns[f"{name} score"] = verdict.scores
        columns[f"{name} says member"] = verdict.predictions.astype(int)
    return pd.DataFrame(columns)


def text(evidence: Evidence) -> str:
    """Return the table as CSV; an id that would be a formula gets an apostrophe before it."""
    frame = table(evidence)
    frame["id"] = [guarded(each) for each in frame["id"]]
    return frame.to_csv(index=False, lineterminator="\n")


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    plain_number = cell.removeprefix("-").isdecimal() and cell.isascii()
    if not plain_number and cell.lstrip(" \0").startswith(FORMULA):
        return f"'{cell}"
    return cell
