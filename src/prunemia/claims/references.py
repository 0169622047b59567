"""Claims on attacks by references, and on who is exposed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from prunemia import results
from prunemia.claims.base import MARGIN, Claim, family, over_runs, runs
from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.results.concentration import CHANCE, TENTH
from prunemia.results.references import SECOND

RATES = {"TPR at 0.001": "0.1 %", "TPR at 0.01": "1 %"}
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
                claims.append(over_runs(text, STATISTIC, values.tolist(), MARGIN))
    return family(claims)


def reference_claims(table: pd.DataFrame, network: str = "pruned") -> list[Claim]:
    """Return the claims that SAMIA finds more members than LiRA and RMIA where few are accused.

    ``table``: of `results.compared`, at one sparsity. SAMIA has five shadow networks; the others as
    many, or the most references that the table has.
    """
    rows = table[(table["network"] == network) & (table["by"] == "attack")]
    claims = []
    for measure, rate in RATES.items():
        at_rate = rows[rows["measure"] == measure]
        for attack in ("lira", "rmia"):
            part = at_rate[at_rate["attack"] == attack]
            for setting, count in sorted(
                set(zip(part["setting"], part["references"], strict=True))
            ):
                text = f"SAMIA finds more members than {attack} ({setting}, {count}) at {rate}"
                if values := samia_ahead(at_rate, attack, setting, count):
                    claims.append(over_runs(text, STATISTIC, values, MARGIN))
    return family(claims)


def samia_ahead(at_rate: pd.DataFrame, attack: str, setting: str, count: int) -> tuple[float, ...]:
    """Return how much more members SAMIA finds than an attack by references, in each run.

    ``at_rate``: of `results.compared`, of one network, sparsity and measure. Nothing where a run
    has too few non-members for that rate.
    """
    by_seed = at_rate.set_index("seed").sort_index()
    samia = by_seed.loc[by_seed["attack"] == "samia", "value"]
    asked = (by_seed["setting"] == setting) & (by_seed["references"] == count)
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
                    claims.append(over_runs(text, STATISTIC, values.tolist(), MARGIN))
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
            "The samples most exposed on the pruned network are so on the original"
            if other == "the original"
            else f"LiRA and {other} find the same samples most exposed"
        )
        values = (table[column] - CHANCE).tolist()
        claims.append(over_runs(same, "Jaccard index − chance level", values))
    return [replace(claim, source=name) for claim in family(claims)]


def agreement(table: pd.DataFrame, columns: list[str], share: float = 0.05) -> pd.DataFrame:
    """Return how much of the most exposed samples two columns share: Jaccard indices.

    ``share`` of the samples count as most exposed; chance level is share / (2 − share).
    """
    count = max(1, round(share * len(table)))
    tops = {name: set(table[name].nlargest(count).index) for name in columns}
    overlap = {
        one: {two: len(a & b) / len(a | b) for two, b in tops.items()} for one, a in tops.items()
    }
    return pd.DataFrame(overlap)
