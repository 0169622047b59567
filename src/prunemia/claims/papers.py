"""The paper's claims on the divergence, on SAMIA, on what the adversary knows, and on PPB.

All read a table of `prunemia.results.papers`, whose networks are pruned to one sparsity.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from prunemia.claims.base import MARGIN, PAPERS_ATTACKS, RULES, TEST_MARGIN, Claim
from prunemia.claims.effects import OWN, by_rule, where

SAMIA = "balanced accuracy of SAMIA"
DIVERGENCE = {
    "change": (
        "divergence",
        "Pruning and fine-tuning increase the divergence in {name}",
        "relative change, original to pruned",
    ),
    "spread": (
        "classes",
        "The divergence in {name} of a pruned network differs from class to class",
        "standard deviation over classes − that of shuffled classes",
    ),
}
"""Each statistic of a table: the claim's id, the claim, and what is compared."""


def divergence(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield that the divergence grows, and that it differs from class to class (section 4)."""
    for statistic, (known, text, comparison) in DIVERGENCE.items():
        for name, at in where(table, statistic=statistic).groupby("name", sort=False):
            yield Claim(
                f"{known}-{str(name).split(' ')[-1]}",
                text.format(name=name),
                by_rule(at, "value"),
                measure=f"divergence in {name}",
                comparison=comparison,
                margin=0,
                sparsity=float(at["sparsity"].iloc[0]),
                ruled=True,
                paper=True,
            )


def samia_ahead(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield that SAMIA beats each of the other attacks on pruned networks (section 5)."""
    wide = _accuracies(table, "accuracy")
    for name in PAPERS_ATTACKS:
        if name in wide and name not in ("samia", "conf"):  # conf: the tables of the control
            yield _once(
                f"samia-{name}",
                f"SAMIA is more accurate than {name} on pruned networks",
                wide["samia"] - wide[name],
                f"SAMIA − {name}",
                paper=True,
            )


def samia_and_conf(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield that SAMIA beats the threshold on confidence; a table of levels."""
    rows = where(table, **OWN, measure="accuracy", sparsity=0.7, stopping=RULES[0])
    wide = rows.pivot(index="seed", columns="attack", values="pruned")
    yield _once(
        "samia-conf",
        "SAMIA is more accurate than conf on pruned networks",
        wide["samia"] - wide["conf"],
        "SAMIA − conf",
        paper=True,
    )


def knowledge(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield that an adversary who is wrong about pruning finds members, but fewer (section 6)."""
    informed = _accuracies(table, "accuracy")["samia"]
    misled = _accuracies(table, "assumed")
    for guess in misled:
        slug = str(guess).replace("sparsity ", "").replace(" ", "-")
        yield _once(
            f"misled-{slug}",
            f"SAMIA finds members though it assumes {guess}",
            misled[guess] - 0.5,
            "SAMIA − ½",
            paper=True,
        )
        yield _once(
            f"knowing-{slug}",
            f"Assuming {guess} costs SAMIA accuracy",
            informed - misled[guess],
            "informed − misled",
            paper=True,
        )


def ppb(table: pd.DataFrame) -> Iterator[Claim]:
    """Yield that PPB at its default strength lowers accuracies and keeps the victim's (section 7).

    That it keeps the sparsity holds by construction, so it is no claim.
    """
    plain, test = _accuracies(table, "accuracy"), _accuracies(table, "test")
    note = f"test accuracy {(test['ppb'] - test['no defense']).mean():+.3f}"
    for adversary, article in (("non-adaptive", "a"), ("adaptive", "an")):
        protected = _accuracies(table, adversary)
        for name in protected:
            yield _once(
                f"ppb-{name}-{adversary}",
                f"PPB lowers the accuracy of {name} for {article} {adversary} adversary",
                plain[name] - protected[name],
                "no defense − PPB",
                paper=True,
                measure=f"balanced accuracy of {name}",
                note=note,
            )
    # The margin is in the effect already: losing less than it is keeping the accuracy.
    yield _once(
        "ppb-price",
        "PPB keeps the test accuracy",
        TEST_MARGIN - (test["no defense"] - test["ppb"]),
        f"{TEST_MARGIN:g} − loss of test accuracy",
        paper=True,
        measure="test accuracy",
        margin=0,
    )


def _once(
    known: str,
    text: str,
    values: pd.Series,
    comparison: str,
    *,
    paper: bool = False,
    measure: str = SAMIA,
    margin: float = MARGIN,
    note: str = "",
) -> Claim:
    """Return a claim that no stopping rule is about, from one value per run."""
    found = tuple(float(value) for value in values.sort_index().dropna())
    values_by_rule = {RULES[0]: found}
    return Claim(
        known, text, values_by_rule, measure, comparison, margin, 0.7, paper=paper, note=note
    )


def _accuracies(table: pd.DataFrame, statistic: str) -> pd.DataFrame:
    rows = where(table, statistic=statistic, stopping=RULES[0])
    return rows.pivot(index="seed", columns="name", values="value")
