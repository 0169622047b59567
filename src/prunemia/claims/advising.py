"""What is recommended: the way that leaks least at about the test accuracy of another one.

It is chosen on the first runs of a table and judged on the others (`prunemia.claims.ways.halves`).
A leak is by the strongest adaptive attack; of a way that trains on validation samples, the leak of
these where it is the larger one.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from prunemia.claims.base import simultaneous
from prunemia.claims.tradeoff import WITHIN
from prunemia.claims.ways import by_run, differences, halves, points
from prunemia.metrics import Estimate, over_seeds
from prunemia.registry import DEFENSES

START = "original"
"""The network that advice is measured against, by its name among `points`."""


def _least(plane: pd.DataFrame, start: str, allowed: float) -> pd.Series:
    """Return the way of least leak, of those at most ``allowed`` less accurate than a way.

    Not of those that train on validation samples whose leak was not measured.
    """
    own = plane.set_index("name").loc[start]
    able = plane["test"] >= own["test"] - allowed - 1e-9
    trains = plane["defense"].map(lambda name: DEFENSES[str(name)].uses_validation)
    found = plane[able & ~(trains & plane["validation"].isna())]
    return found.iloc[int(found["worst"].argmin())]


def advice(table: pd.DataFrame, measure: str = "accuracy", within: float = WITHIN) -> pd.Series:
    """Return what leaks least at a price of at most ``within`` of the original's test accuracy.

    A way that is more accurate than the original is welcome: only a rival of a defense has to be
    as accurate both ways (`prunemia.claims.tradeoff.rivals`).

    Fields: chosen, the way's name ("original": nothing leaks less); leaks, whose samples leak more
    under it, "members" or "validation"; runs, how many judged. Then, each with _low and _high (95 %
    over the judging runs): before, the original's leak; after, the chosen way's, of the samples
    that ``leaks`` names; gain, before − after; price, the original's test accuracy minus its; and
    members, validation: both of its leaks. Missing where no run was left to judge, and validation
    where the way does not train on them.
    """
    choosing, judging = halves(table)
    plane = points(choosing, measure)
    own = plane.set_index("name", drop=False).loc[START]
    best = _least(plane, START, within)
    moved = bool(best["validation"] > best["leak"])
    before = by_run(judging, own, measure)
    leaks = {
        "members": by_run(judging, best, measure),
        "validation": by_run(judging, best, f"validation_{measure}", best["validation_attack"]),
    }
    after = leaks["validation" if moved else "members"]
    both = sorted(before.keys() & after.keys())
    found = {
        "before": _rate([before[seed] for seed in both]),
        "after": _rate([after[seed] for seed in both]),
        "gain": _difference([before[seed] - after[seed] for seed in both]),
        "price": _difference(differences(judging, best, own, "test_accuracy")),
        **{name: _rate(list(values.values())) for name, values in leaks.items()},
    }
    row: dict[str, Any] = {"chosen": best["name"], "runs": len(both)}
    row["leaks"] = "validation" if moved else "members"
    for name, estimate in found.items():
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return pd.Series(row)


def _rate(values: list[float]) -> Estimate:
    return over_seeds(values, rate=True) if values else Estimate.missing("no run")


def _difference(values: list[float]) -> Estimate:
    return simultaneous(values, 1) if values else Estimate.missing("no run")
