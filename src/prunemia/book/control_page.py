"""What the page on the control says of its tables, as words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from prunemia import results
from prunemia.claims import (
    DEPENDS,
    EFFECT_TEXTS,
    MARGIN,
    Agreement,
    Claim,
    effect_claims,
    strongest,
    tally,
    words,
)
from prunemia.experiment import Experiment


def said(tested: Sequence[Claim], what: str) -> dict[str, str]:
    """Return what each of the three effects does to ``what``, by the effect's name."""
    names = zip(EFFECT_TEXTS, tested, strict=True)
    return {name: words.changes(claim.effect, what, MARGIN) for name, claim in names}


def effects_by(table: pd.DataFrame, column: str, attack: str) -> pd.DataFrame:
    """Return the three effects on an attack with their verdicts, one row per value of a column."""
    tested = {value: effect_claims(rows, attack) for value, rows in table.groupby(column)}
    cells = {value: [f"{c.effect}, {c.verdict}" for c in found] for value, found in tested.items()}
    return pd.DataFrame(cells, index=list(EFFECT_TEXTS)).T


def verdicts_said(agreements: Sequence[Agreement]) -> str:
    """Say of each claim what the stopping rules together make of it, in one sentence."""
    predicates = words.PREDICATES | {DEPENDS: ("depends on the rule", "depend on the rule")}
    if len({a.verdict for a in agreements}) == 1:
        return f"all {len(agreements)} claims {predicates[agreements[0].verdict][1]}"
    clauses = [
        f"the claim that {a.text[0].lower()}{a.text[1:]} {predicates[a.verdict][0]}"
        for a in agreements
    ]
    return f"{', '.join(clauses[:-1])}, and {clauses[-1]}"


def source(name: str) -> str:
    """Say where numbers come from: a table of results/, or "" for this page."""
    if not name:
        return "These numbers were computed for this page"
    made = results.read(name).attrs["record"]["made"]
    return f"These numbers were read from results/{name}.csv, made on {made}"


def strongest_said(runs: Sequence[Experiment], table: pd.DataFrame) -> tuple[str, str]:
    """Return the strongest attack and what the effects on it are; of the kept table, if it has it.

    ``table``: of `Lab.effects` on these runs.
    """
    kept = results.control(runs)
    effects = table if kept is None else kept[1]
    name, fresh = strongest(effects)
    if not fresh:
        return name, "nothing can be tested: there is one seed"
    tested = effect_claims(effects[effects["seed"].isin(fresh)], name)
    parts = said(tested, "its accuracy")
    return name, f"training {parts['training']}, and pruning {parts['pruning']}"


def excess_said(excess: Mapping[str, Sequence[Claim]]) -> str:
    """Say how the claims on excess leakage came out, data set by data set."""
    return "; ".join(
        f"on {name}, {tally(claims)}" if claims else f"on {name}, no run has a number"
        for name, claims in excess.items()
    )


def capacity_said(cells: pd.DataFrame) -> str:
    """Say in how many cells of the map of pruning the effect is positive, negative, or open."""
    part = cells[cells["effect"] == "pruning"]
    framed = part["regime"].astype(bool)
    return "; ".join(
        f"{where} ({len(some)} cells) pruning raises the leak in {(some['low'] > 0).sum()} and "
        f"lowers it in {(some['high'] < 0).sum()}"
        for where, some in (("within the frames", part[framed]), ("outside", part[~framed]))
    )
