"""Points of test accuracy and leak, which defense leaks less at equal accuracy, and what to do.

Whatever is picked by looking is picked on the first runs (`halves`), and judged on the others.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from prunemia.claims.base import simultaneous, where
from prunemia.experiment import Experiment
from prunemia.metrics import Estimate, over_seeds, summarize
from prunemia.registry import DEFENSES
from prunemia.results.tables import ADAPTIVE, ORIGINAL, WAY

CHOOSING = 5  # runs of a table that choose, at most; of fewer than ten, half
WITHIN = 0.01  # of test accuracy: networks no further apart are equally accurate
USABLE = 0.15  # a strength that costs more test accuracy is no candidate: nobody would ship it
ROUNDING = 1e-9  # a difference of exactly one point may come out larger
DEFAULT = tuple(Experiment.model_fields[name].default for name in ("pruner", "sparsity"))
SYMBOLS = {"ppb": "λ", "adv": "α", "dp": "σ", "relaxloss": "ω", "distill": "T", "wemem": "s"}


def named(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of trade-offs with each way's name, and original networks once, not tuned."""
    if "name" in table:
        return table
    original = table["pruner"] == ORIGINAL
    table = table.assign(finetune_epochs=table["finetune_epochs"].mask(original, 0))
    table = table[~(original & table.duplicated([*WAY, "seed", "adversary", "attack"]))]
    ways = table[list(WAY)].drop_duplicates()
    return table.merge(ways.assign(name=names(ways)), how="left", on=list(WAY))


def names(ways: pd.DataFrame) -> pd.Series:
    """Return the name of each way, with the epochs of fine-tuning where it comes with several."""
    found = pd.Series([_name(way) for way in ways.itertuples()], ways.index, dtype=object)
    epochs = ", " + ways["finetune_epochs"].astype(str) + " epochs"
    return found + np.where(found.duplicated(keep=False), epochs, "")


def _name(way: Any) -> str:
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


