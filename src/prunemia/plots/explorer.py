"""What a page offers beyond pictures: every case of the tables to choose from, a table to save."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd
from IPython.display import HTML
from markupsafe import Markup

from prunemia import results
from prunemia.claims import simultaneous
from prunemia.claims.tradeoff import names
from prunemia.lab.effects import EFFECTS, LEVELS
from prunemia.metrics import MEASURES, over_seeds
from prunemia.registry import LABELS
from prunemia.results.tables import ADAPTIVE, NAIVE, WAY, WIDE

SHOWN = tuple(MEASURES.values())
NAMES = {name: MEASURES[name] for name in WIDE}
"""The columns of a plane's table, by the names of `SHOWN`."""
FIELDS = ("dataset", "pruner", "sparsity", "defense", "attack")
Case = dict[str, Any]


def cases() -> list[Case]:
    """Return every case: data set, pruner, sparsity, defense, attack; its networks and effects."""
    found: dict[tuple[Any, ...], Case] = {}
    for name in filter(results.exists, results.TABLES):
        kind = next((k for k in ("control_", "pruners_", "tradeoff_") if name.startswith(k)), "")
        if kind:
            read = _defenses if kind == "tradeoff_" else _controls
            found |= {tuple(c[f] for f in FIELDS): c for c in read(results.read(name), name)}
    return list(found.values())


def _controls(table: pd.DataFrame, name: str) -> Iterator[Case]:
    own = table[(table["stopping"] == "warm-up") & (table["attack"] != "")]
    for key, part in own.groupby(["dataset", "pruner", "sparsity", "attack"], sort=False):
        measured = {m: rows for m, rows in part.groupby("measure") if m in SHOWN}
        ordered = {m: measured[m] for m in SHOWN if m in measured}
        networks = {
            level: {m: _rate(rows[level]) for m, rows in ordered.items()} for level in LEVELS
        }
        effects = {
            effect: {m: _difference(rows[end] - rows[start]) for m, rows in ordered.items()}
            for effect, (end, start) in EFFECTS.items()
        }
        yield _case(key, "none", networks, effects, name, part)


def _defenses(table: pd.DataFrame, name: str) -> Iterator[Case]:
    usual = table[table["stopping"] == "warm-up"]
    plain, defended = usual[usual["defense"] == "none"], usual[usual["defense"] != "none"]
    ways = defended[list(WAY)].drop_duplicates()
    defended = defended.merge(ways.assign(name=names(ways)), on=list(WAY))
    for key, part in defended.groupby([*WAY, "name", "attack"], dropna=False, sort=False):
        way = dict(zip([*WAY, "name", "attack"], key, strict=True))
        alike = ["pruner", "sparsity", "finetune_epochs", "attack"]
        same = (plain[alike] == [way[field] for field in alike]).all(axis=1)
        start = plain[same].set_index("seed")
        sides = {
            who: part[part["adversary"] == who].set_index("seed")
            for who in (NAIVE, ADAPTIVE)
            if (part["adversary"] == who).any()
        }
        networks = {"undefended": start, **{f"defended, {who}": p for who, p in sides.items()}}
        levels = {
            label: {shown: _rate(rows[m]) for m, shown in NAMES.items()}
            for label, rows in networks.items()
        }
        effects = {
            f"defense, {who}": {
                shown: _difference((side[m] - start[m]).dropna()) for m, shown in NAMES.items()
            }
            for who, side in sides.items()
        }
        about = (table["dataset"].iloc[0], way["pruner"], way["sparsity"], way["attack"])
        yield _case(about, str(way["name"]), levels, effects, name, part)


def _case(
    about: Any, defense: str, networks: Any, effects: Any, source: str, part: pd.DataFrame
) -> Case:
    dataset, pruner, sparsity, attack = about
    key = (
        LABELS.get(str(dataset), str(dataset)),
        str(pruner),
        f"{sparsity:g}",
        defense,
        str(attack),
    )
    shown = {"networks": networks, "effects": effects, "source": source}
    return {**dict(zip(FIELDS, key, strict=True)), **shown, "runs": part["seed"].nunique()}


def _rate(values: pd.Series[float]) -> list[float | None]:
    return _numbers(over_seeds(values.tolist(), rate=True))


def _difference(values: pd.Series[float]) -> list[float | None]:
    return _numbers(simultaneous(values.tolist(), 1)) if len(values) else [None] * 3


def _numbers(estimate: Any) -> list[float | None]:
    three = (estimate.value, estimate.low, estimate.high)
    return [None if math.isnan(number) else round(number, 4) for number in three]


def explorer(found: Sequence[Case], script: str = "../_static/plotly/plotly-basic.min.js") -> str:
    """Return the explorer as HTML: choices, charts, and all cases as a table.

    What it shows is computed here; its script only picks a case and draws it. ``script``: where the
    plotting library is, relative to the page; without it, or without scripts, the table remains.
    """
    template = files("prunemia.plots").joinpath("templates/explorer.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    data = json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")
    return environment.from_string(template).render(cases=found, data=data, script=script)


def download(table: pd.DataFrame, name: str) -> HTML:
    """Return a link that saves a table as CSV; the page itself holds the file."""
    text = table.to_csv(index=False, lineterminator="\n")
    data = base64.b64encode(text.encode()).decode()
    link = '<p><a download="{}" href="data:text/csv;base64,{}">{}</a> ({} rows)</p>'
    return HTML(str(Markup(link).format(name, data, name, f"{len(table):,}")))
