"""The questions of ``claims.yml``, and how their claims' effects are read off the kept tables.

Yuan & Zhang (2022) compare the pruned and fine-tuned network with the original. That is the sum of
two effects (`prunemia.lab.effects`), and each is a claim of its own here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import yaml

from prunemia import results
from prunemia.claims.base import MARGIN, RULES, TEST_MARGIN, Claim
from prunemia.claims.tradeoff import defended
from prunemia.lab.lengths import excess
from prunemia.registry import PRUNERS
from prunemia.results.references import CHANCE, FEW
from prunemia.results.tables import CURVE_MEASURE

Table = pd.DataFrame
Words = dict[str, Any]
Case = tuple[Words, Table]
"""What fills a family's words, and a table with a row per run and stopping rule: its columns are
what can be subtracted from one another."""

OWN = {"pruner": "l1unstructured", "defense": "none"}
"""What the tables of all data sets have in common."""
SPARSITIES = (0.5, 0.7, 0.9)
SPARSITY = 0.7
"""At which attacks, adversaries, defenses and releases are compared."""
LABELS = {"lira": "LiRA", "rmia": "RMIA"}
RATES = {"TPR at 0.001": "0.1", "TPR at 0.01": "1"}
"""The rates of attacks where few are accused, and the false positives that they allow, in %."""
RELEASES_ATTACK = "nncls"
"""The attack on releases, named beforehand: learned, cheap, and able to take several of them."""
TOGETHER = {
    "original + pruned": ("original", "pruned"),
    "original + dense": ("original", "dense"),
    "0.5 + 0.7 + 0.9": ("pruned to 0.5", "pruned to 0.7", "pruned to 0.9"),
    "pruned + its 4 bits": ("pruned", "pruned, 4 bits"),
}
"""Releases that an adversary holds together, and each alone."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A claim in words, with a place in braces for whatever a case says.

    The effect is the column ``plus`` minus the column ``minus``, either of which may be a number.
    ``once``: the same in every case, so that the first one's is taken; ``complete``: no claim where
    a run could not be measured, else such a run is left out. All others: as of `Claim`.
    """

    id: str
    text: str
    plus: str | float
    minus: str | float = 0.0
    measure: str = "balanced accuracy"
    comparison: str = "{plus} − {minus}"
    margin: float = MARGIN
    ruled: bool = False
    paper: bool = False
    note: str = ""
    once: bool = False
    complete: bool = False

    def claim(self, words: Words, runs: Table) -> Claim | None:
        """Return the claim on one case; None where the table has no such numbers."""
        words = {"sparsity": SPARSITY, **words}
        if not self.ruled and "stopping" in runs:
            runs = where(runs, stopping=RULES[0])
        sides: dict[str, Any] = {}
        for side, end in (("plus", self.plus), ("minus", self.minus)):
            name = end.format(**words) if isinstance(end, str) else end
            if isinstance(name, str) and name not in runs:
                return None
            sides[side] = runs[name] if isinstance(name, str) else name
            words |= {side: name, f"{side}_test": words.get("test", {}).get(name)}
        values = by_rule(runs.assign(effect=sides["plus"] - sides["minus"]), "effect")
        if self.complete and sum(map(len, values.values())) < len(runs):
            return None
        said: dict[str, Any] = {name: getattr(self, name).format(**words) for name in SAID}
        about: dict[str, Any] = {name: getattr(self, name) for name in ("margin", "ruled", "paper")}
        sparsity = None if self.once else words["sparsity"]
        return Claim(**said, **about, by_rule=values, sparsity=sparsity)


SAID = ("id", "text", "measure", "comparison", "note")
"""The words of an `Effect`."""


@dataclass(frozen=True)
class Question:
    """What a group of claims asks, the kind of table that answers, and how it does.

    ``everywhere``: each claim is asked on every data set with such a table, also where it gets no
    number.
    """

    text: str
    kind: str
    answers: Callable[[Table], Iterable[Claim]]
    everywhere: bool = False


def questions() -> tuple[Question, ...]:
    """Return the questions of ``claims.yml``, which says what each entry means."""
    text = files("prunemia.claims").joinpath("claims.yml").read_text("utf-8")
    return tuple(_question(**entry) for entry in yaml.safe_load(text))


def _question(
    question: str,
    kind: str,
    cases: str,
    names: Sequence[str] = (),
    effects: Sequence[Mapping[str, Any]] = (),
    everywhere: bool = False,
    **common: Any,
) -> Question:
    answers = ANSWERS.get(cases)
    if answers is None:
        read = partial(CASES[cases], names=names) if names else CASES[cases]
        answers = partial(_read_off, read, [Effect(**{**common, **effect}) for effect in effects])
    return Question(question, kind, answers, everywhere)


def _read_off(
    read: Callable[[Table], Iterable[Case]], effects: Sequence[Effect], table: Table
) -> Iterator[Claim]:
    """Yield the claims of each case of a table."""
    for place, (words, runs) in enumerate(read(table)):
        for effect in effects:
            claim = effect.claim(words, runs) if place == 0 or not effect.once else None
            if claim is not None:
                yield claim


# --- Reading cases off tables --------------------------------------------------------------------


def where(table: Table, **wanted: Any) -> Table:
    """Return the rows whose columns have these values."""
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def by_rule(runs: Table, column: str) -> dict[str, tuple[float, ...]]:
    """Return a column by stopping rule, one value per run; what could not be measured is left out.

    What no rule is about counts as tried under ours.
    """
    runs = (runs if "stopping" in runs else runs.assign(stopping=RULES[0])).sort_values("seed")
    values = {rule: where(runs, stopping=rule)[column] for rule in RULES}
    return {rule: tuple(found.dropna()) for rule, found in values.items() if len(found)}


def wide(rows: Table, columns: str, values: str = "value") -> Table:
    """Return a row per run and stopping rule, and a column for each of what ``columns`` names."""
    keys = [name for name in ("stopping", "seed") if name in rows]
    return rows.pivot(index=keys, columns=columns, values=values).reset_index()


def levels(table: Table) -> Iterator[Case]:
    """Yield SAMIA's accuracy on original, dense and pruned networks, by sparsity."""
    for sparsity in SPARSITIES:
        at = where(table, **OWN, measure="accuracy", attack="samia", sparsity=sparsity)
        if len(at):
            note = regime(where(table, pruner=OWN["pruner"], sparsity=sparsity))
            yield {"sparsity": sparsity, "regime": note}, at


