"""The paper's claims on its defense, PPB, and what the pages on defenses share: the experiments, and a choice."""

from __future__ import annotations

import pandas as pd

from prunemia import pruning
from prunemia.claims.base import Claim, accuracies, family, minus, over_runs, runs
from prunemia.experiment import Adversary, Experiment
from prunemia.kinds import DEFENSES
from prunemia.lab import Lab
from prunemia.metrics import Estimate

ALLOWED_LOSS = 0.02
"""The loss of test accuracy, 0 … 1, up to which PPB counts as keeping it."""

ADVERSARIES = {"non-adaptive": False, "adaptive": True}
"""Whether the adversary's shadow networks are fine-tuned under the victim's defense."""


def defended(
    exp: Experiment, name: str, *, adaptive: bool = True, strength: float | None = None
) -> Experiment:
    """Return the experiment with a defense; ``strength`` None: its default, written out.

    A non-adaptive adversary prunes its shadow networks without the defense (Yuan & Zhang 2022,
    section 7).
    """
    if name == "none":
        return exp.replace(defense=name, strength=None, adversary=None)
    chosen = DEFENSES[name].strength.default if strength is None else float(strength)
    believed = None if adaptive else Adversary(defense="none")
    return exp.replace(defense=name, strength=chosen, adversary=believed)


def ppb_protects(lab: Lab, exp: Experiment, seeds: int) -> list[Claim]:
    """Test that PPB at its default strength lowers what the attacks reach, and what it keeps (section 7).

    All but the last claim are t-tests over seeds, corrected together. The last is a count, not a
    test: every run keeps the sparsity to the weight, or the claim is contradicted.
    """
    plain = [defended(run, "none") for run in runs(exp, seeds)]
    tested = []
    for who, adaptive in ADVERSARIES.items():
        protected = [defended(run, "ppb", adaptive=adaptive) for run in plain]
        for name in ("samia", "conf"):
            lowered = minus(accuracies(lab, plain, name), accuracies(lab, protected, name))
            text = (
                f"PPB lowers the accuracy of {name} for {'an' if adaptive else 'a'} {who} adversary"
            )
            tested.append(over_runs(text, "balanced accuracy, none − PPB", lowered))
    networks = [(lab.pruned(run), lab.pruned(defended(run, "ppb"))) for run in plain]
    kept = [
        ALLOWED_LOSS - (before.accuracy["test"] - after.accuracy["test"])
        for before, after in networks
    ]
    tested.append(
        over_runs("PPB keeps the test accuracy", f"{ALLOWED_LOSS:g} − loss of test accuracy", kept)
    )
    back = [regained(lab, defended(run, "ppb")) for run in plain]
    return [*family(tested), _keeps_sparsity(sum(count > 0 for count in back), len(back))]


def regained(lab: Lab, exp: Experiment) -> int:
    """Return how many of the victim's weights that pruning removed are not zero after fine-tuning."""
    masks = pruning.prune(lab.original(exp).module, exp.pruner, exp.sparsity)
    tuned = dict(lab.pruned(exp).module.named_parameters())
    return sum(
        int(tuned[name][~keep.to(tuned[name].device)].count_nonzero())
        for name, keep in masks.keep.items()
    )


def choice(table: pd.DataFrame, allowed: float = 0.05) -> str:
    """Return the defense that lowers the strongest attack most and costs at most ``allowed`` test accuracy.

    ``table``: one row a defense, "none" among them; columns defense, test and accuracy (of the
    attack), 0 … 1. The result is "none" where no defense does better. Of several that do as well,
    the one with more test accuracy.
    """
    test = table.set_index("defense")["test"]
    affordable = table[table["test"] >= test["none"] - allowed]
    return str(
        affordable.sort_values(["accuracy", "test"], ascending=[True, False])["defense"].iloc[0]
    )


def _keeps_sparsity(missed: int, count: int) -> Claim:
    effect = Estimate(-missed / count if missed else 1.0, note="counted, not estimated")
    return Claim(
        "PPB keeps the sparsity to the weight",
        "1: in all runs; else −share of runs that miss",
        effect,
        0.0,
    )
