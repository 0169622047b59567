"""Points of test accuracy and leak, which defense leaks less at equal accuracy, and what to do.

A point is one way to prune, to fine-tune and to defend. Whatever is picked by looking (a strength,
the strongest attack, a rival, what is advised) is picked on the first `CHOOSING` runs of a table
and judged on the others, which had no part in it (`halves`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from prunemia.claims.base import RULES, Claim, simultaneous
from prunemia.experiment import Experiment
from prunemia.metrics import Estimate, over_seeds
from prunemia.registry import DEFENSES
from prunemia.results.tables import ADAPTIVE, ORIGINAL, VALIDATION, WAY

CHOOSING = 5
"""The first runs of a table, by seed: they choose."""
WITHIN = 0.01
"""Two networks are equally accurate whose test accuracies differ by no more than this."""
USABLE = 0.15
"""A strength that costs more test accuracy than this is no candidate: nobody would ship it."""
ROUNDING = 1e-9
"""A difference of exactly one point may come out a rounding error larger."""
DEFAULT = tuple(Experiment.model_fields[name].default for name in ("pruner", "sparsity"))
"""The pruning that goes without saying in a defense's name."""
SYMBOLS = {"ppb": "λ", "adv": "α", "dp": "σ", "relaxloss": "ω", "distill": "T", "wemem": "s"}
"""What the strength of a defense is called."""


# --- Points -------------------------------------------------------------------------------------


def completed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of trade-offs with all its columns, and with each original network once.

    Older tables lack `VALIDATION`. An original comes with every control that was fine-tuned from
    it; it has no epochs of fine-tuning itself: 0.
    """
    lacking = dict.fromkeys([name for name in VALIDATION if name not in table], np.nan)
    original = table["pruner"] == ORIGINAL
    epochs = table["finetune_epochs"].mask(original, 0)
    result = table.assign(finetune_epochs=epochs, **lacking)
    again = result.duplicated([*WAY, "seed", "adversary", "attack"])
    return result[~(original & again)]


def halves(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the runs that choose, and of those that judge; few runs only choose."""
    table = completed(table)
    choosing = table["seed"].isin(sorted(table["seed"].unique())[:CHOOSING])
    return table[choosing], table[~choosing]


def points(table: pd.DataFrame, measure: str, adversary: str = ADAPTIVE) -> pd.DataFrame:
    """Return one point per way: test accuracy and the leak by the attack strongest on it.

    An undefended network has one adversary, who is adaptive. Columns: `WAY`, attack, runs; test and
    leak, each with _low and _high (95 % t-interval over runs); validation_attack and validation,
    the attack strongest on validation samples and their leak ("" and missing for ways that do not
    train on them); worst, the larger of the two leaks; name (of `names`).
    """
    table = completed(table)
    faced = table[(table["adversary"] == adversary) | (table["defense"] == "none")]
    groups = faced.groupby(list(WAY), dropna=False, sort=False)
    result = pd.DataFrame(
        dict(zip(WAY, key, strict=True)) | _point(part, measure) for key, part in groups
    )
    return result.assign(name=names(result))


def _point(part: pd.DataFrame, measure: str) -> dict[str, Any]:
    attack = part.groupby("attack")[measure].mean().idxmax()
    own = part[part["attack"] == attack]
    row: dict[str, Any] = {"attack": attack, "runs": len(own)}
    for name, column in (("test", "test_accuracy"), ("leak", measure)):
        row |= _interval(name, over_seeds(own[column].to_list(), rate=True))
    moved = part.groupby("attack")[f"validation_{measure}"].mean()
    known, most = bool(moved.notna().any()), float(moved.max())
    row |= {"validation_attack": moved.idxmax() if known else "", "validation": most}
    return row | {"worst": max(row["leak"], most) if known else row["leak"]}