def mild_and_hard(table: Table) -> Iterator[Case]:
    """Yield SAMIA's accuracy on networks pruned little and much, a column for each sparsity."""
    samia = where(table, **OWN, measure="accuracy", attack="samia")
    level = samia["sparsity"].map("pruned to {:g}".format)
    words = {"mild": f"{min(SPARSITIES):g}", "hard": f"{max(SPARSITIES):g}", "sparsity": None}
    yield words, wide(samia.assign(level=level), "level", "pruned")


def methods(table: Table) -> Iterator[Case]:
    """Yield the levels of each further pruning method, by sparsity."""
    samia = where(table, measure="accuracy", attack="samia")
    for (pruner, sparsity), at in samia.groupby(["pruner", "sparsity"], sort=False):
        if pruner != OWN["pruner"] and not PRUNERS[str(pruner)].control:
            note = regime(where(table, pruner=pruner, sparsity=sparsity))
            yield {"pruner": pruner, "sparsity": float(str(sparsity)), "regime": note}, at


def accuracies(table: Table) -> Iterator[Case]:
    """Yield each attack's accuracy on pruned networks, a column each."""
    yield {}, wide(where(table, **OWN, measure="accuracy", sparsity=SPARSITY), "attack", "pruned")


def statistics(table: Table, names: Sequence[str]) -> Iterator[Case]:
    """Yield names of the paper's table; a column for each statistic and name."""
    runs = wide(table.assign(number=table["statistic"] + " " + table["name"]), "number")
    change = pd.Series(dtype=float)
    if {"test ppb", "test no defense"} <= set(runs):
        change = runs["test ppb"] - runs["test no defense"]
        runs["loss"], runs["allowed loss"] = -change, TEST_MARGIN
    for name in names:
        slug = name.removeprefix("sparsity ").replace(" ", "-")
        last = name.split(" ")[-1]
        yield {"name": name, "slug": slug, "last": last, "change": change.mean()}, runs


