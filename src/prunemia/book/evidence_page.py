"""What the page on evidence shows: the map of verdicts, and its answer in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from IPython.display import HTML
from markupsafe import Markup

from prunemia.book.defenses_page import advice
from prunemia.claims import compared
from prunemia.claims.base import CONTRADICTED, NEGLIGIBLE, SUPPORTED, UNDECIDED, Claim
from prunemia.claims.evidence import Question, tables
from prunemia.plots import VERDICTS

Rows = Sequence[tuple[Question, str, dict[str, Claim]]]
RULES_DISAGREE = "undecided, because the stopping rules disagree"
SIGNS = {
    SUPPORTED: "▲",
    CONTRADICTED: "▼",
    NEGLIGIBLE: "=",
    UNDECIDED: "?",
    RULES_DISAGREE: "≠",
}
"""Beside its colour each verdict has a sign, so that nobody needs to see colours."""

ORIGINAL = "original"
"""What `claims.named` calls the network before pruning: what an owner could publish as well."""

SHORT = {
    SUPPORTED: "supported",
    CONTRADICTED: "contradicted",
    NEGLIGIBLE: "too small to matter",
    UNDECIDED: "undecided",
}
"""A verdict in a sentence that counts data sets."""

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
    effect = claim.effect
    told = RULES_DISAGREE if len(set(claim.verdicts)) > 1 else claim.verdict
    size = f"{SIGNS[told]} {effect.value:+.3f}"
    interval = (
        f"[{effect.low:.3f}, {effect.high:.3f}]" if not math.isnan(effect.low) else effect.note
    )
    cell = '<td style="border-left: 4px solid {}" title="{}">{}<br><small>{}</small></td>'
    return Markup(cell).format(colour, told, size, interval)


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
    """Say how many data sets support a claim, contradict it, and leave it open."""
    verdicts = found.loc[found["claim"] == claim, "verdict"].tolist()
    asked = len(verdicts)
    counts = [(SHORT[name], verdicts.count(name)) for name in SHORT if name in verdicts]
    word, count = counts[0]
    if count == asked:
        return f"{word} on all {asked} data sets"
    parts = [f"{word} on {count} of {asked} data sets"]
    parts += [f"{word} on {count}" for word, count in counts[1:]]
    return " and ".join([", ".join(parts[:-1]), parts[-1]])


def span(found: pd.DataFrame, claim: str) -> str:
    """Say the smallest and the largest effect of a claim, and on which data sets they are."""
    return _between(found[found["claim"] == claim].set_index("dataset")["value"], "{:+.3f}")


def levels(networks: pd.DataFrame, role: str) -> str:
    """Say the smallest and the largest leak of the networks of a role, as percentages.

    ``networks``: of `claims.overfitting.networks`.
    """
    return _between(networks[networks["role"] == role].set_index("dataset")["leak"], "{:.0%}")


def _between(values: pd.Series, form: str) -> str:
    """Say the smallest and the largest of values by data set, and on which they are."""
    ordered = values.sort_values()
    ends = (f"{form.format(ordered.iloc[i])} ({ordered.index[i]})" for i in (0, -1))
    return "between {} and {}".format(*ends)


def what_to_do(measure: str = "accuracy") -> str:
    """Say, for every data set with a table of defenses, what leaks least at the original's price.

    That is, of all that costs at most `TEST_MARGIN` of the original network's test accuracy.
    """
    parts = []
    for data, table in tables("tradeoff").items():
        best, plain = (advice(table, ORIGINAL, measure, defended=d) for d in (True, False))
        said = f"On {data}, {best['chosen']} leaks least: {best['judged_said']}."
        if plain["chosen"] != best["chosen"]:
            said += f" Without a defense, {plain['chosen']} does: {plain['judged_said']}."
            added = compared(table, best["chosen"], plain["chosen"], measure)
            if added:
                said += f" Between the two the difference is {added[0].effect}."
        parts.append(said)
    return " ".join(parts)


def prices(networks: pd.DataFrame, network: str) -> str:
    """Say the smallest and the largest fall of test accuracy from the original to a network.

    ``networks``: of `claims.overfitting.networks`; ``network``: as "pruned 0.9".
    """
    tests = (networks["train"] - networks["gap"]).groupby(
        [networks["dataset"], networks["network"]]
    )
    wide = tests.first().unstack()
    return _between(wide["original"] - wide[network], "{:.3f}")


def ruled() -> str:
    """Name the data sets whose table of the control has every stopping rule."""
    several = [data for data, t in tables("control").items() if t["stopping"].nunique() > 1]
    return ", ".join(several) or "none"
