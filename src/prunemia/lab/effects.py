"""What pruning and fine-tuning do to the leak, told apart by the control.

The control (``pruner="dense"``) is the original network fine-tuned exactly as the pruned one, with
nothing removed. Within a run every measure of leakage then has three effects,

    total     pruned − original     what Yuan & Zhang (2022) report,
    training  dense − original      what fine-tuning alone does,
    pruning   pruned − dense        what removing weights does, at equal training,

and total = training + pruning. All three networks answer the same samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from prunemia import divergence
from prunemia.experiment import Experiment
from prunemia.lab.attacking import AttackResult
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

Measured = dict[tuple[str, str, int], float]
"""(measure, attack or "", class or `OVERALL`) → value."""


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
        measured = {
            level: _measured(context, Step("signals", *network), attacks)
            for level, network in networks(exp).items()
        }
        for key in measured["original"]:
            known = fields(exp) | dict(zip(("measure", "attack", "label"), key, strict=True))
            levels = {level: measured[level][key] for level in LEVELS}
            for effect, (end, start) in EFFECTS.items():
                value = levels[end] - levels[start]
                rows.append({**known, **levels, "effect": effect, "value": value})
    columns = [*FIELDS, "measure", "attack", "label", *LEVELS, "effect", "value"]
    return pd.DataFrame(rows, columns=columns)


def as_effects(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `LEVELS` over all classes with one row per effect, as `effects` does."""
    parts = [
        table.assign(label=OVERALL, effect=name, value=table[end] - table[start])
        for name, (end, start) in EFFECTS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _measured(context: Context, step: Step, attacks: Sequence[str]) -> Measured:
    """Return every measure of one network."""
    signals: Signals = context.value(step)
    accuracy = context.value(Step(step.of, step.exp, step.of))[0].accuracy
    values: Measured = {
        (f"{part} accuracy", "", OVERALL): accuracy[part] for part in ("train", "test")
    }
    values |= leakage(signals)
    for name in attacks:
        result = context.value(attack_step(step.exp, name, step.of))
        values |= {(m, name, label): v for (m, label), v in attacked(result, signals).items()}
    return values


def leakage(signals: Signals) -> Measured:
    """Return how differently members and non-members are answered, overall and per class.

    Scale-free distances: the Kolmogorov–Smirnov distance, and the AUC of telling members by it
    (by large confidence, by small sensitivity); and the generalization gap.
    """
    member = signals.require_membership()
    quantities = {
        "confidence": divergence.confidence(signals),
        "sensitivity": -divergence.sensitivity(signals),
    }
    right = divergence.correctness(signals)
    values: Measured = {}
    for label, part in _parts(signals):
        sides = member[part]
        for name, quantity in quantities.items():
            x, auc = quantity[part], _auc(quantity[part], sides)
            inside, outside = x[sides], x[~sides]
            values[f"{name} KS", "", label] = (
                np.nan if np.isnan(auc) else float(ks_2samp(inside, outside).statistic)
            )
            values[f"{name} AUC", "", label] = auc
        inside, outside = _means(right[part], sides)
        values["generalization gap", "", label] = inside - outside
    return values


def attacked(result: AttackResult, signals: Signals) -> dict[tuple[str, int], float]:
    """Return how right an attack is: accuracy, AUC, TPR overall; the first two per class."""
    evaluation = result.evaluation
    values = {
        ("accuracy", OVERALL): evaluation.accuracy.value,
        ("AUC", OVERALL): evaluation.auc.value,
    }
    values |= {(f"TPR at {fpr:g}", OVERALL): e.value for fpr, e in evaluation.tpr.items()}
    right = result.predictions == result.membership
    for label, part in _parts(signals):
        if label != OVERALL:
            sides = result.membership[part]
            values["accuracy", label] = sum(_means(right[part], sides)) / 2
            ranks = evaluation.auc.resolved
            values["AUC", label] = _auc(result.scores[part], sides) if ranks else np.nan
    return values


def _parts(signals: Signals) -> Iterator[tuple[int, np.ndarray]]:
    """Yield all samples, and those of each class."""
    yield OVERALL, np.ones(len(signals), dtype=bool)
    for label in range(signals.classes):
        yield label, signals.labels == label


def _auc(values: np.ndarray, member: np.ndarray) -> float:
    """Return the AUC, NaN where there is only one side."""
    if member.all() or not member.any():
        return np.nan
    return float(roc_auc_score(member, values))


def _means(right: np.ndarray, member: np.ndarray) -> tuple[float, float]:
    """Return the shares of members and of non-members, NaN where there is only one side."""
    if member.all() or not member.any():
        return np.nan, np.nan
    return float(right[member].mean()), float(right[~member].mean())
