"""Tables of test accuracy against the leak: every way to prune, to fine-tune and to defend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from prunemia.experiment import Adversary, Experiment
from prunemia.lab import Lab, validation
from prunemia.lab.effects import dense
from prunemia.lab.steps import Of, Step, attack_step
from prunemia.registry import DEFENSES, PRUNERS

WAY = ("pruner", "sparsity", "defense", "strength", "whole", "stopping", "finetune_epochs")
"""The columns that tell one way to make a network from another."""
MEASURES = ("accuracy", "auc", "tpr@0.01")
VALIDATION = tuple(f"validation_{name}" for name in MEASURES)
"""The same measures of the leak of validation samples, under defenses that train on them."""
ORIGINAL = "none"
"""In the column ``pruner``: the original network, before pruning and fine-tuning."""
ADAPTIVE, NAIVE = "adaptive", "non-adaptive"
"""In the column ``adversary``: whether the shadow networks are defended as the victim is."""


def ways(exp: Experiment) -> list[Experiment]:
    """Return the experiments that a page compares where no table has more of them.

    Dense fine-tuning, pruning without a defense, and each defense at its default strength, for an
    adversary who knows of it and for one who does not.
    """
    plain = exp.replace(defense="none", strength=None, whole=False, adversary=None)
    defended = [
        plain.replace(defense=name, strength=kind.strength.default, adversary=believed)
        for name, kind in DEFENSES.items()
        if name != "none" and not (name == "earlystop" and exp.stopping == "last")
        for believed in (None, Adversary(defense="none"))
    ]
    return [dense(plain), plain, *defended]


def steps(exp: Experiment, attacks: Sequence[str]) -> dict[Experiment, list[Step]]:
    """Return what is to be computed for `tradeoffs` of `ways`, by experiment."""
    return {
        each: [
            attack_step(each, name, of)
            for name in attacks
            for of in (("pruned", "original") if _control(each) else ("pruned",))
        ]
        for each in ways(exp)
    }


def tradeoffs(lab: Lab, experiments: Sequence[Experiment], attacks: Sequence[str]) -> pd.DataFrame:
    """Return test accuracy and leak of every experiment's victim: one row per attack.

    Columns: dataset, model, `WAY`, seed, adversary ("adaptive", "non-adaptive"), test_accuracy,
    epsilon (of DP-SGD, else missing), attack, accuracy, auc, tpr@0.01; and `VALIDATION`: how well
    the attack tells validation from test samples, missing but for defenses that train on them.
    Where the control is among the experiments, its original networks are added.
    """
    todo = list(experiments)
    controls = [exp for exp in todo if _control(exp)]
    lab.map(todo, attacks)  # computes, on the lab's scheduler
    lab.map(controls, attacks, of="original")
    rows = [row for exp in todo for row in _rows(lab, exp, "pruned", attacks)]
    rows += [row for exp in controls for row in _rows(lab, exp, "original", attacks)]
    return pd.DataFrame(rows).astype(dict.fromkeys(VALIDATION, float)).round(4)


def _control(exp: Experiment) -> bool:
    return PRUNERS[exp.pruner].control and exp.defense == "none"


def label(exp: Experiment) -> dict[str, Any]:
    """Return the columns that tell an experiment from all others of a table."""
    return {
        "dataset": exp.dataset,
        "model": exp.model,
        "pruner": exp.pruner,
        "sparsity": exp.sparsity,
        "defense": exp.defense,
        "strength": exp.defense_strength,
        "whole": exp.whole,
        "stopping": exp.stopping,
        "finetune_epochs": exp.tuning_epochs,
        "seed": exp.seed,
        "adversary": ADAPTIVE if exp.adversary is None else NAIVE,
    }


def _rows(lab: Lab, exp: Experiment, of: Of, attacks: Sequence[str]) -> Iterator[dict[str, Any]]:
    victim = lab.original(exp) if of == "original" else lab.pruned(exp)
    known = label(exp) | {"pruner": exp.pruner if of == "pruned" else ORIGINAL}
    known |= {"test_accuracy": victim.accuracy["test"], "epsilon": victim.privacy.get("epsilon")}
    moves = of == "pruned" and DEFENSES[exp.defense].uses_validation
    moved = validation.leaks(lab.pipeline, exp, attacks) if moves else {}
    for attack in attacks:
        of_members = lab.attack(exp, attack, of).evaluation.row()
        of_validation = moved[attack].row() if moved else {}
        yield {
            **known,
            "attack": attack,
            **{name: of_members[name] for name in MEASURES},
            **dict(zip(VALIDATION, (of_validation.get(name) for name in MEASURES), strict=True)),
        }
