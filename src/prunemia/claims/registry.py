"""The registry: every claim of the book, computed in one place from the tables of ``results/``.

Every page, list, count, map and typed finding takes a claim from here, number and verdict together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from scipy import optimize, stats

from prunemia import results
from prunemia.claims import effects, papers, references, releases, tradeoff
from prunemia.claims.base import (
    CONTRADICTED,
    NEGLIGIBLE,
    OPEN,
    RULES,
    SUPPORTED,
    UNDECIDED,
    VERDICTS,
    Claim,
)
from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.metrics import LEVEL, Estimate
from prunemia.results import kept

LEAST = 3
"""Data sets whose mean is worth a line: that of two has an interval which says nothing."""
COLUMNS = (
    "id", "question", "text", "dataset", "measure", "comparison", "sparsity", "rules", "effect",
    "low", "high", "verdict", "runs", "family", "source", "note", "paper",
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """What a group of claims asks, the kind of table that answers, and how it does.

    A table answers if its name is the kind, an underscore, and a data set's name. ``everywhere``:
    each claim is asked on every data set with such a table, also where it gets no number.
    """

    text: str
    kind: str
    answers: Callable[[pd.DataFrame], Iterable[Claim]]
    everywhere: bool = False


QUESTIONS = (
    Question("Does pruning leak?", "control", effects.control),
    Question("At equal fit and accuracy?", "curve", effects.equally_good, everywhere=True),
    Question("By other pruning methods?", "control", effects.methods),
    Question("Does the divergence grow?", "paper", papers.divergence),
    Question("Which attack?", "control", papers.samia_and_conf),
    Question("Which attack?", "paper", papers.samia_ahead),
    Question("Where few are accused?", "references", references.few_accused),
    Question("Where few are accused?", "references", references.second_signal),
    Question("By the strongest attack?", "references", references.strongest),
    Question("Who is exposed?", "concentration", references.exposure),
    Question("What does the adversary have to know?", "paper", papers.knowledge),
    Question("Does PPB help?", "paper", papers.ppb),
    Question("Which defense helps?", "tradeoff", tradeoff.defended),
    Question("Several releases?", "releases", releases.releases),
    Question("Is the fast recipe as strong?", "recipes", releases.recipes),
)


def registry() -> pd.DataFrame:
    """Return every claim of the book: one row per claim and data set.

    Columns: id and dataset, which name the row; question and text, what is asked, and the claim,
    true where the effect is positive; measure, comparison and sparsity, of what the effect is a
    difference, which, of which networks; rules, the stopping rules under which it was tried;
    effect, low and high, the mean over runs (and over rules) with its interval, simultaneous over
    the family, which covers the intervals of all rules that were tried; verdict, of
    `claims.base.VERDICTS`, from that interval; runs and family, how many runs, and on how many data
    sets the claim was asked; source, the table of results/; note, what a reader has to know beside
    the verdict; paper, whether Yuan & Zhang (2022) make the claim, of their data sets.

    Raises
    ------
    UsageError
        This is not the book's repository, or a table is stale.
    """
    rows = [
        {
            "id": claim.id, "question": question, "text": claim.text, "dataset": claim.dataset,
            "measure": claim.measure, "comparison": claim.comparison, "sparsity": claim.sparsity,
            "rules": ", ".join(claim.by_rule), "effect": claim.effect.value,
            "low": claim.effect.low, "high": claim.effect.high, "verdict": claim.verdict,
            "runs": claim.runs, "family": claim.tests, "source": claim.source,
            "note": claim.remark, "paper": claim.paper,
        }
        for question, claim in claims()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def claims() -> tuple[tuple[str, Claim], ...]:
    """Return every question and claim, in the order of `QUESTIONS`; the data sets of one follow."""
    return _claims(kept.folder())


@lru_cache(maxsize=1)
def _claims(folder: Path) -> tuple[tuple[str, Claim], ...]:
    del folder  # another repository has other tables
    tables = {kind: results.by_dataset(kind) for kind in {q.kind for q in QUESTIONS}}
    asked: dict[str, list[tuple[str, Claim]]] = {}
    for question in QUESTIONS:
        for dataset, (source, table) in tables[question.kind].items():
            for claim in question.answers(table):
                named = replace(claim, dataset=dataset, source=source)
                asked.setdefault(claim.id, []).append((question.text, named))
    everywhere = {q.text: len(tables[q.kind]) for q in QUESTIONS if q.everywhere}
    rows = []
    for group in sorted(asked.values(), key=_place(asked)):
        text = group[0][0]
        size = max(len(group), everywhere.get(text, 0))
        rows += [(text, replace(claim, tests=size)) for _, claim in group]
    return tuple(rows)


def _place(
    asked: Mapping[str, list[tuple[str, Claim]]],
) -> Callable[[list[tuple[str, Claim]]], tuple[int, int, float]]:
    """Return how claims are ordered: by question, by what is claimed, by sparsity."""
    texts = [question.text for question in QUESTIONS]
    known = list(dict.fromkeys(name.rpartition("-")[0] for name in asked))

    def place(group: list[tuple[str, Claim]]) -> tuple[int, int, float]:
        question, claim = group[0]
        what = known.index(claim.id.rpartition("-")[0])
        return texts.index(question), what, claim.sparsity or 0.0

    return place


def of(exp: Experiment, known: str) -> Claim | None:
    """Return a claim on an experiment's data set; None where its table lacks the experiment."""
    for _, claim in claims():
        if (claim.id, claim.dataset) == (known, exp.dataset):
            return claim if exp in results.experiments(claim.source) else None
    return None


