"""The same claims on every data set that results/ has, and what they have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from prunemia import results
from prunemia.claims.base import MARGIN, Claim, family, over_runs
from prunemia.claims.lengths import excess_over_sparsity
from prunemia.claims.pruning import SPARSITIES
from prunemia.claims.references import reference_claims, strongest_claims
from prunemia.claims.releases import release_claims
from prunemia.claims.tradeoff import equal_accuracy
from prunemia.kinds import DEFENSES
from prunemia.lab.effects import EFFECTS
from prunemia.metrics import LEVEL, Estimate

OWN = {"pruner": "l1unstructured", "defense": "none"}
"""What the tables of all data sets have in common."""

LEAST = 3
"""Data sets whose mean is worth a line: that of two has an interval which says nothing."""

RULE = "warm-up"
"""The stopping rule of every table; a table that has others as well needs their agreement."""


@dataclass(frozen=True)
class Question:
    """What a group of claims asks, the kind of table that answers, and how it does.

    ``answers`` returns a table's claims, which are not yet the families of the map.
    """

    text: str
    kind: str
    answers: Callable[[pd.DataFrame], Iterable[Claim]]


def _control(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield the three effects on SAMIA's accuracy at each of `SPARSITIES`, by every rule."""
    texts = {
        "total": "At sparsity {s:g} the pruned network leaks more to SAMIA than the original",
        "training": "Fine-tuning alone raises the leak to SAMIA",
        "pruning": "At sparsity {s:g} pruning raises the leak to SAMIA at equal training",
    }
    own = where(table, OWN | {"measure": "accuracy", "attack": "samia"})
    for effect, text in texts.items():
        for sparsity in SPARSITIES:
            at = own[own["sparsity"] == sparsity].sort_values("seed")
            values, *also = (_effect(at, effect, rule) for rule in _rules(at))
            if values:
                yield replace(_claim(text.format(s=sparsity), values), also=tuple(also))


def _rules(table: pd.DataFrame) -> list[str]:
    """Return the stopping rules of a table, ours first."""
    return [RULE, *sorted(set(table["stopping"]) - {RULE})]


def _effect(table: pd.DataFrame, effect: str, rule: str) -> tuple[float, ...]:
    """Return an effect in each run under one rule."""
    end, start = EFFECTS[effect]
    part = table[table["stopping"] == rule]
    return tuple(part[end] - part[start])


