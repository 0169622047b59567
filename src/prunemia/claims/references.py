"""Claims on attacks by references, and on who is exposed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from prunemia import results
from prunemia.claims.base import Claim, family, over_runs, runs
from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.lab.effects import EFFECTS
from prunemia.results.concentration import CHANCE, TENTH, most_exposed
from prunemia.results.references import SECOND

RATES = {"TPR at 0.001": "0.1 %", "TPR at 0.01": "1 %"}
STRONGEST = {
    "total": "At sparsity {s:g} LiRA finds more members of the pruned network than of the original",
    "training": "Fine-tuning alone lets LiRA find more members",
    "pruning": "At sparsity {s:g} pruning lets LiRA find more members at equal training",
}
"""Each effect on the strongest attack, LiRA by many references that know the candidates."""
STATISTIC = "difference in true-positive rate"


def few_accused(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test whether SAMIA finds more members than LiRA and RMIA by the same shadow networks."""
    todo = runs(exp, seeds)
    table = lab.map(todo, attacks=["samia", "lira", "rmia"])
    claims = []
    for fpr, rate in ((0.001, "0.1 %"), (0.01, "1 %")):
        found = table.pivot(index="seed", columns="attack", values=f"tpr@{fpr:g}")
        for name in ("lira", "rmia"):
            values = (found["samia"] - found[name]).to_numpy()
            if np.isfinite(values).all():  # else there are too few non-members for that rate
                text = f"At {rate} false positives SAMIA finds more members than {name}"
                claims.append(over_runs(text, STATISTIC, values.tolist()))
    return family(claims)


def strongest_claims(table: pd.DataFrame) -> list[Claim]:
    """Return what pruning does to the members that LiRA finds online with most references, at 1 %.

    ``table``: of `results.compared`. The total effect and that of pruning at equal training, at
    each sparsity, and the one of fine-tuning.
    """
    rows = table[(table["by"] == "attack") & (table["measure"] == "TPR at 0.01")]
    rows = rows[(rows["attack"] == "lira") & (rows["setting"] == "online")]
    rows = rows[rows["references"] == rows["references"].max()]
    claims = []
    for effect, text in STRONGEST.items():
        for sparsity, part in rows.groupby("sparsity"):
            found = part.pivot_table("value", "seed", "network")
            end, start = EFFECTS[effect]
            values = (found[end] - found[start]).tolist()
            claims.append(over_runs(text.format(s=sparsity), STATISTIC, values))
    return family({claim.text: claim for claim in claims}.values())


def reference_claims(table: pd.DataFrame, network: str = "pruned") -> list[Claim]:
    """Return the claims that SAMIA finds more members than LiRA and RMIA where few are accused.

    ``table``: of `results.compared`, at one sparsity. All have the same few shadow networks; SAMIA
    has no use for more, so with more references the comparison would be of budgets.
    """
    rows = table[(table["network"] == network) & (table["by"] == "attack")]
    claims = []
    for measure, rate in RATES.items():
        at_rate = rows[rows["measure"] == measure]
        for attack in ("lira", "rmia"):
            if values := samia_ahead(at_rate, attack):
                text = f"At {rate} false positives SAMIA finds more members than {attack}"
                claims.append(over_runs(text, STATISTIC, values))
    return family(claims)


def samia_ahead(at_rate: pd.DataFrame, attack: str) -> tuple[float, ...]:
    """Return how many more members SAMIA finds than an attack by as many networks, in each run.

    ``at_rate``: of `results.compared`, of one network, sparsity and measure. Nothing where a run
    has too few non-members for that rate.
    """
    by_seed = at_rate.set_index("seed").sort_index()
    samia = by_seed.loc[by_seed["attack"] == "samia", "value"]
    asked = (by_seed["setting"] == "offline") & (by_seed["references"] == results.FEW)
    other = by_seed.loc[asked & (by_seed["attack"] == attack), "value"]
    values = (samia - other).to_numpy()
    return tuple(values) if np.isfinite(values).all() else ()


def second_signal(table: pd.DataFrame, network: str = "pruned") -> list[Claim]:
    """Return the claims that the sensitivity as a second signal adds to attacks by few references.

    ``table``: of `results.compared`, at one sparsity.
    """
    rows = table[(table["network"] == network) & (table["by"] == "attack")]
    claims = []
    for measure, rate in RATES.items():
        at_rate = rows[(rows["measure"] == measure) & (rows["references"] == results.FEW)]
        for attack in ("lira", "rmia"):
            part = at_rate[at_rate["attack"] == attack]
            by_setting = part.pivot(index="seed", columns="setting", values="value")
            if {"offline", SECOND} <= set(by_setting):
                values = by_setting[SECOND] - by_setting["offline"]
                if len(values) and np.isfinite(values).all():
                    text = f"The sensitivity adds to {attack} at {rate}"
                    claims.append(over_runs(text, STATISTIC, values.tolist()))
    return family(claims)


def who_is_exposed(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test whether exposure is concentrated, the same before and after, and agreed by attacks.

    Read from a table of results/ that has the experiment; else there is no claim, for many networks
    have to be trained in each run.
    """
    del lab, seeds
    name = results.concentrated([exp])
    if not name:
        return []
    table = results.read(name).pivot(index="seed", columns="statistic", values="value")
    share = table["share of a tenth"] - 2 * TENTH
    text = "A tenth of the samples holds more than a fifth of the members found at 1 % FPR"
    claims = [over_runs(text, "share of the members found − 0.2", share.tolist())]
    for column in (str(each) for each in table if str(each).startswith("overlap with ")):
        other = column.removeprefix("overlap with ")
        same = (
            "The most exposed samples of pruned and original networks overlap beyond chance"
            if other == "the original"
            else f"The samples most exposed to LiRA and to {other} overlap beyond chance"
        )
        values = (table[column] - CHANCE).tolist()
        claims.append(over_runs(same, "Jaccard index − chance level", values))
    return [replace(claim, source=name) for claim in family(claims)]


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
