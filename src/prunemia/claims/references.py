"""Claims on attacks by references, and on who is exposed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from prunemia.claims.base import RULES, Claim
from prunemia.claims.effects import by_rule, where
from prunemia.lab.effects import EFFECTS
from prunemia.results.concentration import CHANCE, TENTH, most_exposed
from prunemia.results.references import FEW, SECOND

RATES = {"TPR at 0.001": "0.1 %", "TPR at 0.01": "1 %"}
LABELS = {"lira": "LiRA", "rmia": "RMIA"}
STRONGEST = {
    "total": "Pruned to {s:g} and fine-tuned, LiRA finds more members than of the original",
    "training": "Fine-tuning alone lets LiRA find more members",
    "pruning": "At sparsity {s:g} removing weights lets LiRA find more members at equal training",
}
"""Each effect on the strongest attack, LiRA by references that know the candidates."""
SPARSITY = 0.7
"""At which SAMIA is compared with attacks by references."""


def few_accused(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield that SAMIA finds more members than LiRA and RMIA where few are accused wrongly.

    ``table``: of `results.compared`. All have the same few shadow networks; SAMIA has no use for
    more, so with more references the comparison would be of budgets.
    """
    wide = _found(table, "offline")
    for measure, attack in _asked(wide):
        if (measure, "samia") in wide:
            yield from _rate(
                f"few-{attack}",
                f"At {RATES[measure]} false positives SAMIA finds more members than "
                f"{LABELS[attack]} by the same shadow networks",
                wide[measure, "samia"] - wide[measure, attack],
                measure,
                f"SAMIA − {LABELS[attack]}",
            )


def second_signal(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield that the sensitivity as a second signal adds to attacks by few references."""
    alone, both = _found(table, "offline"), _found(table, SECOND)
    for measure, attack in _asked(both):
        if (measure, attack) in alone:
            yield from _rate(
                f"second-{attack}",
                f"The sensitivity adds to {LABELS[attack]} at {RATES[measure]} false positives",
                both[measure, attack] - alone[measure, attack],
                measure,
                "with − without the sensitivity",
            )


def _asked(wide: pd.DataFrame) -> list[tuple[str, str]]:
    """Return measure and attack of the columns of `_found` that claims are about."""
    pairs: list[Any] = wide.columns.to_list()
    return [(measure, attack) for measure, attack in pairs if measure in RATES and attack in LABELS]


def _found(table: pd.DataFrame, setting: str) -> pd.DataFrame:
    """Return what attacks by few networks find: a row per run, a column per measure and attack."""
    rows = where(table, network="pruned", by="attack", sparsity=SPARSITY, stopping=RULES[0])
    asked = (rows["setting"].isin([setting, "shadows"])) & (rows["references"] <= FEW)
    rows = rows[asked & rows["attack"].isin(["samia", *LABELS])]
    return rows.pivot(index="seed", columns=["measure", "attack"], values="value")


def _rate(
    known: str, text: str, gains: pd.Series, measure: str, comparison: str
) -> Iterator[Claim]:
    """Yield a claim on a rate; none where a run has too few non-members for that rate."""
    if np.isfinite(gains).all():
        known = f"{known}-{RATES[measure].split(' ')[0]}"
        rate = measure.replace("TPR at ", "TPR at FPR ")
        yield Claim(known, text, {RULES[0]: tuple(gains)}, rate, comparison, 0.0, SPARSITY)


def strongest(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield what pruning and fine-tuning do to the members that LiRA finds online at 1 % FPR.

    ``table``: of `results.compared`; by the most references that every stopping rule was tried
    with.
    """
    rows = where(table, attack="lira", setting="online", measure="TPR at 0.01")
    counts = [set(part["references"]) for _, part in rows.groupby("stopping")]
    most = max(set.intersection(*counts))
    # fewer references than the attack's own have the formula's rows alone
    by = "attack" if "attack" in set(rows.loc[rows["references"] == most, "by"]) else "formula"
    rows = where(rows, references=most, by=by)
    keys = ["stopping", "seed", "sparsity"]
    wide = rows.pivot_table("value", keys, "network").reset_index()
    for effect, text in STRONGEST.items():
        end, start = EFFECTS[effect]
        for sparsity, at in wide.groupby("sparsity"):
            level = float(str(sparsity))
            removes = effect != "training"
            if not removes and level != wide["sparsity"].min():
                continue  # the dense network is the same at all sparsities
            yield Claim(
                f"lira-{effect}-{level:g}" if removes else f"lira-{effect}",
                text.format(s=level),
                by_rule(at, at[end] - at[start]),
                f"TPR of LiRA ({most} references) at FPR 0.01",
                f"{end} − {start}",
                0.0,
                level if removes else None,
                ruled=True,
            )


def exposure(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield that the leak is concentrated, and that pruning exposes whom the original exposed.

    ``table``: of `prunemia.results.concentration`. That LiRA, RMIA and confidence expose the same
    samples is no claim: all three grow with the probability of the true class.
    """
    wide = table.pivot(index="seed", columns="statistic", values="value").sort_index()
    cases = {
        "concentrated": (
            "A tenth of the samples holds more than a fifth of the members found at 1 % FPR",
            wide["share of a tenth"] - 2 * TENTH,
            "share of the members found",
            "share − 0.2",
        ),
        "same-samples": (
            "The most exposed samples of pruned and original networks overlap beyond chance",
            wide["overlap with the original"] - CHANCE,
            "Jaccard index",
            "overlap − chance",
        ),
    }
    for known, (text, values, measure, comparison) in cases.items():
        yield Claim(known, text, {RULES[0]: tuple(values)}, measure, comparison, 0.0, SPARSITY)


def agreement(table: pd.DataFrame, columns: list[str], share: float = 0.05) -> pd.DataFrame:
    """Return how much of the most exposed samples two columns share: Jaccard indices.

    ``share`` of the samples count as most exposed; chance level is share / (2 − share).
    """
    draw = np.random.default_rng(0)
    values = table[columns].fillna(-np.inf)
    tops = {
        name: set(most_exposed(values[name].to_numpy(dtype=float), share, draw)) for name in columns
    }
    overlap = {
        one: {two: len(a & b) / len(a | b) for two, b in tops.items()} for one, a in tops.items()
    }
    return pd.DataFrame(overlap)
