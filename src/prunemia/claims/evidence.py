"""The same claims on every data set that results/ has, and what they have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from prunemia import results
from prunemia.claims.base import MARGIN, Claim, family, over_runs
from prunemia.claims.lengths import excess_over_sparsity
from prunemia.claims.pruning import SPARSITIES
from prunemia.claims.references import RATES, samia_ahead
from prunemia.claims.releases import release_claims
from prunemia.claims.tradeoff import equal_accuracy
from prunemia.kinds import DEFENSES
from prunemia.lab.effects import EFFECTS
from prunemia.metrics import LEVEL, Estimate

OWN = {"pruner": "l1unstructured", "defense": "none", "stopping": "warm-up"}
"""What the tables of all data sets have in common."""

Values = dict[str, tuple[float, ...]]
"""Claim → the effect with each run."""


@dataclass(frozen=True)
class Question:
    """What a group of claims asks, the kind of table that answers, and how it does."""

    text: str
    kind: str
    answers: Callable[[pd.DataFrame], Values]


def _control(table: pd.DataFrame, measure: str = "accuracy", attack: str = "samia") -> Values:
    """Return the three effects on a measure, at each of `SPARSITIES`."""
    texts = {
        "total": "At sparsity {s:g} the pruned network leaks more than the original",
        "training": "Fine-tuning alone raises the leak",
        "pruning": "At sparsity {s:g} pruning raises the leak at equal training",
    }
    own = _where(table, OWN | {"measure": measure, "attack": attack})
    found: Values = {}
    for effect, text in texts.items():
        end, start = EFFECTS[effect]
        for sparsity in SPARSITIES:
            part = own[own["sparsity"] == sparsity].sort_values("seed")
            if len(part):
                values = (part[end] - part[start]).to_numpy()
                found[text.format(s=sparsity)] = tuple(values)
    return found


def _attacks(table: pd.DataFrame) -> Values:
    """Return how much more SAMIA finds than conf on the pruned network, at each of `SPARSITIES`."""
    found: Values = {}
    for sparsity in SPARSITIES:
        own = _where(table, OWN | {"measure": "accuracy", "sparsity": sparsity})
        samia, conf = (
            own[own["attack"] == name].set_index("seed")["pruned"] for name in ("samia", "conf")
        )
        if len(own):
            text = f"At sparsity {sparsity:g} SAMIA is more accurate than conf"
            found[text] = tuple((samia - conf).dropna())
    return found


def _few(table: pd.DataFrame) -> Values:
    """Return how much more SAMIA finds than LiRA and RMIA by the same five shadow networks."""
    own = _where(table, {"sparsity": 0.7, "network": "pruned", "by": "attack"})
    found: Values = {}
    for measure, rate in RATES.items():
        for attack in ("lira", "rmia"):
            at_rate = own[own["measure"] == measure]
            if values := samia_ahead(at_rate, attack, "offline", results.FEW):
                text = f"At {rate} false positives SAMIA finds more members than {attack}"
                found[text] = values
    return found


def _equal(table: pd.DataFrame) -> Values:
    """Return the excess leak of pruned networks over dense ones of their test accuracy."""
    found: Values = {}
    for sparsity, excess in excess_over_sparsity(table, "conf").items():
        if values := tuple(excess.dropna()):
            text = f"At sparsity {sparsity:g} the pruned network leaks more than a dense one"
            found[text] = values
    return found


def _defenses(table: pd.DataFrame) -> Values:
    """Return what each defense gains over its undefended rival of the same test accuracy."""
    labels = {kind.label.lower(): kind.label for kind in DEFENSES.values()}
    found: Values = {}
    for claim in equal_accuracy(table):
        start = claim.text.lower()
        label = max((known for known in labels if start.startswith(known)), key=len)
        both = ", training and fine-tuning," if "(training, too)" in claim.text else ""
        found[f"{labels[label]}{both} leaks less than its undefended rival"] = claim.values
    return found


def _releases(table: pd.DataFrame) -> Values:
    """Return what several releases tell together, and what other ways to shrink change."""
    return {claim.text: claim.values for claim in release_claims(table)}


QUESTIONS = (
    Question("Does pruning leak?", "control", _control),
    Question("At equal test accuracy?", "epochs", _equal),
    Question("Which attack?", "control", _attacks),
    Question("Where few are accused?", "references", _few),
    Question("What helps?", "tradeoff", _defenses),
    Question("Several releases?", "releases", _releases),
)
"""A table answers if its name is the kind, an underscore, and a data set's name."""


