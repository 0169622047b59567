"""Claims on what fine-tuning and removing weights do to the leak, each under every stopping rule.

Yuan & Zhang (2022) compare the pruned and fine-tuned network with the original. That is the sum of
two effects (`prunemia.lab.effects`), and each is a claim of its own here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from prunemia import results
from prunemia.claims.base import RULES, Claim
from prunemia.lab.effects import EFFECTS
from prunemia.lab.lengths import excess
from prunemia.metrics import Estimate, over_seeds, summarize
from prunemia.registry import PRUNERS
from prunemia.results.curves import MEASURE

OWN = {"pruner": "l1unstructured", "defense": "none"}
"""What the tables of all data sets have in common."""
SPARSITIES = (0.5, 0.7, 0.9)
TEXTS = {
    "total": "Pruned to {s:g} and fine-tuned, the network leaks more to SAMIA than the original",
    "training": "Fine-tuning alone raises the leak to SAMIA",
    "pruning": "At sparsity {s:g} removing weights raises the leak to SAMIA at equal training",
}
"""The claims, each true where its effect is positive."""
FITTED, LOST = 0.99, 0.02
"""The paper's regime: pruned networks fit their members, and lose at most so much test accuracy."""

Table = pd.DataFrame


def where(table: Table, **asked: Any) -> Table:
    """Return the rows whose columns have these values."""
    for name, value in asked.items():
        table = table[table[name] == value]
    return table


def by_rule(table: Table, column: str | pd.Series) -> dict[str, tuple[float, ...]]:
    """Return a column, or a series over the table's rows, by stopping rule: one value per run."""
    values = table[column] if isinstance(column, str) else column
    ordered = table.assign(_value=values).sort_values("seed")
    present = set(ordered["stopping"])
    return {
        rule: tuple(ordered.loc[ordered["stopping"] == rule, "_value"].dropna())
        for rule in RULES
        if rule in present
    }


def control(table: Table) -> Iterator[Claim]:
    """Yield the three effects on SAMIA's accuracy at each of `SPARSITIES`; a table of levels."""
    own = where(table, **OWN, measure="accuracy", attack="samia")
    for effect, text in TEXTS.items():
        for sparsity in SPARSITIES if effect != "training" else SPARSITIES[:1]:
            at = where(own, sparsity=sparsity)
            if len(at):
                yield _effect(table, at, effect, text.format(s=sparsity), sparsity)
    low, high = (where(own, sparsity=s) for s in (min(SPARSITIES), max(SPARSITIES)))
    keys = ["stopping", "seed"]
    both = low.merge(high, on=keys, suffixes=("_low", "_high"))
    yield Claim(
        "mild",
        f"SAMIA is more accurate at sparsity {min(SPARSITIES):g} than at {max(SPARSITIES):g}",
        by_rule(both, both["pruned_low"] - both["pruned_high"]),
        comparison=f"pruned to {min(SPARSITIES):g} − pruned to {max(SPARSITIES):g}",
        ruled=True,
        paper=True,
    )


def methods(table: Table) -> Iterator[Claim]:
    """Yield the effects of each further pruning method that a table of levels has."""
    for (pruner, sparsity), at in where(table, measure="accuracy", attack="samia").groupby(
        ["pruner", "sparsity"], sort=False
    ):
        if pruner == OWN["pruner"] or PRUNERS[str(pruner)].control:
            continue
        for effect, text in (
            ("total", "Pruned by {p} to {s:g}, the network leaks more to SAMIA than the original"),
            ("pruning", "Pruning by {p} to {s:g} raises the leak to SAMIA at equal training"),
        ):
            said = text.format(p=pruner, s=sparsity)
            yield _effect(table, at, effect, said, float(str(sparsity)), str(pruner))


