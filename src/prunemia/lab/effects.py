"""What pruning and fine-tuning do to the leak, told apart by the control.

The control (``pruner="dense"``) is the original network fine-tuned exactly as the pruned one, with
nothing removed. Within a run every measure of leakage then has three effects,

    total     pruned − original     what Yuan & Zhang (2022) report,
    training  dense − original      what fine-tuning alone does,
    pruning   pruned − dense        what removing weights does, at equal training,

and total = training + pruning. All three networks answer the same samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from prunemia import divergence
from prunemia.experiment import Experiment
from prunemia.lab.context import Context
from prunemia.lab.steps import Of, Step, attack_step
from prunemia.signals import Signals

EFFECTS = {
    "total": ("pruned", "original"),
    "training": ("dense", "original"),
    "pruning": ("pruned", "dense"),
}
"""Each effect: the level that is reached, minus the level that it starts from."""
LEVELS = ("original", "dense", "pruned")
OVERALL = -1
"""In the column ``label``: over all classes."""
FIELDS = ("dataset", "model", "width", "pruner", "sparsity", "defense", "stopping", "seed")


def dense(exp: Experiment) -> Experiment:
    """Return the control of an experiment; its adversary, if any, is left out."""
    return exp.replace(pruner="dense", adversary=None)


def fields(exp: Experiment) -> dict[str, Any]:
    """Return the experiment's `FIELDS`; the width is the network's own where none is given."""
    values = exp.model_dump(mode="json", include=set(FIELDS)) | {"width": exp.channels}
    return {name: values[name] for name in FIELDS}


def networks(exp: Experiment) -> dict[str, tuple[Experiment, Of]]:
    """Return the networks of `LEVELS` by name: of which experiment, and which of its two."""
    return {
        "original": (exp, "original"),
        "dense": (dense(exp), "pruned"),
        "pruned": (exp, "pruned"),
    }


def steps(exp: Experiment, attacks: Sequence[str]) -> list[Step]:
    """Return what is to be computed for the effects on one experiment."""
    held = networks(exp).values()
    asked = [attack_step(each, name, of) for each, of in held for name in attacks]
    return [*(Step("signals", each, of) for each, of in held), *asked]


def effects(
    context: Context, experiments: Iterable[Experiment], attacks: Sequence[str]
) -> pd.DataFrame:
    """Return the effects on every measure: `Lab.effects`."""
    rows = []
    for exp in experiments:
        found = {n: _measured(context, *network, attacks) for n, network in networks(exp).items()}
        for measure, attack in found["original"]:
            known = fields(exp) | {"measure": measure, "attack": attack, "label": OVERALL}
            known |= {level: found[level][measure, attack] for level in LEVELS}
            for effect, (end, start) in EFFECTS.items():
                rows.append(known | {"effect": effect, "value": known[end] - known[start]})
    return pd.DataFrame(rows)


def as_effects(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `LEVELS` over all classes with one row per effect, as `effects` does."""
    parts = [
        table.assign(label=OVERALL, effect=name, value=table[end] - table[start])
        for name, (end, start) in EFFECTS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _measured(
    context: Context, exp: Experiment, of: Of, attacks: Sequence[str]
) -> dict[tuple[str, str], float]:
    """Return every measure of one network, by measure and attack ("": none)."""
    accuracy = context.value(Step(of, exp, of))[0].accuracy
    values = {(f"{part} accuracy", ""): accuracy[part] for part in ("train", "test")}
    leak = leakage(context.value(Step("signals", exp, of)))
    values |= {(measure, ""): value for measure, value in leak.items()}
    for name in attacks:
        found = context.value(attack_step(exp, name, of)).evaluation.measures()
        values |= {(measure, name): value for measure, value in found.items()}
    return values


def leakage(signals: Signals) -> dict[str, float]:
    """Return how differently members and non-members are answered.

    Kolmogorov–Smirnov distances, AUCs of telling members by large confidence or small sensitivity,
    and the generalization gap.
    """
    member = signals.require_membership()
    quantities = {
        "confidence": divergence.confidence(signals),
        "sensitivity": -divergence.sensitivity(signals),
    }
    values = {}
    for name, x in quantities.items():
        values[f"{name} KS"] = float(ks_2samp(x[member], x[~member]).statistic)
        values[f"{name} AUC"] = float(roc_auc_score(member, x))
    right = divergence.correctness(signals)
    values["generalization gap"] = float(right[member].mean()) - float(right[~member].mean())
    return values
