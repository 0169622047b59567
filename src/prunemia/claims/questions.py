"""How the claims of ``claims.yml`` are read off the kept tables.

What Yuan & Zhang (2022) report is a sum of two effects (`prunemia.lab.effects`); each is a claim.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import yaml

from prunemia import results
from prunemia.claims.base import RULES, Claim, where
from prunemia.claims.tradeoff import defended
from prunemia.lab.lengths import EQUAL_TEST, LEAST, excess
from prunemia.registry import PRUNERS
from prunemia.results.references import CHANCE, FEW
from prunemia.results.tables import CURVE_MEASURE

Table = pd.DataFrame
Case = tuple[dict[str, Any], Table]  # a claim's words; per run and rule, columns to be subtracted

OWN = {"pruner": "l1unstructured", "defense": "none"}  # of the tables of all data sets
SPARSITY = 0.7  # at which attacks, adversaries, defenses and releases are compared
TEST_MARGIN = 0.02  # the loss of test accuracy that does not matter; fixed beforehand
ENTRY = ("question", "kind", "cases", "names", "effects", "everywhere")  # what an entry says itself


def answers(entry: Mapping[str, Any], table: Table) -> list[Claim]:
    """Return the claims of an entry of ``claims.yml`` on one table of its kind."""
    names = entry.get("names", [""])
    about = {name: value for name, value in entry.items() if name not in ENTRY}
    short = names if isinstance(names, dict) else dict(zip(names, names, strict=True))
    found = [
        _claim({**words, "short": key, "name": name}, runs, **{**about, **effect})
        for place, (words, runs) in enumerate(CASES[entry["cases"]](table))
        for key, name in short.items()
        for effect in entry["effects"]
        if place == 0 or not effect.get("once")
    ]
    return [claim for claim in found if claim]


def _claim(
    words: dict[str, Any],
    runs: Table,
    plus: str,
    minus: str | float = 0.0,
    once: bool = False,
    complete: bool = False,
    **about: Any,
) -> Claim | None:
    """Return the claim that ``plus`` exceeds ``minus``, two columns; None: no such numbers."""
    runs = runs if "stopping" in runs else runs.assign(stopping=RULES[0])
    if not about.get("ruled"):
        runs = where(runs, stopping=RULES[0])
    if not isinstance(minus, str):
        runs = runs.assign(**{str(minus): minus})
    words = {"sparsity": SPARSITY, **words}
    names = {"plus": plus.format(**words), "minus": str(minus).format(**words)}
    if not {*names.values()} <= {*runs}:
        return None
    runs = runs.assign(effect=runs[names["plus"]] - runs[names["minus"]]).sort_values("seed")
    found = dict(iter(runs.groupby("stopping")["effect"]))
    values = {rule: tuple(found[rule].dropna()) for rule in RULES if rule in found}
    if not (values and all(values.values())) or (complete and runs["effect"].isna().any()):
        return None
    tests = {f"{side}_test": words.get("test", {}).get(name) for side, name in names.items()}
    said = {"comparison": "{plus} − {minus}", **about}
    for name, text in said.items():
        if isinstance(text, str):
            said[name] = text.format(**words, **names, **tests).replace(" samia", " SAMIA")
    return Claim(**said, by_rule=values, sparsity=None if once else words["sparsity"])


def wide(rows: Table, *columns: str, values: str = "value") -> Table:
    """Return a row per run and stopping rule, and a column for each of what ``columns`` say."""
    keys = [name for name in ("stopping", "seed") if name in rows]
    label = rows[list(columns)].astype(str).agg(" ".join, axis=1)
    return rows.assign(label=label).pivot(index=keys, columns="label", values=values).reset_index()


def levels(table: Table, own: bool = True) -> Iterator[Case]:
    """Yield SAMIA's accuracy on each level, by sparsity: of our method, else of the others."""
    samia = where(table, measure="accuracy", attack="samia")
    for (pruner, sparsity), at in samia.groupby(["pruner", "sparsity"], sort=False):
        if (pruner == OWN["pruner"]) is own and not PRUNERS[str(pruner)].control:
            note = regime(where(table, pruner=pruner, sparsity=sparsity))
            yield {"pruner": pruner, "sparsity": float(str(sparsity)), "regime": note}, at


def accuracies(table: Table) -> Iterator[Case]:
    """Yield each attack's accuracy on pruned networks: a column each, as in "samia 0.7"."""
    rows = where(table, **OWN, measure="accuracy")
    yield {}, wide(rows, "attack", "sparsity", values="pruned")


def statistics(table: Table) -> Iterator[Case]:
    """Yield the numbers of the paper's table, a column for each statistic and name."""
    runs = wide(table, "statistic", "name")
    change = runs.get("test ppb", np.nan) - runs.get("test no defense", np.nan)
    runs = runs.assign(loss=-change, **{"allowed loss": TEST_MARGIN})
    yield {"points": 100 * np.mean(change)}, runs


def few(table: Table) -> Iterator[Case]:
    """Yield attacks by few networks, a column for each setting, attack and measure."""
    rows = where(table, network="pruned", by="attack", sparsity=SPARSITY)
    yield {}, wide(rows[rows["references"] <= FEW], "setting", "attack", "measure")