def few(table: Table) -> Iterator[Case]:
    """Yield each rate and attack by few networks; a column for each setting and attack."""
    rows = where(table, network="pruned", by="attack", sparsity=SPARSITY)
    rows = rows[(rows["references"] <= FEW) & rows["attack"].isin(["samia", *LABELS])]
    named = rows.assign(how=rows["setting"] + " " + rows["attack"])
    for measure, percent in RATES.items():
        runs = wide(where(named, measure=measure), "how")
        for attack, label in LABELS.items():
            rate = measure.replace("TPR at", "TPR at FPR")
            yield {"percent": percent, "attack": attack, "label": label, "rate": rate}, runs


def strongest(table: Table) -> Iterator[Case]:
    """Yield the members that LiRA finds online at 1 % FPR, by sparsity; a column per network.

    By the most references that every stopping rule was tried with.
    """
    rows = where(table, attack="lira", setting="online", measure="TPR at 0.01")
    counts = [set(part["references"]) for _, part in rows.groupby("stopping")]
    most = max(set.intersection(*counts))
    rows = where(rows, references=most)
    # fewer references than the attack's own have the formula's rows alone
    by_attack = where(rows, by="attack")
    rows = by_attack if len(by_attack) else where(rows, by="formula")
    for sparsity, at in rows.groupby("sparsity"):
        yield {"sparsity": float(str(sparsity)), "most": most}, wide(at, "network")


def exposure(table: Table) -> Iterator[Case]:
    """Yield the statistics of exposure, a column each.

    That LiRA, RMIA and confidence expose the same samples is no claim: all three grow with the
    probability of the true class.
    """
    yield {}, wide(table, "statistic").assign(chance=CHANCE)


def together(table: Table) -> Iterator[Case]:
    """Yield releases that are held together; a column "best" for the better one alone.

    That is the single release that is the better one on the other runs: the larger of several
    accuracies within a run is too high by chance.
    """
    ((_, runs),) = releases(table)
    for name, parts in TOGETHER.items():
        if set(parts) <= set(runs):
            slug = name.replace(" + ", "-").replace("its 4 bits", "4-bits")
            best = best_on_others(runs[list(parts)])
            yield {"name": name, "slug": slug, "attack": RELEASES_ATTACK}, runs.assign(best=best)


def best_on_others(found: Table) -> pd.Series:
    """Return in each run the column that is largest over all other runs; rows are runs."""
    values = found.to_numpy()
    best = (values.sum(axis=0) - values).argmax(axis=1)
    return pd.Series(values[range(len(values)), best], found.index)


def releases(table: Table) -> Iterator[Case]:
    """Yield an attack's accuracy on each release, a column each."""
    rows = where(table, attack=RELEASES_ATTACK, measure="accuracy")
    test = rows.groupby("release")["test_accuracy"].mean()
    yield {"test": test, "attack": RELEASES_ATTACK}, wide(rows, "release")


def recipes(table: Table) -> Iterator[Case]:
    """Yield each learned attack's accuracy and AUC; a column per recipe."""
    for attack, rows in table.groupby("attack", sort=False):
        for column, measure in (("accuracy", "balanced accuracy"), ("auc", "AUC")):
            words = {"attack": attack, "column": column, "measure": measure}
            yield words, wide(rows, "recipe", column)


# --- Pruned networks beside dense ones that are as good ------------------------------------------

COMPARATORS = {
    "equal training accuracy": ("fit", "a dense one that fits its members as well"),
    "equal test accuracy": ("test", "a dense one of its test accuracy"),
    "least leaking dense network": ("least", "the least leaking dense one at least as accurate"),
}
"""With which dense network a pruned one is compared: the claim's id, and the claim's end."""
FEWEST = 5
"""Runs that a comparator must have a number in: those that have one are a selection."""


