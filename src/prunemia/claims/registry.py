"""The registry: every claim of the book, computed in one place from the tables of ``results/``."""

import itertools
import math
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from scipy import optimize, stats

from prunemia import results
from prunemia.claims.base import (
    LEAST_RUNS,
    NEGLIGIBLE,
    OPEN,
    RULES,
    SUPPORTED,
    VERDICTS,
    Claim,
    where,
)
from prunemia.claims.questions import OWN, QUESTIONS, answers, regime
from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.lab.effects import LEVELS
from prunemia.metrics import LEVEL, Estimate, summarize
from prunemia.registry import label
from prunemia.results.kept import folder

LEAST = 3  # data sets whose mean is worth a line: the interval of two says nothing
COLUMNS = (
    "id", "question", "text", "dataset", "measure", "comparison", "sparsity", "rules", "effect",
    "low", "high", "verdict", "runs", "family", "source", "note", "paper",
)  # fmt: skip


def registry() -> pd.DataFrame:
    """Return every claim of the book: one row per claim and data set.

    Columns: as `claims.base.Claim` says; rules, under which it was tried; effect, low and high, the
    mean over runs and rules with the interval that decides; family, on how many data sets it was
    asked. UsageError: no repository, or a stale table.
    """
    rows = [
        {**vars(claim), "question": question, "rules": ", ".join(claim.by_rule)}
        | {"effect": claim.effect.value, "low": claim.effect.low, "high": claim.effect.high}
        | {"verdict": claim.verdict, "runs": claim.runs, "family": claim.tests}
        | {"note": claim.remark}
        for question, claim in claims()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def claims() -> tuple[tuple[str, Claim], ...]:
    """Return every question and claim: by question, claim and sparsity, data set after data set."""
    return _claims(folder())


@lru_cache(maxsize=1)
def _claims(_: Path) -> tuple[tuple[str, Claim], ...]:
    """Compute the claims; ``_``: the folder, for another repository has other tables."""
    tables = {kind: results.by_dataset(kind) for kind in {entry["kind"] for entry in QUESTIONS}}
    groups: dict[tuple[str, str], list[Claim]] = {}
    asked: dict[str, int] = {}  # on how many data sets, where each claim is asked everywhere
    for entry in QUESTIONS:
        question, found = entry["question"], tables[entry["kind"]]
        if entry.get("everywhere"):
            runs = [table["seed"].nunique() for _, table in found.values()]
            asked[question] = sum(count >= LEAST_RUNS for count in runs)
        for dataset, (source, table) in found.items():
            for claim in answers(entry, table):
                named = replace(claim, dataset=dataset, source=source)
                groups.setdefault((question, claim.id), []).append(named)
    questions = list(dict.fromkeys(entry["question"] for entry in QUESTIONS))
    stems = list(dict.fromkeys(known.rpartition("-")[0] for _, known in groups))

    def place(key: tuple[str, str]) -> tuple[int, int, float]:
        sparsity = groups[key][0].sparsity or 0.0
        return questions.index(key[0]), stems.index(key[1].rpartition("-")[0]), sparsity

    ordered = []
    for question, known in sorted(groups, key=place):
        group = groups[question, known]
        tests = max(1, sum(claim.runs >= LEAST_RUNS for claim in group), asked.get(question, 0))
        ordered += [(question, replace(claim, tests=tests)) for claim in group]
    return tuple(ordered)


def of(exp: Experiment, known: str) -> Claim | None:
    """Return a claim on an experiment's data set; None where its table lacks the experiment."""
    claim = _on(exp.dataset, known)
    return claim if claim and exp in results.experiments(claim.source) else None


def find(known: str, dataset: str) -> Claim:
    """Return a claim by its id and data set; UsageError where there is none."""
    if claim := _on(dataset, known):
        return claim
    raise UsageError(f"claims: no claim {known!r} on data set {dataset!r}; see registry()")


def _on(dataset: str, known: str) -> Claim | None:
    return next((c for _, c in claims() if (c.id, c.dataset) == (known, dataset)), None)


def said(exp: Experiment, known: str, here: float = math.nan, what: str = "the leak") -> str:
    """Say in a clause what a claim's runs say of an effect on ``what``, a rate, in points.

    ``here``: the effect in the page's own run, said where no claim has the experiment.
    """
    claim = of(exp, known)
    if claim is None:
        return f"{100 * here:+.1f} points in this one run, which decides nothing"
    if claim.verdict in VERDICTS[:2]:
        moves = "raises" if claim.verdict == SUPPORTED else "lowers"
        return f"{moves} {what} ({claim.effect.text(1, 100, ' points', signed=True)})"
    if claim.verdict == NEGLIGIBLE:
        return f"makes {NEGLIGIBLE} to {what}"
    low, high = 100 * claim.effect.low, 100 * claim.effect.high
    ends = "too few runs" if math.isnan(low) else f"{low:+z.1f} to {high:+z.1f} points"
    return f"is not shown to change {what} ({ends})"


def show(*ids: str, question: str | None = None, exp: Experiment | None = None) -> Any:
    """Return claims as a table for a page: by id (a prefix will do), question or experiment.

    ``exp``: of its data set alone, and a sentence instead where the claims' tables lack it.
    """
    table = registry()
    if question is not None:
        table = table[table["question"] == question]
    if exp is not None:
        own = {name: exp in results.experiments(name) for name in set(table["source"])}
        table = table[(table["dataset"] == exp.dataset) & table["source"].map(own)]
    if ids:
        table = table[table["id"].str.startswith(ids)]
    if table.empty:
        return Markdown("*No claim: no kept table has these parameters, or none could be judged.*")
    numbers = table[["effect", "low", "high"]].to_numpy(dtype=float).tolist()
    table = table.drop(columns="effect").rename(columns={"text": "claim"})
    table["data set"] = table["dataset"].map(label)
    table["effect [95 %]"] = [str(Estimate(*each)) for each in numbers]
    place = ["data set"] if exp is None else []  # else it is the page's
    wrapped = "white-space: normal; text-align: left; vertical-align: top"
    columns = ["claim", *place, "verdict", "effect [95 %]", "runs", "note"]
    return table[columns].style.hide().map(lambda _: wrapped)


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many claims of a registry got each verdict, one row per question."""
    wide = table.groupby("question", sort=False)["verdict"].value_counts().unstack(fill_value=0)
    return wide.reindex(columns=list(VERDICTS), fill_value=0)


def common(rule: str = RULES[0]) -> pd.DataFrame:
    """Return each claim's mean effect over data sets (`pooled`), where `LEAST` of them answer it.

    Under one stopping rule, without open claims. Columns: id, claim, data sets, effect with its
    interval, between (the effects' standard deviation).
    """
    found = []
    every = (claim for _, claim in claims())
    for (known, text), group in itertools.groupby(every, attrgetter("id", "text")):
        tried = [c for c in group if c.verdict != OPEN and (c.ruled or rule == RULES[0])]
        values = [claim.by_rule[rule] for claim in tried if rule in claim.by_rule]
        if len(values) >= LEAST and all(np.ptp(v) > 0 for v in values):
            mean, between = pooled(values)
            found.append((known, text, len(values), str(mean), between))
    return pd.DataFrame(found, columns=["id", "claim", "data sets", "effect", "between"])


def pooled(values: list[tuple[float, ...]]) -> tuple[Estimate, float]:
    """Return the mean effect of k data sets, each with one per run, and the deviation between them.

    The variance between them makes the weighted squares around the mean k − 1, or is 0 (Paule &
    Mandel 1982); the interval is Hartung & Knapp's (2001, equation 2), never narrower than by
    weights taken as known (Röver, Knapp & Friede 2015, section 2).
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


def all_networks() -> pd.DataFrame:
    """Return how far each network over-fits, and how much it leaks, on each data set.

    Columns: dataset; network ("original", "dense", "pruned 0.5", …); role (without sparsity); runs;
    train, test, gap (of accuracies), leak (SAMIA's balanced accuracy) and found (its TPR at 1 %
    FPR): means over runs under our rule, with _low and _high (95 %, from `LEAST_RUNS` on).
    """
    table = pd.concat([table for _, table in results.by_dataset("control").values()])
    own = where(table, **OWN, stopping=RULES[0])
    own = own[own["attack"].isin(["", "samia"])]
    long = own.melt(["dataset", "sparsity", "seed", "measure"], list(LEVELS), "role")
    level = long["sparsity"].map(" {:g}".format).where(long["role"] == "pruned", "")
    long["network"] = long["role"] + level
    keys = ["dataset", "network", "role", "seed"]
    # the original and the dense network stand in the table once per sparsity
    once = long.drop_duplicates([*keys, "measure"])
    names = {"train accuracy": "train", "test accuracy": "test", "generalization gap": "gap"}
    names |= {"accuracy": "leak", "TPR at 0.01": "found"}
    wide = once.pivot_table("value", keys, "measure", sort=False).rename(columns=names)
    found = summarize(wide.reset_index(), list(names.values()), keys[:3])
    found.loc[found["runs"] < LEAST_RUNS, found.filter(regex="_(low|high)$").columns] = np.nan
    return found


def capacity(table: pd.DataFrame, attack: str) -> pd.DataFrame:
    """Return each effect of a table of `as_effects` on an attack by width and sparsity.

    Columns: effect, width, sparsity, runs, value, low, high (95 %), regime (it is the paper's).
    """
    cell = ["width", "sparsity"]
    found = summarize(where(table, attack=attack, measure="accuracy"), ["value"], ["effect", *cell])
    parts = where(table, effect="total").groupby(cell)
    inside = pd.Series({key: regime(part) == "" for key, part in parts}, name="regime")
    return found.rename(columns={"value_low": "low", "value_high": "high"}).join(inside, on=cell)