def _effect(
    table: Table, at: Table, effect: str, text: str, sparsity: float, pruner: str = OWN["pruner"]
) -> Claim:
    """Return the claim that one effect is positive; ``at``: its rows, one per rule and run."""
    end, start = EFFECTS[effect]
    removes = effect != "training"
    name = effect if pruner == OWN["pruner"] else f"{effect}-{pruner}"
    return Claim(
        f"{name}-{sparsity:g}" if removes else name,
        text,
        by_rule(at, at[end] - at[start]),
        measure="balanced accuracy of SAMIA",
        comparison=f"{end} − {start}",
        sparsity=sparsity if removes else None,
        ruled=True,
        paper=effect == "total",
        note=regime(where(table, pruner=pruner, sparsity=sparsity)) if removes else "",
    )


COMPARATORS = {
    "equal training accuracy": (
        "fit",
        "At sparsity {s:g} the pruned network leaks more than a dense one that fits its members "
        "as well",
    ),
    "equal test accuracy": (
        "test",
        "At sparsity {s:g} the pruned network leaks more than a dense one of its test accuracy",
    ),
    "least leaking dense network": (
        "least",
        "At sparsity {s:g} the pruned network leaks more than the least leaking dense one at least "
        "as accurate",
    ),
}
"""With which dense network a pruned one is compared: the claim's id, and the claim."""
FEWEST = 5
"""Runs that a comparator must have a number in: those that have one are a selection."""


def equally_good(curve: Table) -> list[Claim]:
    """Return what pruned networks leak beyond dense ones that are as good, by each comparator.

    ``curve``: of `prunemia.results.curves`; the pruned networks are those of the same data set's
    table of levels. Where the two comparisons at equal test accuracy differ in sign, both are open:
    which dense network is taken decides, not the pruning.
    """
    control = results.by_dataset("control").get(str(curve["dataset"].iloc[0]))
    if control is None:
        return []
    # a table of nothing but empty cells is read as numbers; a network without a width has none
    dense = curve.assign(attack="", width=curve["width"].fillna(0))
    rows = excess(pd.concat([dense, kept_networks(control[1])], ignore_index=True))
    found = []
    for sparsity in SPARSITIES:
        claims = {
            known: claim
            for comparator, (known, text) in COMPARATORS.items()
            for at in [where(rows, sparsity=sparsity, comparator=comparator)]
            for claim in [_excess(at, known, text.format(s=sparsity), sparsity)]
            if claim is not None
        }
        pair = [claims[known] for known in ("test", "least") if known in claims]
        signs = {effect.value > 0 for claim in pair for effect in claim.effects.values()}
        for known, claim in claims.items():
            differ = known != "fit" and len(pair) == 2 and len(signs) == 2
            why = "the comparators at equal test accuracy disagree in sign" if differ else ""
            found.append(replace(claim, open=why))
    return found


def kept_networks(control: Table) -> Table:
    """Return the pruned networks of a table of levels as rows of `prunemia.lab.lengths.points`."""
    own = where(control, **OWN)
    own = own.assign(width=own["width"].fillna(0))
    keys = ["dataset", "model", "width", "sparsity", "stopping", "seed"]
    wide = own[own["attack"] == ""].pivot_table("pruned", keys, "measure", dropna=False)
    wide = wide.dropna(how="all").reset_index()
    return wide[keys].assign(
        role="kept",
        epochs=0,
        train_accuracy=wide["train accuracy"],
        test_accuracy=wide["test accuracy"],
        attack="",
        measure=MEASURE,
        value=wide[MEASURE],
    )


def _excess(at: Table, known: str, text: str, sparsity: float) -> Claim | None:
    values = by_rule(at, "excess")
    if not values or min(len(each) for each in values.values()) < FEWEST:
        return None  # no dense network that is as good in so few runs
    asked = at.groupby("stopping")["seed"].nunique().max()
    numbers = min(len(each) for each in values.values())
    price = at["test_difference"].mean()
    note = f"{numbers} of {asked} runs have such a dense network" if numbers < asked else ""
    said = f"test accuracy {price:+.3f}"
    return Claim(
        f"{known}-{sparsity:g}",
        text,
        values,
        measure=f"{MEASURE} (members against non-members)",
        comparison=f"pruned − dense, {at['comparator'].iloc[0]}",
        sparsity=sparsity,
        ruled=True,
        note="; ".join(part for part in (note, "" if known == "test" else said) if part),
    )


