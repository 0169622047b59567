"""The tables of ``results/``: which grid each is made of, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.lab.effects import OVERALL
from prunemia.lab.steps import attack_step
from prunemia.results import kept, planes, references, releases
from prunemia.results.concentration import concentration
from prunemia.results.curves import curve
from prunemia.results.papers import papers

Made = Callable[[Lab, Sequence[Experiment], Sequence[str]], pd.DataFrame]

RECIPES: Mapping[str, Mapping[str, Any]] = {"fast": {}, "paper": {"recipe": "paper"}}
"""The options of a learned attack by which its recipes are compared."""


def levels(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return each measure on the original, dense and pruned network: the three effects' source."""
    table = lab.effects(experiments, attacks)
    overall = table[(table["label"] == OVERALL) & (table["effect"] == "total")]
    return overall.drop(columns=["label", "effect", "value"])


def recipes(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return each learned attack by its fast and by the paper's recipe, on the same victims."""
    lab.run(
        attack_step(exp, name, "pruned", how)
        for exp in experiments
        for name in attacks
        for how in RECIPES.values()
    )
    rows = [
        {
            "dataset": exp.dataset,
            "model": exp.model,
            "sparsity": exp.sparsity,
            "seed": exp.seed,
            "attack": name,
            "recipe": recipe,
            "accuracy": evaluation.accuracy.value,
            "auc": evaluation.auc.value,
        }
        for exp in experiments
        for name in attacks
        for recipe, how in RECIPES.items()
        for evaluation in [lab.attack(exp, name, **how).evaluation]
    ]
    return pd.DataFrame(rows)


TABLES: dict[str, Made] = {
    "concentration_mnist1d": concentration,
    "control_digits": levels,
    "control_fashion_mnist": levels,
    "control_letter": levels,
    "control_location": levels,
    "control_mnist1d": levels,
    "capacity_mnist1d": levels,
    "epochs_location": Lab.along_epochs,
    "epochs_mnist1d": Lab.along_epochs,
    "pruners_mnist1d": levels,
    "curve_digits": curve,
    "curve_location": curve,
    "curve_mnist1d": curve,
    "paper_digits": papers,
    "paper_location": papers,
    "paper_mnist1d": papers,
    "exposure_location": references.exposed,
    "exposure_mnist1d": references.exposed,
    "references_location": references.compared,
    "references_mnist1d": references.compared,
    "releases_location": releases.released,
    "releases_mnist1d": releases.released,
    "recipes_location": recipes,
    "recipes_mnist1d": recipes,
    "tradeoff_location": planes.tradeoffs,
    "tradeoff_mnist1d": planes.tradeoffs,
}
"""How each table is made of its grid, the file of its name in ``grids/``."""


def kind_of(name: str) -> str:
    """Return what kind of table this is: "control" of "control_mnist1d"."""
    return name.split("_", 1)[0]


def by_dataset(kind: str) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return the tables of a kind that results/ has: data set → the table's name, and the table."""
    found = {name: kept.read(name) for name in _there(kind)}
    return {str(table["dataset"].iloc[0]): (name, table) for name, table in found.items()}


def holding(kind: str, asked: Iterable[Experiment]) -> str:
    """Return the name of the table of a kind whose grid has all these experiments, or ""."""
    asked = set(asked)
    return next((name for name in _there(kind) if asked <= experiments(name)), "")


def _there(kind: str) -> list[str]:
    """Return the names of the tables of a kind that results/ has."""
    return [name for name in TABLES if kind_of(name) == kind and kept.there(name)]


def experiments(name: str) -> frozenset[Experiment]:
    """Return the experiments that a table of `TABLES` has."""
    return frozenset(kept.experiments(name))


def read_or_make(
    kind: str,
    lab: Lab,
    asked: Iterable[Experiment],
    attacks: Sequence[str],
    *,
    most: int = references.MOST,
) -> tuple[str, pd.DataFrame]:
    """Return many runs' numbers: the kept table that has these experiments, else computed.

    The table comes whole, with all its runs; the name is "" where it was computed. Computed are the
    short list of releases, and the ways of `planes.ways`. ``most``: references, which the tables of
    "references" and "exposure" have 64 of.
    """
    todo = list(asked)
    name = holding(kind, todo) if most == references.MOST else ""
    if name:
        return name, kept.read(name)
    if kind in ("references", "exposure"):
        makers = {"references": references.compared, "exposure": references.exposed}
        return "", makers[kind](lab, todo, attacks, most)
    if kind == "releases":
        return "", releases.released(lab, todo, attacks, releases.SHORT)
    if kind == "tradeoff":
        todo = [way for exp in todo for way in planes.ways(exp)]
    return "", next(how for known, how in TABLES.items() if kind_of(known) == kind)(
        lab, todo, attacks
    )


def grid_of(name: str) -> Path:
    """Return where the grid of a table is."""
    return kept.folder().parent / "grids" / f"{name}.yml"