def _interval(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def names(ways: pd.DataFrame) -> pd.Series:
    """Return the name of each way, with the epochs of fine-tuning where it comes with several."""
    found = pd.Series([_name(way) for way in ways.itertuples()], ways.index, dtype=object)
    epochs = ", " + ways["finetune_epochs"].astype(str) + " epochs"
    return found + np.where(found.duplicated(keep=False), epochs, "")


def _name(way: Any) -> str:
    """Name a way; a defense with the pruning that it is on, unless that is the default."""
    if way.defense == "none" and way.pruner == ORIGINAL:
        return "original"
    pruning = f"{way.pruner} {way.sparsity:g}" if way.sparsity else str(way.pruner)
    name = pruning
    if way.defense != "none":
        name, symbol = DEFENSES[way.defense].label, SYMBOLS.get(way.defense)
        name += f" {symbol} = {way.strength:g}" if symbol else ""
        name += " (training, too)" if way.whole else ""
        name += f" on {pruning}" if (way.pruner, way.sparsity) != DEFAULT else ""
    # early stopping has no warm-up of its own: its stopping goes without saying
    usual = way.stopping == "warm-up" or way.defense == "earlystop"
    return name if usual else f"{name}, {way.stopping} stopping"


def on_front(plane: pd.DataFrame) -> pd.Series:
    """Return which points no other dominates: at least its test accuracy and at most its leak."""
    test, leak = plane["test"].to_numpy(), plane["leak"].to_numpy()
    as_good = (test[:, None] <= test) & (leak[:, None] >= leak)
    better = (test[:, None] < test) | (leak[:, None] > leak)
    return pd.Series(~(as_good & better).any(axis=1), index=plane.index)


def name_of(plane: pd.DataFrame, exp: Experiment) -> str:
    """Return the name of the point of an undefended experiment, among `points`."""
    own = {name: getattr(exp, name) for name in ("pruner", "sparsity", "stopping")}
    own |= {"defense": "none", "finetune_epochs": exp.tuning_epochs}
    return str(plane.loc[(plane[list(own)] == list(own.values())).all(axis=1), "name"].iloc[0])


def _by_run(table: pd.DataFrame, way: Any, column: str, attack: str = "") -> dict[int, float]:
    """Return a column of one way, by seed, at ``attack`` (else its own), adaptive adversary."""
    own = (table["attack"] == (attack or way["attack"])) & (table["adversary"] == ADAPTIVE)
    for name in WAY:
        own &= table[name].isna() if pd.isna(way[name]) else table[name] == way[name]
    return dict(zip(table.loc[own, "seed"], table.loc[own, column], strict=True))


def _differences(table: pd.DataFrame, first: Any, second: Any, column: str) -> list[float]:
    """Return a column of the second way minus that of the first, in each run that has both."""
    own, other = (_by_run(table, way, column) for way in (first, second))
    return [other[seed] - own[seed] for seed in sorted(own.keys() & other.keys())]


# --- Defenses against undefended networks of their test accuracy ---------------------------------


def rivals(plane: pd.DataFrame, *, pruned_alike: bool = False) -> pd.DataFrame:
    """Return for each defended point the undefended one that leaks least at its test accuracy.

    That is `WITHIN` above or below, after as many epochs of fine-tuning, dense ones included; or
    ``pruned_alike``, by the same method. The original is one of them, though never fine-tuned: it
    is what an owner has who does nothing. Early stopping has one possible rival: the same network
    but for the epoch that is kept.

    Columns: name, rival, gain (the rival's leak minus its own). A point without a rival is left
    out, and so is one that costs more than `USABLE`.
    """
    undefended = plane[plane["defense"] == "none"]
    rows = []
    for point in plane[plane["defense"] != "none"].to_dict("records"):
        close = (undefended["test"] - point["test"]).abs() <= WITHIN + ROUNDING
        able = undefended["finetune_epochs"] == point["finetune_epochs"]
        if point["defense"] == "earlystop":
            able &= undefended["stopping"].eq(point["stopping"]) & _alike(undefended, point)
        else:
            able |= undefended["pruner"].eq(ORIGINAL)
        if pruned_alike:
            able &= undefended["pruner"].eq(point["pruner"])
        found = undefended[close & able]
        if len(found) and _usable(undefended, point):
            best = found.iloc[int(found["leak"].argmin())]
            gain = best["leak"] - point["leak"]
            rows.append({"name": point["name"], "rival": best["name"], "gain": gain})
    return pd.DataFrame(rows, columns=["name", "rival", "gain"])


def _alike(undefended: pd.DataFrame, point: Mapping[Any, Any]) -> pd.Series:
    """Return which undefended networks are pruned by the same method to the same sparsity."""
    return undefended["pruner"].eq(point["pruner"]) & undefended["sparsity"].eq(point["sparsity"])


def _usable(undefended: pd.DataFrame, point: Mapping[Any, Any]) -> bool:
    """Return whether a defense costs at most `USABLE` against the same pruning without it."""
    alike = undefended.loc[_alike(undefended, point), "test"]
    return bool(point["test"] >= (alike.max() if len(alike) else -math.inf) - USABLE)


@dataclass(frozen=True)
class _Duel:
    """A defense at its best strength against its rival, both as points; judged run by run.

    ``reason``: why there is no rival, or no run to judge it.
    """

    defense: Any
    rival: Any = None
    gains: tuple[float, ...] = ()
    reason: str = ""


def _duels(table: pd.DataFrame, measure: str, pruned_alike: bool) -> Iterator[_Duel]:
    """Yield each defense at the strength of the largest gain, or why it has no rival."""
    choosing, judging = halves(table)
    plane = points(choosing, measure)
    undefended = plane[plane["defense"] == "none"].set_index("name", drop=False)
    against = plane.merge(rivals(plane, pruned_alike=pruned_alike), on="name", how="left")
    columns = ["defense", "whole", *(["pruner"] if pruned_alike else [])]
    for _, part in against[against["defense"] != "none"].groupby(columns, sort=False):
        met = part.dropna(subset="rival")
        if len(met):
            best = met.iloc[int(met["gain"].argmax())]
            rival = undefended.loc[best["rival"]]
            gains = tuple(_differences(judging, best, rival, measure))
            yield _Duel(best, rival, gains, "" if gains else "no run was left to judge it")
            continue
        why = f"every strength costs over {100 * USABLE:g} points of test accuracy"
        if any(_usable(undefended, point) for point in part.to_dict("records")):
            why = f"no undefended network within {100 * WITHIN:g} point of test accuracy"
        yield _Duel(part.iloc[0], reason=why)


def defended(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield for each defense that it leaks less than undefended networks of its test accuracy.

    The runs that choose pick its strength (the largest gain), its rival, and the attack strongest
    on each; the others judge. Against any undefended network, and against those pruned alike.
    """
    _, judging = halves(table)
    fought = set()
    for alike in (False, True):
        for duel in _duels(table, "accuracy", alike):
            way, rival = duel.defense, duel.rival
            if duel.reason or (pair := (way["name"], rival["name"])) in fought:
                continue  # the best rival of all is pruned alike: one hypothesis, one claim
            fought.add(pair)
            label = DEFENSES[way["defense"]].label
            label = label[0].upper() + label[1:] + (", in training too," if way["whole"] else "")
            against = f"alike-{way['pruner']}" if alike else "defense"
            text = f"{label} leaks less than an undefended network of its test accuracy"
            further = simultaneous(_differences(judging, way, rival, "test_accuracy"), 1)
            note = f"{way['name']} against {rival['name']}; rival's test accuracy {further}"
            moved = _by_run(judging, way, "validation_accuracy", way["validation_attack"])
            unmeasured = ""
            if values := [value for value in moved.values() if not math.isnan(value)]:
                note += f"; its validation samples leak {np.mean(values):.3f}"
            elif DEFENSES[way["defense"]].uses_validation and np.mean(duel.gains) > 0:
                unmeasured = "the leak of its validation samples was not measured"
            yield Claim(
                f"{against}-{way['defense']}{'-whole' if way['whole'] else ''}",
                text + (f", both pruned by {way['pruner']}" if alike else ""),
                {RULES[0]: duel.gains},
                "balanced accuracy of the strongest adaptive attack",
                "rival − defense",
                note=note,
                open=unmeasured,
            )


def without_rival(
    table: pd.DataFrame, measure: str = "accuracy", *, pruned_alike: bool = False
) -> dict[str, str]:
    """Return the defenses that `defended` makes no claim about, each with the reason."""
    reasons = {}
    for duel in _duels(table, measure, pruned_alike):
        if duel.reason:
            name = DEFENSES[duel.defense["defense"]].label
            name += " (training, too)" if duel.defense["whole"] else ""
            name += f" on {duel.defense['pruner']}" if pruned_alike else ""
            reasons[name] = duel.reason
    return reasons


# --- What is recommended ------------------------------------------------------------------------


def advice(table: pd.DataFrame, measure: str = "accuracy", within: float = WITHIN) -> pd.Series:
    """Return what leaks least at a price of at most ``within`` of the original's test accuracy.

    A leak is by the strongest adaptive attack; of a way that trains on validation samples, the leak
    of these where it is the larger one, and where it was not measured the way is not advised.

    Fields: chosen, the way's name ("original": nothing leaks less); leaks, whose samples leak more
    under it, "members" or "validation"; runs, how many judged. Then, each with _low and _high (95 %
    over the judging runs, missing without any): before, the original's leak; after, the chosen
    way's; gain, before − after; price, the original's test accuracy minus its; members and
    validation, both of its leaks.
    """
    choosing, judging = halves(table)
    plane = points(choosing, measure)
    own = plane.set_index("name", drop=False).loc["original"]
    able = plane["test"] >= own["test"] - within - ROUNDING
    trains = plane["defense"].map(lambda name: DEFENSES[str(name)].uses_validation)
    able &= ~(trains & plane["validation"].isna())
    best = plane[able].iloc[int(plane.loc[able, "worst"].argmin())]
    before = _by_run(judging, own, measure)
    leaks = {
        "members": _by_run(judging, best, measure),
        "validation": _by_run(judging, best, f"validation_{measure}", best["validation_attack"]),
    }
    moved = "validation" if best["validation"] > best["leak"] else "members"
    after = leaks[moved]
    both = sorted(before.keys() & after.keys())
    row: dict[str, Any] = {"chosen": best["name"], "runs": len(both), "leaks": moved}
    rates = {"before": [before[seed] for seed in both], "after": [after[seed] for seed in both]}
    differences = {
        "gain": [before[seed] - after[seed] for seed in both],
        "price": _differences(judging, best, own, "test_accuracy"),
    }
    for name, values in (rates | differences | leaks).items():
        numbers = list(values.values()) if isinstance(values, dict) else values
        row |= _interval(name, _mean(numbers, rate=name not in differences))
    return pd.Series(row)


def _mean(values: list[float], rate: bool) -> Estimate:
    if not values:
        return Estimate.missing("no run")
    return over_seeds(values, rate=True) if rate else simultaneous(values, 1)