def regime(table: Table) -> str:
    """Say where pruned networks are outside of the paper's regime; "" where they are in it.

    ``table``: of levels, of one pruner and sparsity; the mean over runs and rules decides.
    """
    means = fitted_and_lost(table)
    if in_regime(*means):
        return ""
    train, lost = means
    return f"outside of the paper's regime: training accuracy {train:.2f}, test {-lost.value:+.3f}"


def in_regime(train: float, lost: Estimate) -> bool:
    """Tell whether pruned networks fit their members and lose little, on the mean over runs."""
    return train >= FITTED and round(lost.value, 6) <= LOST


def fitted_and_lost(table: Table) -> tuple[float, Estimate]:
    """Return the pruned networks' training accuracy, and the test accuracy lost by pruning."""
    rows = table.drop_duplicates(["seed", "stopping", "measure"])
    train = rows.loc[rows["measure"] == "train accuracy", "pruned"].mean()
    test = rows[rows["measure"] == "test accuracy"]
    lost = (test["original"] - test["pruned"]).groupby(test["seed"]).mean()
    return round(float(train), 6), over_seeds(lost.tolist())


def capacity(table: Table, attack: str, measure: str = "accuracy") -> Table:
    """Return each effect on an attack by width and sparsity: a description, no verdict.

    ``table``: of `as_effects`, over widths and sparsities, under one stopping rule. Columns:
    effect, width, sparsity, value, low, high (95 % over runs, each by itself), regime (whether the
    pruned networks are in the paper's).
    """
    rows = where(table, attack=attack, measure=measure)
    found = summarize(rows, ["value"], by=["effect", "width", "sparsity"])
    total = where(table, effect="total")
    inside = {
        cell: in_regime(*fitted_and_lost(part))
        for cell, part in total.groupby(["width", "sparsity"])
    }
    cells = zip(found["width"], found["sparsity"], strict=True)
    found = found.rename(columns={"value_low": "low", "value_high": "high"})
    return found.assign(regime=[inside[cell] for cell in cells])


def networks(table: Table, rule: str = RULES[0], attack: str = "samia") -> Table:
    """Return how far each network of a table of levels over-fits, and how much it leaks.

    Columns: dataset; network ("original", "dense", "pruned 0.5", …); role (the same without
    sparsity); train, test, gap (train − test accuracy), leak (the attack's balanced accuracy) and
    found (its TPR at 1 % FPR), each a mean over runs with its 95 % interval in _low and _high;
    runs.
    """
    own = where(table, **OWN, stopping=rule)
    own = own[own["attack"].isin(["", attack])]
    long = own.melt(
        ["dataset", "sparsity", "seed", "measure"], ["original", "dense", "pruned"], "role"
    )
    level = long["sparsity"].map(" {:g}".format).where(long["role"] == "pruned", "")
    long["network"] = long["role"] + level
    keys = ["dataset", "network", "role", "seed"]
    # the original and the dense network stand in the table once per sparsity
    wide = long.drop_duplicates([*keys, "measure"]).pivot_table(
        "value", keys, "measure", sort=False
    )
    wide = wide.rename(columns=NAMES).reset_index()
    return summarize(wide, [name for name in NAMES.values() if name in wide], by=keys[:3])


def all_networks(rule: str = RULES[0]) -> Table:
    """Return `networks` of every data set that results/ has a table of the control of."""
    tables = [table for _, table in results.by_dataset("control").values()]
    return pd.concat([networks(table, rule) for table in tables], ignore_index=True)


NAMES: Mapping[str, str] = {
    "train accuracy": "train",
    "test accuracy": "test",
    "generalization gap": "gap",
    "accuracy": "leak",
    "TPR at 0.01": "found",
}
"""Measures of a table of levels, as `networks` calls them."""