def halves(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the runs that choose, and of those that judge: a single run chooses."""
    table = named(table)
    seeds = sorted(table["seed"].unique())
    choosing = table["seed"].isin(seeds[: max(1, min(CHOOSING, len(seeds) // 2))])
    return table[choosing], table[~choosing]


def points(table: pd.DataFrame, measure: str, adversary: str = ADAPTIVE) -> pd.DataFrame:
    """Return one point per way: test accuracy and the leak by the attack strongest on it.

    Columns: name, `WAY`, attack, runs; test and leak, with _low and _high (95 %); of validation
    samples, if they train anything, validation_attack and validation; worst, the larger leak.
    """
    table = named(table)
    faced = table[(table["adversary"] == adversary) | (table["defense"] == "none")]
    faced = faced.rename(columns={"test_accuracy": "test"})
    found = faced[["name", *WAY]].drop_duplicates().set_index("name")
    means = faced.groupby(["name", "attack"])[[measure, f"validation_{measure}"]].mean()
    leak, moved = (means[column].unstack().reindex(found.index) for column in means)
    found["attack"] = leak.idxmax(axis=1)
    strongest = faced[faced["attack"] == faced["name"].map(found["attack"])]
    rates = summarize(strongest, ["test", measure], ["name"]).set_index("name")
    found = found.join(rates.rename(columns=lambda column: column.replace(measure, "leak")))
    found["validation_attack"] = moved.dropna(how="all").idxmax(axis=1)
    found["validation"] = moved.max(axis=1)
    found["worst"] = found[["leak", "validation"]].max(axis=1)
    return found.fillna({"validation_attack": ""}).reset_index()


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


def by_run(table: pd.DataFrame, name: str, attack: str) -> pd.DataFrame:
    """Return the rows of one way, by seed, against one attack of the adaptive adversary."""
    return where(table, name=name, attack=attack, adversary=ADAPTIVE).set_index("seed").sort_index()


def rivals(plane: pd.DataFrame, pruned_alike: bool = False) -> pd.DataFrame:
    """Return each defended point with the undefended one that leaks least at its test accuracy.

    That is `WITHIN` above or below, after as many epochs, or the original; ``pruned_alike``: by the
    same method. Early stopping has one rival: the same network but for the epoch kept. Columns
    added: usable (at most `USABLE` below the same pruning without it); rival_name, rival_attack
    and gain, the rival's leak minus its own: missing where there is none, or it is not usable.
    """
    defended, undefended = (plane[plane["defense"].ne("none") == side] for side in (True, False))
    pairs = defended.merge(undefended.add_prefix("rival_"), how="cross")

    def equal(*columns: str) -> pd.Series:
        return pd.concat([pairs[c] == pairs[f"rival_{c}"] for c in columns], axis=1).all(axis=1)

    best = pairs["rival_test"].where(equal("pruner", "sparsity")).groupby(pairs["name"]).max()
    usable = ~(defended["test"] < defended["name"].map(best) - USABLE)
    able = equal("finetune_epochs") | (pairs["rival_pruner"] == ORIGINAL)
    stopped = equal("finetune_epochs", "stopping", "pruner", "sparsity")
    able = able.mask(pairs["defense"] == "earlystop", stopped)
    able &= (pairs["rival_test"] - pairs["test"]).abs() <= WITHIN + ROUNDING
    able &= pairs["name"].isin(defended.loc[usable, "name"])
    if pruned_alike:
        able &= equal("pruner")
    met = pairs[able].sort_values("rival_leak", kind="stable").drop_duplicates("name")
    met = met[["name", "rival_name", "rival_attack", "rival_leak"]]
    found = defended.assign(usable=usable).merge(met, how="left", on="name")
    return found.assign(gain=found.pop("rival_leak") - found["leak"])


def duels(table: pd.DataFrame, pruned_alike: bool = False) -> Iterator[tuple[Any, str, Any]]:
    """Yield each defense at its best strength, of `rivals`; why it is not judged, or ""; its runs.

    By seed: rival and defense, their leaks; further, the rival's test accuracy minus its own;
    moved, the leak of its validation samples.
    """
    choosing, judging = halves(table)
    met = rivals(points(choosing, "accuracy"), pruned_alike)
    columns = ["defense", "whole", *(["pruner"] if pruned_alike else [])]
    for _, part in met.groupby(columns, sort=False):
        best: Any = part.iloc[int(part["gain"].fillna(-np.inf).argmax())]
        own, rival = (by_run(judging, best[f"{w}name"], best[f"{w}attack"]) for w in ("", "rival_"))
        moved = by_run(judging, best["name"], best["validation_attack"])["validation_accuracy"]
        runs = pd.DataFrame({"rival": rival["accuracy"], "defense": own["accuracy"]}).dropna()
        why = ""
        if not part["usable"].any():
            why = f"every strength costs over {100 * USABLE:g} points of test accuracy"
        elif part["gain"].isna().all():
            why = f"no undefended network within {100 * WITHIN:g} point of test accuracy"
        elif runs.empty:
            why = "no run was left to judge it"
        further = rival["test_accuracy"] - own["test_accuracy"]
        yield best, why, runs.assign(further=further, moved=moved)


def defended(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield what each defense leaks, and undefended networks as accurate: any, or pruned alike."""
    fought = set()
    for alike in (False, True):
        for way, reason, runs in duels(table, alike):
            if reason or (pair := (way["name"], way["rival_name"])) in fought:
                continue  # the best rival of all is pruned alike: one hypothesis, one claim
            fought.add(pair)
            kind, moved = DEFENSES[way["defense"]], runs["moved"].dropna()
            further = simultaneous(runs["further"].tolist(), 1)
            apart = further.text(1, 100, " points", signed=True)
            note = f"{way['name']} against {way['rival_name']}; rival's test accuracy {apart}"
            if len(moved):
                note += f"; its validation samples leak {np.mean(moved.tolist()):.3f}"
            gain = np.mean((runs["rival"] - runs["defense"]).tolist())
            drift = float(runs["further"].mean())
            # a rival that is more accurate and leaks less beats the defense all the same
            why = ""
            if kind.uses_validation and gain > 0 and moved.empty:
                why = "the leak of its validation samples was not measured"
            elif abs(drift) > WITHIN + ROUNDING and not drift > 0 > gain:
                side = "more" if drift > 0 else "less"
                far = f"{100 * abs(drift):.1f} points"
                why = f"its rival is {far} {side} accurate on the runs that judge"
            words = {
                "sparsity": None,
                "against": f"alike-{way['pruner']}" if alike else "defense",
                "named": way["defense"] + ("-whole" if way["whole"] else ""),
                "label": kind.label[0].upper() + kind.label[1:],
                "whole": ", in training too," if way["whole"] else "",
                "alike": f", both pruned by {way['pruner']}" if alike else "",
                "note": note,
                "open": why,
            }
            yield words, runs.reset_index()


def without_rival(table: pd.DataFrame) -> dict[str, str]:
    """Return the defenses that `defended` makes no claim about, each with the reason."""
    return {
        DEFENSES[way["defense"]].label + (" (training, too)" if way["whole"] else ""): reason
        for way, reason, _ in duels(table)
        if reason
    }


def advice(table: pd.DataFrame, within: float = WITHIN) -> pd.Series:
    """Return what leaks least at a price of at most ``within`` of the original's test accuracy.

    By the strongest adaptive attack, on members or, where these leak more, on validation samples
    (measured: else it is no candidate). Fields: chosen, the way's name; leaks, "members" or
    "validation"; runs, how many judged; with _low and _high (95 %): before, the original's leak;
    after, the way's; members and validation, both; gain, before − after; price, in test accuracy.
    """
    choosing, judging = halves(table)
    plane = points(choosing, "accuracy")
    own: Any = plane.set_index("name", drop=False).loc["original"]
    trains = plane["defense"].map(lambda name: DEFENSES[str(name)].uses_validation)
    able = plane[~(trains & plane["validation"].isna())]
    able = able[able["test"] >= own["test"] - within - ROUNDING]
    best: Any = able.loc[able["worst"].idxmin()]

    original = by_run(judging, "original", own["attack"])
    chosen = by_run(judging, best["name"], best["attack"])
    moved = by_run(judging, best["name"], best["validation_attack"])["validation_accuracy"]
    leaks = "validation" if best["validation"] > best["leak"] else "members"
    leak = {"members": chosen["accuracy"], "validation": moved}
    before, after = original["accuracy"].align(leak[leaks], join="inner")
    rates = {"before": before, "after": after, **leak}
    price = (original["test_accuracy"] - chosen["test_accuracy"]).dropna()
    row: dict[str, Any] = {"chosen": best["name"], "runs": len(before), "leaks": leaks}
    for name, values in {**rates, "gain": before - after, "price": price}.items():
        estimate = Estimate.missing("no run")
        if len(values) and name in rates:
            estimate = over_seeds(values.tolist(), rate=True)
        elif len(values):
            estimate = simultaneous(values.tolist(), 1)
        row |= estimate.columns(name)
    return pd.Series(row)
