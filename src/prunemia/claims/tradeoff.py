"""Which defense leaks less than undefended networks of its test accuracy, on fresh runs.

Whatever is picked by looking (a strength, the strongest attack, the rival) is picked on the first
`CHOOSING` runs of a table and judged on the others, which had no part in it (`halves`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prunemia.claims.base import RULES, Claim, simultaneous
from prunemia.claims.ways import by_run, differences, halves, on_front, points
from prunemia.registry import DEFENSES
from prunemia.results.planes import ORIGINAL, WAY

WITHIN = 0.01
"""Two networks are equally accurate whose test accuracies differ by no more than this."""

USABLE = 0.15
"""A strength that costs more test accuracy than this is no candidate: nobody would ship it."""

STATISTICS = {"accuracy": "balanced accuracy", "auc": "AUC", "tpr@0.01": "TPR at 1 % FPR"}

Group = tuple[Any, ...]
"""What one claim is about: a defense, whether in training, too, and where asked the pruner."""


def rivals(
    plane: pd.DataFrame, within: float = WITHIN, *, pruned_alike: bool = False
) -> pd.DataFrame:
    """Return for each defended point the undefended one that leaks least at its test accuracy.

    That is, of the undefended networks whose test accuracy lies at most ``within`` above or below,
    and that were fine-tuned for as many epochs, dense ones included: all of them, or only those
    ``pruned_alike``, by the same method. The original is one of them, though never fine-tuned: it
    is what an owner has who does nothing, so a defense that leaks no less has gained nothing. Early
    stopping has one possible rival: the same network but for the epoch that is kept.

    Columns: name, rival, gain (the rival's leak minus its own). A point without a rival is left
    out, and so is one that costs more than `USABLE`.
    """
    undefended = plane[plane["defense"] == "none"]
    rows = []
    for point in plane[plane["defense"] != "none"].to_dict("records"):
        able = undefended[_matches(undefended, point, within)]
        if pruned_alike:
            able = able[able["pruner"] == point["pruner"]]
        if len(able) and _usable(undefended, point):
            best = able.iloc[int(able["leak"].argmin())]
            gain = best["leak"] - point["leak"]
            rows.append({"name": point["name"], "rival": best["name"], "gain": gain})
    return pd.DataFrame(rows, columns=["name", "rival", "gain"])


def _matches(undefended: pd.DataFrame, point: Mapping[Any, Any], within: float) -> pd.Series:
    """Return which undefended networks are as accurate as a defended one, and tuned as long."""
    # a difference of exactly one point may come out a rounding error larger
    close = (undefended["test"] - point["test"]).abs() <= within + 1e-9
    as_long = undefended["finetune_epochs"] == point["finetune_epochs"]
    if point["defense"] == "earlystop":
        able = as_long & undefended["stopping"].eq(point["stopping"]) & _alike(undefended, point)
    else:
        able = as_long | undefended["pruner"].eq(ORIGINAL)
    matches: pd.Series = close & able
    return matches


def _alike(undefended: pd.DataFrame, point: Mapping[Any, Any]) -> pd.Series:
    """Return which undefended networks are pruned by the same method to the same sparsity."""
    return undefended["pruner"].eq(point["pruner"]) & undefended["sparsity"].eq(point["sparsity"])


def _usable(undefended: pd.DataFrame, point: Mapping[Any, Any]) -> bool:
    """Return whether a defense costs at most `USABLE` against the same pruning without it."""
    alike = undefended.loc[_alike(undefended, point), "test"]
    return bool(point["test"] >= (alike.max() if len(alike) else -math.inf) - USABLE)


@dataclass(frozen=True)
class _Duel:
    """A defense at its best strength against its rival, both as points; judged run by run."""

    defense: Any
    rival: Any
    gains: list[float]
    further: list[float]


def _groups(plane: pd.DataFrame, pruned_alike: bool) -> Iterator[tuple[Group, pd.DataFrame]]:
    """Yield what a claim is about, with its points."""
    columns = ["defense", "whole", *(["pruner"] if pruned_alike else [])]
    for key, part in plane[plane["defense"] != "none"].groupby(columns, sort=False):
        yield tuple(key), part


def _duels(table: pd.DataFrame, measure: str, pruned_alike: bool) -> Iterator[_Duel]:
    """Yield each defense at the strength of the largest gain; without judging runs, none."""
    choosing, judging = halves(table)
    plane = points(choosing, measure)
    by_name = plane.set_index("name", drop=False)
    against = rivals(plane, pruned_alike=pruned_alike).merge(plane, on="name")
    for _, part in _groups(against, pruned_alike):
        best = part.iloc[int(part["gain"].argmax())]
        rival = by_name.loc[best["rival"]]
        gains = differences(judging, best, rival, measure)
        if gains:
            further = differences(judging, best, rival, "test_accuracy")
            yield _Duel(best, rival, gains, further)


def defended(table: pd.DataFrame, measure: str = "accuracy") -> Iterator[Claim]:
    """Yield for each defense that it leaks less than undefended networks of its test accuracy.

    The runs that choose pick the defense's strength (the largest gain), its rival (`rivals`), and
    the attack strongest on each; the others judge. Without a rival (`without_rival`) or others
    there is no claim. Against any undefended network, and against those pruned alike.
    """
    _, judging = halves(table)
    fought = set()
    for alike in (False, True):
        for duel in _duels(table, measure, alike):
            way = duel.defense
            if (pair := (way["name"], duel.rival["name"])) in fought:
                continue  # the best rival of all is pruned alike: one hypothesis, one claim
            fought.add(pair)
            label = DEFENSES[way["defense"]].label
            label = label[0].upper() + label[1:] + (", in training too," if way["whole"] else "")
            known = f"defense-{way['defense']}{'-whole' if way['whole'] else ''}"
            text = f"{label} leaks less than an undefended network of its test accuracy"
            if alike:
                known = known.replace("defense", f"alike-{way['pruner']}")
                text += f", both pruned by {way['pruner']}"
            further = simultaneous(duel.further, 1)
            note = f"{way['name']} against {duel.rival['name']}; rival's test accuracy {further}"
            moved = by_run(judging, way, f"validation_{measure}", way["validation_attack"])
            if len(values := [v for v in moved.values() if not math.isnan(v)]):
                note += f"; its validation samples leak {np.mean(values):.3f}"
            yield Claim(
                known,
                text,
                {RULES[0]: tuple(duel.gains)},
                f"{STATISTICS[measure]} of the strongest adaptive attack",
                "rival − defense",
                note=note,
            )


def without_rival(
    table: pd.DataFrame, measure: str = "accuracy", *, pruned_alike: bool = False
) -> dict[str, str]:
    """Return the defenses that `defended` makes no claim about, each with the reason."""
    choosing, _ = halves(table)
    plane = points(choosing, measure)
    undefended = plane[plane["defense"] == "none"]
    claimed = {_key(duel.defense, pruned_alike) for duel in _duels(table, measure, pruned_alike)}
    met = set(rivals(plane, pruned_alike=pruned_alike)["name"])
    reasons = {}
    for key, part in _groups(plane, pruned_alike):
        defense, whole, *pruner = key
        name = DEFENSES[defense].label + (" (training, too)" if whole else "")
        name += f" on {pruner[0]}" if pruner else ""
        if key in claimed:
            continue
        if set(part["name"]) & met:
            reasons[name] = "no run was left to judge it"
        elif any(_usable(undefended, point) for point in part.to_dict("records")):
            reasons[name] = f"no undefended network within {100 * WITHIN:g} point of test accuracy"
        else:
            reasons[name] = f"every strength costs over {100 * USABLE:g} points of test accuracy"
    return reasons


def _key(way: Any, pruned_alike: bool) -> Group:
    return (way["defense"], way["whole"], *([way["pruner"]] if pruned_alike else []))


def confirmed(table: pd.DataFrame, measure: str = "accuracy") -> Iterator[tuple[str, bool | None]]:
    """Yield the ways on the front of the runs that choose, and whether the others confirm each.

    Confirmed is what is on the front of all ways that the other runs have; None: they lack it.
    """
    choosing, judging = halves(table)
    plane = points(choosing, measure)
    again = points(judging, measure) if len(judging) else plane.iloc[:0]
    # by what they are: a name has the epochs where a table has a way with several
    judged = zip(again.to_dict("records"), on_front(again), strict=True)
    held = {_way(way): bool(on) for way, on in judged}
    for way in plane[on_front(plane)].to_dict("records"):
        yield str(way["name"]), held.get(_way(way))


def _way(way: Mapping[Any, Any]) -> Group:
    """Return what tells a way from others; a missing strength equals another one."""
    return tuple(None if pd.isna(way[name]) else way[name] for name in WAY)