def evidence() -> list[tuple[Question, str, dict[str, Claim]]]:
    """Return every question's claims: (question, claim, data set → the claim there).

    The claims of one row, a claim on all data sets, are one family.
    """
    tables = {
        name: results.read(name)
        for name in results.TABLES
        if results.there(name) and name.startswith(tuple(f"{q.kind}_" for q in QUESTIONS))
    }
    rows = []
    for question in QUESTIONS:
        answers = {
            str(table["dataset"].iloc[0]): question.answers(table)
            for name, table in tables.items()
            if name.startswith(f"{question.kind}_")
        }
        texts = dict.fromkeys(text for found in answers.values() for text in found)
        rows += [(question, text, _row(text, answers)) for text in texts]
    return rows


def _row(text: str, answers: Mapping[str, Values]) -> dict[str, Claim]:
    held = {data: found[text] for data, found in answers.items() if text in found}
    claims = family(over_runs(text, "difference", values, MARGIN) for values in held.values())
    return dict(zip(held, claims, strict=True))


def as_table(rows: list[tuple[Question, str, dict[str, Claim]]]) -> pd.DataFrame:
    """Return one row per claim and data set.

    Columns: question, claim, dataset, value, low, high, verdict, runs.
    """
    return pd.DataFrame(
        {
            "question": question.text, "claim": text, "dataset": data,
            "value": claim.effect.value, "low": claim.effect.low, "high": claim.effect.high,
            "verdict": claim.verdict, "runs": len(claim.values),
        }
        for question, text, held in rows
        for data, claim in held.items()
    )  # fmt: skip


def common(rows: list[tuple[Question, str, dict[str, Claim]]]) -> pd.DataFrame:
    """Return each claim's mean effect over data sets, of those that two or more data sets answer.

    Random effects: each data set has an effect of its own, drawn around the mean (`pooled`).
    Columns: claim, data sets, effect with its interval, between (standard deviation of the effects
    between data sets). A few data sets that nobody drew at random are a thin sample of all data.
    """
    found = []
    for _, text, held in rows:
        usable = [claim.values for claim in held.values() if len(claim.values) > 1]
        if len(usable) > 1 and all(np.ptp(values) > 0 for values in usable):
            mean, between = pooled(usable)
            line = {"claim": text, "data sets": len(usable), "effect": str(mean)}
            found.append(line | {"between": between})
    return pd.DataFrame(found, columns=["claim", "data sets", "effect", "between"])


def pooled(values: list[tuple[float, ...]]) -> tuple[Estimate, float]:
    """Return the mean effect of several data sets, and the standard deviation between them.

    ``values``: per data set one effect per run. The variance between data sets is DerSimonian and
    Laird's, 0 or more; the interval is Hartung and Knapp's, with k − 1 degrees of freedom, never
    narrower than that of a fixed effect.

    Source: Hartung & Knapp (2001), equation 2; Röver, Knapp & Friede (2015), section 2.
    """
    means = np.array([np.mean(each) for each in values])
    within = np.array([np.var(each, ddof=1) / len(each) for each in values])
    fixed = 1 / within
    k, centre = len(values), np.average(means, weights=fixed)
    spread = fixed @ (means - centre) ** 2 - (k - 1)
    between = max(0.0, spread / (fixed.sum() - (fixed**2).sum() / fixed.sum()))
    weights = 1 / (within + between)
    mean = float(np.average(means, weights=weights))
    scale = max(1.0, weights @ (means - mean) ** 2 / (k - 1))
    half = float(stats.t.isf((1 - LEVEL) / 2, k - 1) * math.sqrt(scale / weights.sum()))
    return Estimate(mean, mean - half, mean + half), math.sqrt(between)


def _where(table: pd.DataFrame, asked: Mapping[str, Any]) -> pd.DataFrame:
    for name, value in asked.items():
        table = table[table[name] == value]
    return table
