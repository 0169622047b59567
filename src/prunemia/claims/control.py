"""What the control decides: whether fine-tuning raises the leak, and pruning at equal training.

Yuan & Zhang (2022) compare the pruned and fine-tuned network with the original. That is the sum of
two effects (`prunemia.lab.effects`), and each is a claim of its own here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from prunemia import results
from prunemia.claims.base import (
    MARGIN,
    Claim,
    agreed,
    family,
    named,
    over_runs,
    runs,
)
from prunemia.experiment import Experiment
from prunemia.lab import Lab
from prunemia.metrics import Estimate, over_seeds

RULES = ("warm-up", "published", "last")
"""The stopping rules: which epoch of fine-tuning is kept moves the leak as much as pruning does."""
ATTACKS = ("conf", "mentr", "samia")
"""Among which the strongest is looked for."""
EFFECT_TEXTS = {
    "total": "The pruned network leaks more to {attack} than the original does",
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
        over_runs(text.format(attack=named(attack)), statistic, values[name], MARGIN)
        for name, text in EFFECT_TEXTS.items()
    )


@dataclass(frozen=True)
class UnderRules:
    """Effects on some experiments under each stopping rule (`under_rules`).

    Attributes
    ----------
    own : the experiments' own rule.
    table : as `Lab.effects` gives it, over all rules.
    source : the table of results/ that it was read from; empty: it was computed.
    """

    own: str
    table: pd.DataFrame
    source: str

    def values(self, column: str = "value", rule: str | None = None, **fields: Any) -> list[float]:
        """Return one number per seed of the rows with these fields; ``rule`` None: the own one."""
        rows = self.table[self.table["stopping"] == (rule or self.own)]
        for name, value in fields.items():
            rows = rows[rows[name] == value]
        return [float(value) for value in rows.sort_values("seed")[column]]

    def claim(self, text: str, attack: str = "samia", **fields: Any) -> Claim:
        """Return the claim that an effect on an attack's accuracy is positive, by every rule."""
        fields |= {"attack": attack, "measure": "accuracy", "label": -1}
        by_rule = {rule: self.values(rule=rule, **fields) for rule in RULES}
        return self.of(text, by_rule)

    def of(self, text: str, by_rule: Mapping[str, Sequence[float]]) -> Claim:
        """Return the claim that the mean of one number per seed is positive, by every rule."""
        also = tuple(tuple(by_rule[rule]) for rule in RULES if rule != self.own)
        claim = over_runs(text, "difference in balanced accuracy", by_rule[self.own], MARGIN)
        return replace(claim, also=also, source=self.source)


def under_rules(
    lab: Lab, experiments: Iterable[Experiment], attacks: Sequence[str] = ("samia",)
) -> UnderRules:
    """Return the effects under each stopping rule, from results/ where a table there has them."""
    asked = list(experiments)
    todo = [exp.replace(stopping=rule) for rule in RULES for exp in asked]
    source, table = results.effects(lab, todo, attacks)
    return UnderRules(asked[0].stopping, table, source)


def fine_tuning_or_pruning(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test what the total effect on SAMIA is made of (the total: `leakage_over_sparsity`)."""
    found = under_rules(lab, runs(exp, seeds))
    return family(
        found.claim(EFFECT_TEXTS[effect].format(attack=named("samia")), effect=effect)
        for effect in ("training", "pruning")
    )


def by_the_strongest(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test the three effects on the strongest of three attacks, on seeds that did not choose it."""
    found = under_rules(lab, runs(exp, seeds), ATTACKS)
    own = found.table[found.table["stopping"] == found.own]
    name, fresh = strongest(own)
    rest = replace(found, table=found.table[found.table["seed"].isin(fresh)])
    if not fresh:
        return []
    text = f"the strongest attack ({name}, fresh seeds)"
    return family(
        rest.claim(said.format(attack=text), name, effect=effect)
        for effect, said in EFFECT_TEXTS.items()
    )


def strongest(table: pd.DataFrame, measure: str = "accuracy") -> tuple[str, list[int]]:
    """Return the strongest attack on the pruned networks, and the seeds that did not choose it.

    ``table``: of `Lab.effects` on one experiment. The first half of the seeds chooses: a maximum
    over attacks is too high on the seeds that chose it.
    """
    rows = table[(table["measure"] == measure) & (table["label"] == -1) & (table["attack"] != "")]
    seeds = sorted(int(seed) for seed in rows["seed"].unique())
    half = (len(seeds) + 1) // 2
    choosing = rows[rows["seed"].isin(seeds[:half])]
    return str(choosing.groupby("attack")["pruned"].mean().idxmax()), seeds[half:]


def control_under_rules(
    lab: Lab, exp: Experiment, seeds: int, attack: str = "samia", measure: str = "accuracy"
) -> list[Agreement]:
    """Test the three claims under each stopping rule, each rule a family of its own.

    Read from results/ where a table there has these very experiments, else computed.
    """
    found = under_rules(lab, runs(exp, seeds), [attack])
    claims = {
        rule: effect_claims(found.table[found.table["stopping"] == rule], attack, measure)
        for rule in RULES
    }
    return [
        Agreement(
            text.format(attack=named(attack)),
            {rule: claims[rule][i] for rule in RULES},
            found.source,
        )
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

    That is, a training accuracy of at least `FITTED` on the mean over runs, and a test accuracy at
    most `LOST` below the original's: outside where the whole interval of the loss lies above that,
    at the edge where only its mean does.
    """
    train, lost = fitted_and_lost(table)
    said = "at the edge of the paper's regime"
    if in_regime(train, lost):
        said = "in the paper's regime"
    elif train < FITTED or lost.low > LOST:
        said = "outside of the paper's regime"
    return f"{said} (training accuracy {train:.3f}, loss of test accuracy {lost})"


def in_regime(train: float, lost: Estimate) -> bool:
    """Tell whether pruned networks fit their members and lose little, on the mean over runs."""
    return train >= FITTED and round(lost.value, 6) <= LOST


def fitted_and_lost(table: pd.DataFrame) -> tuple[float, Estimate]:
    """Return the pruned networks' training accuracy, and the test accuracy lost by pruning.

    ``table``: of `Lab.effects` on one experiment.
    """
    rows = table.drop_duplicates(["seed", "measure"])
    train = rows.loc[rows["measure"] == "train accuracy", "pruned"].mean()
    test = rows[rows["measure"] == "test accuracy"]
    return round(float(train), 6), over_seeds((test["original"] - test["pruned"]).tolist())
