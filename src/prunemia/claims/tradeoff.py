"""Who leads at equal test accuracy, what is recommended, and what fresh runs confirm.

Whatever is picked by looking (a strength, the strongest attack, the rival) is picked on the first
`CHOOSING` runs of a table and judged on the others, which had no part in it (`halves`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from prunemia import results
from prunemia.claims.base import MARGIN, TEST_MARGIN, Claim, family, over_runs
from prunemia.claims.ways import halves, on_front, points
from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.results.planes import ADAPTIVE, WAY
from prunemia.results.tables import kept_tradeoff

USABLE = 0.15
"""A strength that costs more test accuracy than this is no candidate: nobody would ship it."""


def rivals(
    plane: pd.DataFrame, within: float = TEST_MARGIN, *, pruned_alike: bool = False
) -> pd.DataFrame:
    """Return for each defended point the undefended one that leaks least at its test accuracy.

    That is, of the undefended networks whose test accuracy is at most ``within`` below: all of
    them, original and dense ones included, or only those ``pruned_alike``, by the same method.
    Columns: name, rival, gain (the rival's leak minus its own). A point without a rival is left
    out, and so is one that costs more than `USABLE`.
    """
    undefended = plane[plane["defense"] == "none"]
    rows = []
    for point in plane[plane["defense"] != "none"].to_dict("records"):
        able = undefended[undefended["test"] >= point["test"] - within]
        if pruned_alike:
            able = able[able["pruner"] == point["pruner"]]
        if len(able) and point["test"] >= _plain(undefended, point) - USABLE:
            best = _least(able)
            gain = best["leak"] - point["leak"]
            rows.append({"name": point["name"], "rival": best["name"], "gain": gain})
    return pd.DataFrame(rows, columns=["name", "rival", "gain"])


def _plain(undefended: pd.DataFrame, point: Mapping[Any, Any]) -> float:
    """Return the best test accuracy of the same pruning without a defense; -inf: not there."""
    alike = undefended["pruner"].eq(point["pruner"]) & undefended["sparsity"].eq(point["sparsity"])
    return float(undefended.loc[alike, "test"].max()) if alike.any() else -math.inf


def _least(plane: pd.DataFrame) -> pd.Series:
    """Return the point of least leak."""
    return plane.iloc[int(plane["leak"].argmin())]


def equal_accuracy(
    table: pd.DataFrame, measure: str = "accuracy", *, pruned_alike: bool = False
) -> list[Claim]:
    """Test for each defense that it leaks less than undefended networks of its test accuracy.

    The runs that choose pick the defense's strength (the largest gain), its rival (`rivals`), and
    the attack strongest on each; the others judge. Without others there is no claim. With
    ``pruned_alike`` there is one claim per defense and pruning method.
    """
    choosing, judging = halves(table)
    plane = points(choosing, measure)
    by_name = plane.set_index("name")
    against = rivals(plane, pruned_alike=pruned_alike).merge(plane, on="name")
    claims = []
    groups = ["defense", "whole", "pruner"] if pruned_alike else ["defense", "whole"]
    for _, part in against.groupby(groups, sort=False):
        best = part.iloc[int(part["gain"].argmax())]
        rival = by_name.loc[best["rival"]]
        gains = _differences(judging, best, rival, measure)
        if gains:
            name = best["name"][0].upper() + best["name"][1:]
            text = f"{name} leaks less than {best['rival']} without a defense"
            ahead = np.mean(_differences(judging, best, rival, "test_accuracy"))
            statistic = (
                f"{STATISTICS[measure]} of the strongest adaptive attack, rival − defense (in test "
                f"accuracy {ahead:+.3f})"
            )
            claims.append(over_runs(text, statistic, gains, MARGIN))
    return family(claims)


def defenses_at_equal_accuracy(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test `equal_accuracy` where a table of results/ has the trade-offs; else there is no claim.

    A few runs of each defense would choose and judge at once.
    """
    del lab, seeds
    plain = exp.replace(defense="none", strength=None, whole=False, adversary=None)
    name = kept_tradeoff([plain])
    table = results.read(name) if name else None
    return [
        replace(claim, source=name)
        for alike in (False, True)
        for claim in (equal_accuracy(table, pruned_alike=alike) if table is not None else [])
    ]


STATISTICS = {"accuracy": "balanced accuracy", "auc": "AUC", "tpr@0.01": "TPR at 1 % FPR"}


def recommended(
    table: pd.DataFrame,
    start: str,
    allowed: float,
    measure: str = "accuracy",
    *,
    defended: bool = True,
) -> str:
    """Return the way of least leak, among those that cost at most ``allowed`` of test accuracy.

    Against the way called ``start``, on the runs that choose; any way may win, that one as well, or
    any without a defense.
    """
    plane = points(halves(table)[0], measure)
    own = plane.set_index("name").loc[start]
    able = plane[
        (plane["test"] >= own["test"] - allowed) & (defended | (plane["defense"] == "none"))
    ]
    return str(_least(able)["name"])


def compared(table: pd.DataFrame, first: str, second: str, measure: str) -> list[Claim]:
    """Return that one way leaks less than another, and that it keeps the test accuracy.

    Judged on the runs that had no part in choosing, by the attack strongest on each; without such
    runs there is no claim.
    """
    choosing, judging = halves(table)
    plane = points(choosing, measure).set_index("name")
    pair = plane.loc[first], plane.loc[second]
    gains = _differences(judging, *pair, measure)
    if not gains:
        return []
    leak = over_runs(
        f"{first} leaks less than {second}",
        f"{STATISTICS[measure]} of the strongest adaptive attack, {second} − {first}",
        gains,
        MARGIN,
    )
    kept = [TEST_MARGIN - lost for lost in _differences(judging, *pair, "test_accuracy")]
    price = over_runs(
        f"{first} keeps the test accuracy of {second}",
        f"{TEST_MARGIN:g} − loss of test accuracy",
        kept,
    )
    return family([leak, price])


def _differences(table: pd.DataFrame, first: Any, second: Any, column: str) -> list[float]:
    """Return a column of the second way minus that of the first, in each run that has both."""
    own, other = (_values(table, way, column) for way in (first, second))
    return [other[seed] - own[seed] for seed in sorted(own.keys() & other.keys())]


def _values(table: pd.DataFrame, way: Any, column: str) -> dict[int, float]:
    """Return a column of one way, by seed, at the attack of ``way``, by an adaptive adversary."""
    asked = (table["attack"] == way["attack"]) & (table["adversary"] == ADAPTIVE)
    for name in WAY:
        value = way[name]
        asked &= table[name].isna() if pd.isna(value) else table[name] == value
    part = table[asked]
    return dict(zip(part["seed"], part[column], strict=True))


def confirmed(table: pd.DataFrame, measure: str = "accuracy") -> Iterator[tuple[str, bool | None]]:
    """Yield the ways on the front of the runs that choose, and whether the others confirm each.

    Confirmed is what is on the front of all ways that the other runs have; None: they lack it.
    """
    choosing, judging = halves(table)
    plane = points(choosing, measure)
    again = points(judging, measure) if len(judging) else plane.iloc[:0]
    # by what they are: a name has the epochs where a table has a way with several
    judged = zip(again.to_dict("records"), on_front(again), strict=True)
    held = {_key(way): bool(on) for way, on in judged}
    for way in plane[on_front(plane)].to_dict("records"):
        yield str(way["name"]), held.get(_key(way))


def _key(way: Mapping[Any, Any]) -> tuple[Any, ...]:
    """Return what tells a way from others; a missing strength equals another one."""
    return tuple(None if pd.isna(way[name]) else way[name] for name in WAY)
