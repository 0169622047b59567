"""What the control decides: whether fine-tuning raises the leak, and pruning at equal training.

Yuan & Zhang (2022) compare the pruned and fine-tuned network with the original. That is the sum of
two effects (`prunemia.lab.effects`), and each is a claim of its own here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from prunemia import results
from prunemia.claims.base import (
    CONTRADICTED,
    MARGIN,
    SUPPORTED,
    UNDECIDED,
    Claim,
    family,
    over_runs,
    runs,
)
from prunemia.experiment import Experiment
from prunemia.lab import Lab

RULES = ("warm-up", "published", "last")
"""The stopping rules: which epoch of fine-tuning is kept moves the leak as much as pruning does."""
DEPENDS = "depends on the stopping rule"
EFFECT_TEXTS = {
    "total": "The pruned network leaks more to {attack} than the original",
    "training": "Fine-tuning alone raises the leak to {attack}",
    "pruning": "Pruning raises the leak to {attack} at equal training",
}
"""The claims, each true where its effect is positive."""
FITTED, LOST = 0.99, 0.02
"""The paper's regime: pruned networks fit their members, and lose at most so much test accuracy."""


@dataclass(frozen=True)
class Agreement:
    """A claim under several stopping rules.

    Attributes
    ----------
    text : the claim.
    by_rule : the claim as each rule has it.
    source : the table of results/ that it was read from; empty: it was computed.
    """

    text: str
    by_rule: Mapping[str, Claim]
    source: str = ""

    @property
    def verdict(self) -> str:
        """The verdict on which all rules agree (`agreed`)."""
        return agreed([claim.verdict for claim in self.by_rule.values()])


def agreed(verdicts: Sequence[str]) -> str:
    """Return the verdict that holds under every rule.

    Rules that contradict one another say so; where one leaves the claim undecided, or one finds no
    difference that matters and another finds one, it is undecided.
    """
    kinds = set(verdicts)
    if len(kinds) == 1:
        return verdicts[0]
    if {SUPPORTED, CONTRADICTED} <= kinds:
        return DEPENDS
    return UNDECIDED


def effect_claims(table: pd.DataFrame, attack: str, measure: str = "accuracy") -> list[Claim]:
    """Return the three claims as one family, from a table of `Lab.effects` on one experiment.

    ``table``: one row per (seed, effect) of the measure, over all classes; other rows are ignored.
    """
    rows = table[
        (table["attack"] == attack) & (table["measure"] == measure) & (table["label"] == -1)
    ]
    values = {name: part["value"].tolist() for name, part in rows.groupby("effect")}
    statistic = f"difference in {'balanced accuracy' if measure == 'accuracy' else measure}"
    return family(
        over_runs(text.format(attack=attack), statistic, values[name], MARGIN)
        for name, text in EFFECT_TEXTS.items()
    )


def fine_tuning_or_pruning(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test what the total effect on SAMIA is made of (the total: `leakage_over_sparsity`).

    Under the experiment's own stopping rule; `control_under_rules` has all of them.
    """
    table = lab.effects(runs(exp, seeds), ["samia"])
    return family(effect_claims(table, "samia")[1:])


def control_under_rules(
    lab: Lab, exp: Experiment, seeds: int, attack: str = "samia", measure: str = "accuracy"
) -> list[Agreement]:
    """Test the three claims under each stopping rule, each rule a family of its own.

    Read from results/ where a table there has these very experiments, else computed.
    """
    todo = [run.replace(stopping=rule) for rule in RULES for run in runs(exp, seeds)]
    found = results.control(todo)
    source, table = found or ("", lab.effects(todo, [attack]))
    claims = {
        rule: effect_claims(table[table["stopping"] == rule], attack, measure) for rule in RULES
    }
    return [
        Agreement(text.format(attack=attack), {rule: claims[rule][i] for rule in RULES}, source)
        for i, text in enumerate(EFFECT_TEXTS.values())
    ]


def agreement_table(agreements: Sequence[Agreement]) -> pd.DataFrame:
    """Return one row per claim: its effect under each rule with its interval, and the verdict."""
    return pd.DataFrame(
        [
            {"claim": a.text}
            | {rule: str(claim.effect) for rule, claim in a.by_rule.items()}
            | {"verdict": a.verdict}
            for a in agreements
        ]
    )


def regime(table: pd.DataFrame) -> str:
    """Say whether the pruned networks of a table of effects are in the paper's regime.

    That is, on the mean over runs: a training accuracy of at least `FITTED`, and a test accuracy
    that is at most `LOST` below the original's.
    """
    levels = table.drop_duplicates(["seed", "measure"]).groupby("measure")[["original", "pruned"]]
    means = levels.mean().to_dict("index")
    train, test = means["train accuracy"]["pruned"], means["test accuracy"]
    lost = test["original"] - test["pruned"]
    inside = round(train, 6) >= FITTED and round(lost, 6) <= LOST
    said = "in the paper's regime" if inside else "outside of the paper's regime"
    return f"{said} (training accuracy {train:.3f}, loss of test accuracy {lost:.3f})"
