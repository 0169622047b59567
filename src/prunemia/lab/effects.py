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
from prunemia.lab.pipeline import Pipeline
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
    pipeline: Pipeline, experiments: Iterable[Experiment], attacks: Sequence[str]
) -> pd.DataFrame:
    """Return the effects on every measure: `Lab.effects`."""
    rows = [row for exp in experiments for row in _rows(pipeline, exp, attacks)]
    columns = [*FIELDS, "measure", "attack", "label", *LEVELS, "effect", "value"]
    return pd.DataFrame(rows, columns=columns)


def as_effects(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `LEVELS` over all classes with one row per effect, as `effects` does."""
    parts = [
        table.assign(label=OVERALL, effect=name, value=table[end] - table[start])
        for name, (end, start) in EFFECTS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _rows(pipeline: Pipeline, exp: Experiment, attacks: Sequence[str]) -> Iterator[dict[str, Any]]:
    measured = {
        level: _measured(pipeline, Step("signals", *network), attacks)
        for level, network in networks(exp).items()
    }
    known = fields(exp)
    for (measure, attack, label), _ in measured["original"].items():
        levels = {name: measured[name][measure, attack, label] for name in LEVELS}
        for effect, (end, start) in EFFECTS.items():
            yield {
                **known,
                "measure": measure,
                "attack": attack,
                "label": label,
                **levels,
                "effect": effect,
                "value": levels[end] - levels[start],
            }


def _measured(pipeline: Pipeline, step: Step, attacks: Sequence[str]) -> Measured:
    """Return every measure of one network."""
    signals: Signals = pipeline.value(step)
    network = pipeline.value(Step(step.of, step.exp, step.of))[0]
    values: Measured = {
        (f"{part} accuracy", "", OVERALL): network.accuracy[part] for part in ("train", "test")
    }
    values |= leakage(signals)
    for name in attacks:
        result = pipeline.value(attack_step(step.exp, name, step.of))
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
            x = quantity[part]
            values[f"{name} KS", "", label] = _distance(x, sides)
            values[f"{name} AUC", "", label] = _auc(x, sides)
        values["generalization gap", "", label] = _gap(right[part], sides)
    return values


def attacked(result: AttackResult, signals: Signals) -> dict[tuple[str, int], float]:
    """Return how right an attack is: accuracy, AUC, TPR overall; the first two per class."""
    evaluation = result.evaluation
    values = {
        ("accuracy", OVERALL): evaluation.accuracy.value,
        ("AUC", OVERALL): evaluation.auc.value,
    }
    values |= {(f"TPR at {fpr:g}", OVERALL): e.value for fpr, e in evaluation.tpr.items()}
    ranks = evaluation.auc.resolved
    for label, part in _parts(signals):
        if label != OVERALL:
            member, right = result.membership[part], (result.predictions == result.membership)[part]
            values["accuracy", label] = _balanced(right, member)
            values["AUC", label] = _auc(result.scores[part], member) if ranks else np.nan
    return values


def _parts(signals: Signals) -> Iterator[tuple[int, np.ndarray]]:
    """Yield all samples, and those of each class."""
    yield OVERALL, np.ones(len(signals), dtype=bool)
    for label in range(signals.classes):
        yield label, signals.labels == label


def _distance(values: np.ndarray, member: np.ndarray) -> float:
    if member.all() or not member.any():
        return np.nan
    return float(ks_2samp(values[member], values[~member]).statistic)


def _auc(values: np.ndarray, member: np.ndarray) -> float:
    if member.all() or not member.any():
        return np.nan
    return float(roc_auc_score(member, values))


def _gap(right: np.ndarray, member: np.ndarray) -> float:
    if member.all() or not member.any():
        return np.nan
    return float(right[member].mean() - right[~member].mean())


def _balanced(right: np.ndarray, member: np.ndarray) -> float:
    if member.all() or not member.any():
        return np.nan
    return float(right[member].mean() + right[~member].mean()) / 2
