"""What the page on evidence shows: the map of verdicts, and its answer in words."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from IPython.display import HTML
from markupsafe import Markup, escape

from prunemia.claims.base import CONTRADICTED, NEGLIGIBLE, SUPPORTED, UNDECIDED, Claim
from prunemia.claims.evidence import Question
from prunemia.plots import VERDICTS

Rows = Sequence[tuple[Question, str, dict[str, Claim]]]
SIGNS = {SUPPORTED: "▲", CONTRADICTED: "▼", NEGLIGIBLE: "=", UNDECIDED: "?"}
"""Beside its colour each verdict has a sign, so that nobody needs to see colours."""

MAP = (
    '<div class="verdicts"><table class="verdicts"><thead><tr>{}</tr></thead>'
    "<tbody>{}</tbody></table><p>{}</p></div>"
)


def verdict_map(rows: Rows) -> HTML:
    """Return the map: one row per claim, one column per data set, effect and interval in a cell."""
    names = list(dict.fromkeys(data for _, _, held in rows for data in held))
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in ["claim", *names])
    body, asked = [], ""
    for question, text, held in rows:
        if question.text != asked:
            asked = question.text
            line = '<tr><th colspan="{}" scope="rowgroup">{}</th></tr>'
            body.append(Markup(line).format(len(names) + 1, asked))
        cells = Markup("").join(_cell(held.get(name)) for name in names)
        body.append(Markup('<tr><td class="claim">{}</td>{}</tr>').format(text, cells))
    legend = ", ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())
    return HTML(str(Markup(MAP).format(head, Markup("").join(body), legend)))


def _cell(claim: Claim | None) -> Markup:
    if claim is None:
        return Markup("<td></td>")
    colour = VERDICTS[claim.verdict]
    cell = '<td style="border-left: 4px solid {}" title="{}">{} {}</td>'
    return Markup(cell).format(colour, claim.verdict, SIGNS[claim.verdict], escape(claim.effect))


def agreed(found: pd.DataFrame) -> dict[str, str]:
    """Say which claims every data set supports, which every one contradicts, and which differ.

    ``found``: of `claims.evidence.as_table`. Only claims that two data sets or more have count.
    """
    kinds: dict[str, list[str]] = {"supported": [], "contradicted": [], "differ": []}
    for text, part in found.groupby("claim", sort=False):
        verdicts = set(part["verdict"])
        if len(part) > 1 and verdicts == {SUPPORTED}:
            kinds["supported"].append(str(text))
        elif len(part) > 1 and verdicts == {CONTRADICTED}:
            kinds["contradicted"].append(str(text))
        elif {SUPPORTED, CONTRADICTED} <= verdicts:
            kinds["differ"].append(str(text))
    return {name: "; ".join(texts) or "none" for name, texts in kinds.items()}


def said(found: pd.DataFrame, claim: str) -> str:
    """Say what the data sets say of one claim: on how many it holds, and on how many not."""
    counts = found.loc[found["claim"] == claim, "verdict"].value_counts()
    parts = [f"{verdict} on {count}" for verdict, count in counts.items()]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def sizes(found: pd.DataFrame, claim: str) -> str:
    """Say the effect of one claim on each data set, with its interval."""
    part = found[found["claim"] == claim]
    return "; ".join(
        f"{row.value:+.3f} [{row.low:.3f}, {row.high:.3f}] on {row.dataset}"
        for row in part.itertuples()
    )
