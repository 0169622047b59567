"""The explorer of the page on evidence: every case of the tables in results/, to choose from.

What it shows is computed here; the page's script only picks a case and draws it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any

import jinja2
import pandas as pd

from prunemia import results
from prunemia.claims import simultaneous
from prunemia.claims.tradeoff import names
from prunemia.lab.effects import EFFECTS, LEVELS
from prunemia.metrics import Estimate, over_seeds
from prunemia.results.tables import ADAPTIVE, MEASURES, NAIVE, WAY

CONTROLS = ("control_", "pruners_")
PLANES = "tradeoff_"
SHOWN = ("accuracy", "AUC", "TPR at 0.001", "TPR at 0.01", "TPR at 0.05")
NAMES = {"accuracy": "accuracy", "auc": "AUC", "tpr@0.01": "TPR at 0.01"}
"""The columns of a plane's table, by the names of `SHOWN`."""

Case = dict[str, Any]


def cases() -> list[Case]:
    """Return every case: data set, pruner, sparsity, defense, attack; its networks and effects."""
    found: dict[tuple[Any, ...], Case] = {}
    for name in results.TABLES:
        if not results.exists(name):
            continue
        if name.startswith(CONTROLS):
            found |= {_key(case): case for case in _controls(results.read(name), name)}
        if name.startswith(PLANES):
            found |= {_key(case): case for case in _defenses(results.read(name), name)}
    return list(found.values())


def _key(case: Case) -> tuple[Any, ...]:
    return tuple(case[name] for name in ("dataset", "pruner", "sparsity", "defense", "attack"))


def _controls(table: pd.DataFrame, name: str) -> Iterator[Case]:
    own = table[(table["stopping"] == "warm-up") & (table["attack"] != "")]
    for key, part in own.groupby(["dataset", "pruner", "sparsity", "attack"], sort=False):
        by_measure = dict(tuple(part.groupby("measure")))
        measured = [measure for measure in SHOWN if measure in by_measure]
        networks = {
            level: {m: _rate(by_measure[m][level].tolist()) for m in measured} for level in LEVELS
        }
        effects = {
            effect: {m: _difference((by_measure[m][end] - by_measure[m][start]).tolist())
                     for m in measured}
            for effect, (end, start) in EFFECTS.items()
        }  # fmt: skip
        yield _case(key, "none", networks, effects, name, part["seed"].nunique())


def _defenses(table: pd.DataFrame, name: str) -> Iterator[Case]:
    plain = table[(table["defense"] == "none") & (table["stopping"] == "warm-up")]
    defended = table[(table["defense"] != "none") & (table["stopping"] == "warm-up")]
    ways = defended[list(WAY)].drop_duplicates()
    defended = defended.merge(ways.assign(name=names(ways)), on=list(WAY))
    for key, part in defended.groupby([*WAY, "name", "attack"], dropna=False, sort=False):
        way = dict(zip([*WAY, "name", "attack"], key, strict=True))
        alike = ("pruner", "sparsity", "finetune_epochs")
        same = (plain[list(alike)] == [way[field] for field in alike]).all(axis=1)
        start = plain[same & (plain["attack"] == way["attack"])].set_index("seed")
        asked = [who for who in (NAIVE, ADAPTIVE) if (part["adversary"] == who).any()]
        sides = {who: part[part["adversary"] == who].set_index("seed") for who in asked}
        networks = {"undefended": start, **{f"defended, {who}": p for who, p in sides.items()}}
        effects = {
            f"defense, {who}": {
                NAMES[m]: _difference((side[m] - start[m]).dropna().tolist()) for m in MEASURES
            }
            for who, side in sides.items()
        }
        levels = {
            label: {NAMES[m]: _rate(rows[m].tolist()) for m in MEASURES}
            for label, rows in networks.items()
        }
        about = (table["dataset"].iloc[0], way["pruner"], way["sparsity"], way["attack"])
        yield _case(about, str(way["name"]), levels, effects, name, part["seed"].nunique())


def _case(
    about: Sequence[Any], defense: str, networks: Any, effects: Any, source: str, runs: int
) -> Case:
    dataset, pruner, sparsity, attack = about
    return {
        "dataset": str(dataset), "pruner": str(pruner), "sparsity": f"{sparsity:g}",
        "defense": defense, "attack": str(attack),
        "networks": networks, "effects": effects, "source": source, "runs": int(runs),
    }  # fmt: skip


def _rate(values: list[float]) -> list[float | None]:
    return _numbers(over_seeds(values, rate=True))


def _difference(values: list[float]) -> list[Any]:
    if not values:
        return [None, None, None]
    return _numbers(simultaneous(values, 1))


def _numbers(estimate: Estimate) -> list[float | None]:
    three = (estimate.value, estimate.low, estimate.high)
    return [None if math.isnan(number) else round(number, 4) for number in three]


def explorer(found: list[Case], script: str = "../_static/plotly/plotly-basic.min.js") -> str:
    """Return the explorer as HTML: choices, charts, and all cases as a table.

    ``script``: where the plotting library is, relative to the page. Without it, or without
    scripts, the table remains.
    """
    template = files("prunemia.book").joinpath("templates/explorer.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    data = json.dumps(found, separators=(",", ":")).replace("<", "\\u003c")
    return environment.from_string(template).render(cases=found, data=data, script=script)