def strongest(table: Table) -> Iterator[Case]:
    """Yield the members LiRA finds online, by sparsity, by the most references of all rules."""
    rows = where(table, attack="lira", setting="online", measure="TPR at 0.01")
    most = max(set.intersection(*rows.groupby("stopping")["references"].agg(set)))
    rows = where(rows, references=most)
    # fewer references than the attack's own have the formula's rows alone
    rows = where(rows, by=min(rows["by"]))
    for sparsity, at in rows.groupby("sparsity"):
        yield {"sparsity": float(str(sparsity)), "most": most}, wide(at, "network")


def exposure(table: Table) -> Iterator[Case]:
    """Yield the statistics of exposure, a column each."""
    yield {}, wide(table, "statistic").assign(chance=CHANCE)


TOGETHER = {
    "original + pruned": ["original", "pruned"],
    "original + dense": ["original", "dense"],
    "0.5 + 0.7 + 0.9": ["pruned to 0.5", "pruned to 0.7", "pruned to 0.9"],
    "pruned + its 4 bits": ["pruned", "pruned, 4 bits"],
}


def releases(table: Table) -> Iterator[Case]:
    """Yield the accuracy of nncls, named beforehand, on each release, a column each.

    "best of …": the better one alone by the rule's other runs; within a run one is so by chance.
    """
    rows = where(table, attack="nncls", measure="accuracy")
    runs = wide(rows, "release")
    for name, parts in TOGETHER.items():
        if set(parts) <= set(runs):
            others = runs.groupby("stopping")[parts].transform("sum") - runs[parts]
            best = others.to_numpy().argmax(axis=1)
            runs[f"best of {name}"] = runs[parts].to_numpy()[range(len(runs)), best]
    yield {"test": rows.groupby("release")["test_accuracy"].mean()}, runs


def recipes(table: Table) -> Iterator[Case]:
    """Yield each learned attack's accuracy and AUC; a column per recipe."""
    for attack, rows in table.groupby("attack", sort=False):
        for column, measure in (("accuracy", "balanced accuracy"), ("auc", "AUC")):
            words = {"attack": attack, "column": column, "measure": measure}
            yield words, wide(rows, "recipe", values=column)


FEWEST = 5  # runs that must give a comparator's number: those that do are a selection


def equally_good(curve: Table) -> Iterator[Case]:
    """Yield, by sparsity, what pruned networks leak beyond each dense one that is as good.

    Where the two at equal test accuracy differ in sign, the choice of network decides: both open.
    """
    kept = results.by_dataset("control").get(str(curve["dataset"].iloc[0]))
    if kept is None:
        return
    keys = ["dataset", "model", "width", "sparsity", "stopping", "seed"]
    own = where(kept[1], **OWN, attack="").fillna({"width": 0})  # not every network has a width
    pruned = own.pivot(index=keys, columns="measure", values="pruned").reset_index()
    names = {"train accuracy": "train_accuracy", "test accuracy": "test_accuracy"}
    pruned = pruned.rename(columns=names | {CURVE_MEASURE: "value"})
    pruned = pruned.assign(role="kept", epochs=0, attack="", measure=CURVE_MEASURE)
    # a table of nothing but empty cells is read as numbers
    dense = curve.assign(attack="").fillna({"width": 0})
    rows = excess(pd.concat([dense, pruned], ignore_index=True))
    for sparsity, at in rows.groupby("sparsity"):
        runs = at.pivot(index=["stopping", "seed"], columns="comparator", values="excess")
        rules = runs.groupby("stopping")
        wanted, count = rules.size().max(), rules.count().min()
        runs = runs[count.index[count >= FEWEST]]
        notes = {}
        for name in map(str, runs):
            few = f"{count[name]} of {wanted} runs have such a dense network"
            lost = 100 * where(at, comparator=name)["test_difference"].mean()
            price = f"test accuracy {lost:+.1f} points"
            parts = (few if count[name] < wanted else "", price if name != EQUAL_TEST else "")
            notes[name] = "; ".join(filter(None, parts))
        signs = rules.mean()[[name for name in (EQUAL_TEST, LEAST) if name in runs]] > 0
        differ = len({*signs.to_numpy().flat}) == signs.shape[1] == 2
        why = "the comparators at equal test accuracy disagree in sign" if differ else ""
        words = {"sparsity": float(str(sparsity)), "notes": notes, "differ": why}
        yield words, runs.reset_index()


FITTED, LOST = 0.99, 0.02  # the paper's regime: members fitted, little test accuracy lost


def regime(table: Table) -> str:
    """Say where the networks of a table of levels are outside of the paper's regime, else ""."""
    rows = table.drop_duplicates(["seed", "stopping", "measure"])
    train = round(float(where(rows, measure="train accuracy")["pruned"].mean()), 6)
    test = where(rows, measure="test accuracy")
    lost = np.mean((test["original"] - test["pruned"]).groupby(test["seed"]).mean().tolist())
    if train >= FITTED and round(lost, 6) <= LOST:
        return ""
    accuracies = f"training accuracy {train:.2f}, test accuracy {-100 * lost:+.1f} points"
    return f"outside of the paper's regime: {accuracies}"


READ = (levels, accuracies, statistics, few, strongest, exposure, releases, recipes, equally_good)
CASES: dict[str, Callable[[Table], Iterator[Case]]] = {
    **{read.__name__: read for read in READ},
    "methods": partial(levels, own=False),
    "defended": defended,
}
QUESTIONS: list[dict[str, Any]] = yaml.safe_load(
    files("prunemia.claims").joinpath("claims.yml").read_text("utf-8")
)