def said(
    exp: Experiment,
    known: str,
    more: str = "it raises the leak",
    less: str = "it lowers the leak",
    here: float = math.nan,
) -> str:
    """Say what a claim's runs say of an effect, in a clause with its interval.

    ``more``, ``less``: the clause where the claim is supported, and where it is contradicted.
    Without a claim on the experiment: ``here``, the effect in the page's own run, decides nothing.
    """
    claim = of(exp, known)
    if claim is None:
        return f"{here:+.3f} in this one run, which decides nothing"
    clauses = {
        SUPPORTED: more,
        CONTRADICTED: less,
        NEGLIGIBLE: "no difference that matters",
        UNDECIDED: f"{claim.runs} runs cannot tell",
        OPEN: "open",
    }
    effect = claim.effect
    return f"{clauses[claim.verdict]} ({effect.value:+.3f} [{effect.low:.3f}, {effect.high:.3f}])"


def find(known: str, dataset: str) -> Claim:
    """Return a claim by its id and data set.

    Raises
    ------
    UsageError
        There is no such claim.
    """
    found = [claim for _, claim in claims() if (claim.id, claim.dataset) == (known, dataset)]
    if not found:
        raise UsageError(f"claims: no claim {known!r} on data set {dataset!r}; see registry()")
    return found[0]


def shown(*ids: str, question: str | None = None, exp: Experiment | None = None) -> pd.DataFrame:
    """Return claims as a table for a page: by id (a prefix will do), question or experiment.

    Columns: claim, data set, effect with its interval, verdict, runs, note. ``exp``: of its data
    set alone, and none where it is not an experiment of the claim's table: a page that was run with
    other parameters gives no verdict.
    """
    table = registry()
    if question is not None:
        table = table[table["question"] == question]
    if exp is not None:
        own = {name: exp in results.experiments(name) for name in set(table["source"])}
        table = table[(table["dataset"] == exp.dataset) & table["source"].map(own)]
    if ids:
        table = table[table["id"].str.startswith(ids)]
    numbers = table[["effect", "low", "high"]].to_numpy(dtype=float).tolist()
    effect = [str(Estimate(*each)) for each in numbers]
    found = table.assign(**{"effect [95 %]": effect}).rename(
        columns={"text": "claim", "dataset": "data set"}
    )
    return found[["claim", "data set", "effect [95 %]", "verdict", "runs", "note"]]


def tally(known: str) -> str:
    """Say what a claim's verdicts are: "not decided on 3 data sets, open on 2"."""
    verdicts = [claim.verdict for _, claim in claims() if claim.id == known]
    counted = [(verdict, verdicts.count(verdict)) for verdict in dict.fromkeys(verdicts)]
    (first, count), *rest = sorted(counted, key=lambda pair: -pair[1])
    said = f"{first} on {count} data set{'s' if count > 1 else ''}"
    return ", ".join([said, *(f"{verdict} on {count}" for verdict, count in rest)])


def show(*ids: str, question: str | None = None, exp: Experiment | None = None) -> Any:
    """Return `shown` as every tool shows it: wrapped, the verdict beside the claim.

    Where there is no claim a sentence says so. The data set is left out where it is the page's.
    """
    found = shown(*ids, question=question, exp=exp)
    if found.empty:
        return Markdown("*No claim: no kept table has these parameters, or none could be judged.*")
    order = ["claim", *(["data set"] if exp is None else []), "verdict", "effect [95 %]", "runs"]
    wrapped = "white-space: normal; text-align: left; vertical-align: top"
    return found[[*order, "note"]].style.hide().map(lambda _: wrapped)


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many claims of a registry got each verdict, one row per question."""
    wide = table.groupby("question", sort=False)["verdict"].value_counts().unstack(fill_value=0)
    return wide.reindex(columns=list(VERDICTS), fill_value=0)


def common(rule: str = RULES[0]) -> pd.DataFrame:
    """Return each claim's mean effect over data sets, of those that `LEAST` data sets answer.

    Under one stopping rule; a claim that needs all rules and was not tried under all on a data set
    is left out there. Random effects: each data set has an effect of its own, drawn around the mean
    (`pooled`). Columns: id, claim, data sets, effect with its interval, between (standard deviation
    of the effects between data sets). A few data sets that nobody drew at random are a thin sample.
    """
    values: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for _, claim in claims():
        usable = claim.verdict != OPEN and rule in claim.by_rule
        if usable and (claim.ruled or rule == RULES[0]):
            values.setdefault((claim.id, claim.text), []).append(claim.by_rule[rule])
    found = []
    for (known, text), each in values.items():
        if len(each) >= LEAST and all(len(v) > 1 and np.ptp(v) > 0 for v in each):
            mean, between = pooled(each)
            line = {"id": known, "claim": text, "data sets": len(each), "effect": str(mean)}
            found.append(line | {"between": between})
    return pd.DataFrame(found, columns=["id", "claim", "data sets", "effect", "between"])


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