def equally_good(curve: Table) -> list[Claim]:
    """Return what pruned networks leak beyond dense ones that are as good, by each comparator.

    ``curve``: of `results.tables.curve`; the pruned networks are those of the same data set's table
    of levels. Where the two comparisons at equal test accuracy differ in sign, both are open: which
    dense network is taken decides, not the pruning.
    """
    control = results.by_dataset("control").get(str(curve["dataset"].iloc[0]))
    if control is None:
        return []
    # a table of nothing but empty cells is read as numbers; a network without a width has none
    dense = curve.assign(attack="", width=curve["width"].fillna(0))
    rows = excess(pd.concat([dense, _pruned(control[1])], ignore_index=True))
    found: list[Claim] = []
    for sparsity in SPARSITIES:
        at = where(rows, sparsity=sparsity)
        claims = [claim for name in COMPARATORS if (claim := _excess(at, name, sparsity))]
        pair = [claim for claim in claims if not claim.id.startswith("fit")]
        signs = {effect.value > 0 for claim in pair for effect in claim.effects.values()}
        differ = "the comparators at equal test accuracy disagree in sign"
        why = differ if len(pair) == 2 and len(signs) == 2 else ""
        found += [replace(claim, open=why if claim in pair else "") for claim in claims]
    return found


def _pruned(control: Table) -> Table:
    """Return the pruned networks of a table of levels as rows of `prunemia.lab.lengths.points`."""
    own = where(control, **OWN, attack="")
    own = own.assign(width=own["width"].fillna(0))
    keys = ["dataset", "model", "width", "sparsity", "stopping", "seed"]
    flat = own.pivot_table("pruned", keys, "measure", dropna=False).dropna(how="all").reset_index()
    return flat[keys].assign(
        role="kept",
        epochs=0,
        train_accuracy=flat["train accuracy"],
        test_accuracy=flat["test accuracy"],
        attack="",
        measure=CURVE_MEASURE,
        value=flat[CURVE_MEASURE],
    )


def _excess(rows: Table, comparator: str, sparsity: float) -> Claim | None:
    at = where(rows, comparator=comparator)
    values = by_rule(at, "excess")
    runs = min(map(len, values.values()), default=0)
    if runs < FEWEST:
        return None  # no dense network that is as good in so few runs
    known, end = COMPARATORS[comparator]
    wanted = at.groupby("stopping")["seed"].nunique().max()
    few = f"{runs} of {wanted} runs have such a dense network" if runs < wanted else ""
    price = "" if known == "test" else f"test accuracy {at['test_difference'].mean():+.3f}"
    return Claim(
        f"{known}-{sparsity:g}",
        f"At sparsity {sparsity:g} the pruned network leaks more than {end}",
        values,
        measure=f"{CURVE_MEASURE} (members against non-members)",
        comparison=f"pruned − dense, {comparator}",
        sparsity=sparsity,
        ruled=True,
        note="; ".join(filter(None, (few, price))),
    )


# --- The paper's regime -------------------------------------------------------------------------

FITTED, LOST = 0.99, 0.02
"""The paper's regime: pruned networks fit their members, and lose at most so much test accuracy."""


def regime(table: Table) -> str:
    """Say where pruned networks are outside of the paper's regime; "" where they are in it.

    ``table``: of levels, of one pruner and sparsity; the mean over runs and rules decides.
    """
    rows = table.drop_duplicates(["seed", "stopping", "measure"])
    train = round(float(where(rows, measure="train accuracy")["pruned"].mean()), 6)
    test = where(rows, measure="test accuracy")
    lost = np.mean((test["original"] - test["pruned"]).groupby(test["seed"]).mean().tolist())
    if train >= FITTED and round(lost, 6) <= LOST:
        return ""
    return f"outside of the paper's regime: training accuracy {train:.2f}, test {-lost:+.3f}"


READ = (levels, mild_and_hard, methods, accuracies, statistics, few, strongest, exposure, together,
        releases, recipes)  # fmt: skip
CASES: dict[str, Callable[..., Iterator[Case]]] = {read.__name__: read for read in READ}
ANSWERS: dict[str, Callable[[Table], Iterable[Claim]]] = {
    "equally_good": equally_good,
    "defended": defended,
}
QUESTIONS = questions()