def _attacks(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield how much more SAMIA finds than conf on the pruned network, at each of `SPARSITIES`."""
    for sparsity in SPARSITIES:
        asked = {"measure": "accuracy", "sparsity": sparsity, "stopping": RULE}
        own = where(table, OWN | asked)
        samia, conf = (
            own[own["attack"] == name].set_index("seed")["pruned"] for name in ("samia", "conf")
        )
        if len(own):
            text = f"At sparsity {sparsity:g} SAMIA is more accurate than conf"
            yield _claim(text, (samia - conf).dropna())


def _few(table: pd.DataFrame) -> list[Claim]:
    """Return how much more SAMIA finds than LiRA and RMIA by the same five shadow networks."""
    return reference_claims(where(table, {"sparsity": 0.7}))


def _equal(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield the excess leak of pruned networks over dense ones of their test accuracy."""
    for sparsity, excess in excess_over_sparsity(table, "conf").items():
        if values := tuple(excess.dropna()):
            text = (
                f"At sparsity {sparsity:g} the pruned network leaks more to conf than a dense one"
            )
            yield _claim(text, values)


def _defenses(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield what each defense gains over its undefended rival of the same test accuracy."""
    labels = {kind.label.lower(): kind.label for kind in DEFENSES.values()}
    for claim in equal_accuracy(table):
        start = claim.text.lower()
        label = max((known for known in labels if start.startswith(known)), key=len)
        both = ", training and fine-tuning," if "(training, too)" in claim.text else ""
        name = labels[label][0].upper() + labels[label][1:]
        yield replace(claim, text=f"{name}{both} leaks less than its undefended rival")


def _claim(text: str, values: Iterable[float]) -> Claim:
    return over_runs(text, "difference in balanced accuracy", tuple(values), MARGIN)


QUESTIONS = (
    Question("Does pruning leak?", "control", _control),
    Question("At equal test accuracy?", "epochs", _equal),
    Question("Which attack?", "control", _attacks),
    Question("Where few are accused?", "references", _few),
    Question("By the strongest attack?", "references", strongest_claims),
    Question("What helps?", "tradeoff", _defenses),
    Question("Several releases?", "releases", release_claims),
)
"""A table answers if its name is the kind, an underscore, and a data set's name."""


def evidence() -> list[tuple[Question, str, dict[str, Claim]]]:
    """Return every question's claims: (question, claim, data set → the claim there).

    The claims of one row, a claim on all data sets, are one family.
    """
    kept = {kind: tables(kind) for kind in dict.fromkeys(q.kind for q in QUESTIONS)}
    rows = []
    for question in QUESTIONS:
        answers = {
            data: {claim.text: claim for claim in question.answers(table)}
            for data, table in kept[question.kind].items()
        }
        texts = dict.fromkeys(text for found in answers.values() for text in found)
        rows += [(question, text, _row(text, answers)) for text in texts]
    return rows


def tables(kind: str) -> dict[str, pd.DataFrame]:
    """Return the tables of a kind that results/ has, by data set."""
    names = [name for name in results.TABLES if name.startswith(f"{kind}_")]
    read = [results.read(name) for name in names if results.there(name)]
    return {str(table["dataset"].iloc[0]): table for table in read}


def _row(text: str, answers: Mapping[str, Mapping[str, Claim]]) -> dict[str, Claim]:
    held = {data: found[text] for data, found in answers.items() if text in found}
    return dict(zip(held, family(held.values()), strict=True))


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
    """Return each claim's mean effect over data sets, of those that `LEAST` data sets answer.

    Random effects: each data set has an effect of its own, drawn around the mean (`pooled`).
    Columns: claim, data sets, effect with its interval, between (standard deviation of the effects
    between data sets). A few data sets that nobody drew at random are a thin sample of all data.
    """
    found = []
    for _, text, held in rows:
        usable = [claim.values for claim in held.values() if len(claim.values) > 1]
        if len(usable) >= LEAST and all(np.ptp(values) > 0 for values in usable):
            mean, between = pooled(usable)
            line = {"claim": text, "data sets": len(usable), "effect": str(mean)}
            found.append(line | {"between": between})
    return pd.DataFrame(found, columns=["claim", "data sets", "effect", "between"])


def pooled(values: list[tuple[float, ...]]) -> tuple[Estimate, float]:
    """Return the mean effect of several data sets, and the standard deviation between them.

    ``values``: per data set one effect per run. The variance between data sets is Paule and
    Mandel's: the one at which the weighted squares around the mean add up to k − 1, 0 if they do
    not reach it. The interval is Hartung and Knapp's, with k − 1 degrees of freedom, never narrower
    than that of weights taken as known.

    Source: Paule & Mandel (1982); Hartung & Knapp (2001), equation 2; Röver, Knapp & Friede (2015),
    section 2.
    """
    means = np.array([np.mean(each) for each in values])
    within = np.array([np.var(each, ddof=1) / len(each) for each in values])
    k = len(values)

    def squares(between: float) -> float:
        weights = 1 / (within + between)
        return float(weights @ (means - np.average(means, weights=weights)) ** 2)

    # the squares fall with the variance; at k times that of the means they are below k − 1
    most = k * float(means.var()) + 1e-300
    excess = squares(0.0) - (k - 1)
    between = optimize.brentq(lambda v: squares(v) - (k - 1), 0.0, most) if excess > 0 else 0.0
    weights = 1 / (within + between)
    mean = float(np.average(means, weights=weights))
    scale = max(1.0, squares(between) / (k - 1))
    half = float(stats.t.isf((1 - LEVEL) / 2, k - 1) * math.sqrt(scale / weights.sum()))
    return Estimate(mean, mean - half, mean + half), math.sqrt(between)


def where(table: pd.DataFrame, asked: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows whose columns have these values."""
    for name, value in asked.items():
        table = table[table[name] == value]
    return table
