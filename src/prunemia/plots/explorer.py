"""What a page offers beyond pictures: every case of the tables to choose from, a table to save."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jinja2
import pandas as pd
from IPython.display import HTML
from markupsafe import Markup

from prunemia import results
from prunemia.claims.base import simultaneous
from prunemia.claims.tradeoff import names
from prunemia.lab.effects import EFFECTS, LEVELS
from prunemia.metrics import MEASURES, Estimate, over_seeds
from prunemia.plots.networks import ADVERSARIES
from prunemia.plots.style import COLORS
from prunemia.registry import label
from prunemia.results.tables import ADAPTIVE, NAIVE, WAY, WIDE

FIELDS = ("dataset", "pruner", "sparsity", "defense", "attack")
Case = dict[str, Any]
Found = tuple[Any, Case, Case, pd.DataFrame]
# a case's FIELDS, its networks' and its effects' measures, and its rows


def cases() -> list[Case]:
    """Return every case: data set, pruner, sparsity, defense, attack; its networks and effects."""
    readers = {"control": _controls, "pruners": _controls, "tradeoff": _defenses}
    found: dict[tuple[str, ...], Case] = {}
    for name in filter(results.exists, results.TABLES):
        if read := readers.get(name.partition("_")[0]):
            for fields, networks, effects, rows in read(results.read(name)):
                dataset, pruner, sparsity, *others = fields
                key = (label(dataset), pruner, f"{sparsity:g}", *others)
                case: Case = {"networks": networks, "effects": effects, "source": name}
                case["runs"] = rows["seed"].nunique()
                found[key] = dict(zip(FIELDS, key, strict=True)) | case
    return list(found.values())


def _controls(table: pd.DataFrame) -> Iterator[Found]:
    own = table[(table["stopping"] == "warm-up") & (table["attack"] != "")]
    for key, part in own.groupby(["dataset", "pruner", "sparsity", "attack"], sort=False):
        by_measure = dict(list(part.groupby("measure")))
        measured = {m: by_measure[m] for m in MEASURES.values() if m in by_measure}
        networks = {n: {m: _rate(rows[n]) for m, rows in measured.items()} for n in LEVELS}
        effects = {
            effect: {m: _difference(rows[end] - rows[start]) for m, rows in measured.items()}
            for effect, (end, start) in EFFECTS.items()
        }
        yield (*key[:3], "none", key[3]), networks, effects, part


def _defenses(table: pd.DataFrame) -> Iterator[Found]:
    usual = table[table["stopping"] == "warm-up"].rename(columns=MEASURES)
    measures = [MEASURES[name] for name in WIDE]
    alike = ["dataset", "pruner", "sparsity", "finetune_epochs", "attack"]
    plain = dict(list(usual[usual["defense"] == "none"].groupby(alike)))
    defended = usual[usual["defense"] != "none"]
    ways = defended[list(WAY)].drop_duplicates()
    defended = defended.merge(ways.assign(name=names(ways)), on=list(WAY))
    for (*same, name), part in defended.groupby([*alike, "name"], sort=False):
        start = plain[tuple(same)].set_index("seed")
        by_adversary = dict(list(part.set_index("seed").groupby("adversary")))
        sides = {who: by_adversary[who] for who in (NAIVE, ADAPTIVE) if who in by_adversary}
        networks = {"undefended": start, **{f"defended, {who}": s for who, s in sides.items()}}
        effects = {
            f"defense, {who}": {m: _difference((side[m] - start[m]).dropna()) for m in measures}
            for who, side in sides.items()
        }
        levels = {label: {m: _rate(rows[m]) for m in measures} for label, rows in networks.items()}
        yield (*same[:3], name, same[4]), levels, effects, part


def _rate(values: pd.Series[float]) -> list[float | None]:
    return _numbers(over_seeds(values.tolist(), rate=True))


def _difference(values: pd.Series[float]) -> list[float | None]:
    return _numbers(simultaneous(values.tolist(), 1)) if len(values) else [None] * 3


def _numbers(estimate: Estimate) -> list[float | None]:
    three = (estimate.value, estimate.low, estimate.high)
    return [None if math.isnan(number) else round(number, 4) for number in three]


COLOURS = {**COLORS, "undefended": COLORS["pruned"]} | {
    f"defended, {who}": colour for who, (colour, _) in ADVERSARIES.items()
}


def explorer(found: Sequence[Case]) -> str:
    """Return the explorer as HTML: choices, charts, and a table, which needs no scripts."""
    loader = jinja2.PackageLoader("prunemia.plots")
    pages = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=loader)
    data = json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")
    return pages.get_template("explorer.html").render(cases=found, data=data, colours=COLOURS)


def download(table: pd.DataFrame, name: str) -> HTML:
    """Return a link that saves a table as CSV; the page itself holds the file."""
    text = table.to_csv(index=False, lineterminator="\n")
    data = base64.b64encode(text.encode()).decode()
    link = '<p><a download="{}" href="data:text/csv;base64,{}">{}</a> ({} rows)</p>'
    return HTML(str(Markup(link).format(name, data, name, f"{len(table):,}")))
