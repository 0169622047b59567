"""Claims on what several releases of one network give away."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from prunemia import results
from prunemia.claims.base import MARGIN, Claim, family, over_runs
from prunemia.experiment import Experiment
from prunemia.lab import Lab

ATTACK = "nncls"
"""The attack of the claims, named beforehand: learned, cheap, and able to take several releases."""

PAIRS = {
    "Rounds of pruning leak more than one shot": ("rounds", "one shot"),
    "Rounds leak more with pruning than with nothing removed": ("rounds", "dense, rounds"),
    "Rewound networks leak more than fine-tuned ones": ("rewound", "one shot"),
    "Rewound networks leak more than with nothing removed": ("rewound", "dense, rewound"),
    "Eight bits lower the leak of the pruned network": ("pruned", "pruned, 8 bits"),
    "Four bits lower the leak of the pruned network": ("pruned", "pruned, 4 bits"),
    "Two bits lower the leak of the pruned network": ("pruned", "pruned, 2 bits"),
    "Two bits before pruning lower the leak": ("pruned", "2 bits, then pruned"),
}
"""Each claim: the release that leaks more where it holds, and the other."""
TOGETHER = ("original + pruned", "original + dense", "0.5 + 0.7 + 0.9", "pruned + its 4 bits")


def release_claims(table: pd.DataFrame, attack: str = ATTACK) -> list[Claim]:
    """Test what releases together, rounds, rewinding and few bits do to an attack's accuracy.

    ``table``: of `results.released`. That several releases together exceed each alone is judged
    against the larger of the single accuracies within each run.
    """
    rows = table[(table["attack"] == attack) & (table["measure"] == "accuracy")]
    found = rows.pivot_table(index="seed", columns="release", values="value")
    claims = []
    for name in (name for name in TOGETHER if name in found):
        alone = found[[part for part in _parts(name) if part in found]].max(axis=1)
        text = f"Together, {name} tell {attack} more than each alone"
        claims.append(_claim(text, found[name] - alone))
    for text, (more, less) in PAIRS.items():
        if {more, less} <= set(found):
            claims.append(_claim(f"{text} ({attack})", found[more] - found[less]))
    return family(claims)


def _parts(name: str) -> list[str]:
    """Return the names of the single releases of a joint one."""
    single = {"0.5": "pruned to 0.5", "0.7": "pruned to 0.7", "0.9": "pruned to 0.9"}
    single["its 4 bits"] = "pruned, 4 bits"
    return [single.get(part, part) for part in name.split(" + ")]


def _claim(text: str, values: pd.Series) -> Claim:
    return over_runs(text, "difference in balanced accuracy", values.dropna().tolist(), MARGIN)


def several_releases(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test `release_claims` where a table of results/ has the experiment; else there is no claim.

    Twenty and more networks would have to be pruned and fine-tuned in each run.
    """
    del lab, seeds
    kept = results.kept_releases([exp])
    return [replace(claim, source=kept[0]) for claim in release_claims(kept[1])] if kept else []
