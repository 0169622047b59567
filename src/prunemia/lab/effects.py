"""What pruning and fine-tuning do to the leak, told apart by the control.

The control (``pruner="dense"``) is the original fine-tuned as the pruned network is, with nothing
removed. Within a run every measure of leakage then has three effects, all on the same samples:

    total     pruned − original     what Yuan & Zhang (2022) report: training + pruning
    training  dense − original      what fine-tuning alone does
    pruning   pruned − dense        what removing weights does, at equal training
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from prunemia import divergence
from prunemia.experiment import Experiment
from prunemia.lab.steps import Release, Step, attack_step
from prunemia.signals import Signals

Row = dict[str, Any]
Case = tuple[Row, Sequence[Step], Callable[..., Iterable[Row]]]
"""What rows have in common, the steps to what they are read off, and how they are read."""

EFFECTS = {
    "total": ("pruned", "original"),
    "training": ("dense", "original"),
    "pruning": ("pruned", "dense"),
}
LEVELS = ("original", "dense", "pruned")
OVERALL = -1  # in the column ``label``: over all classes
FIELDS = ("dataset", "model", "width", "pruner", "sparsity", "defense", "stopping", "seed")


def dense(exp: Experiment) -> Experiment:
    """Return the control of an experiment; its adversary, if any, is left out."""
    return exp.replace(pruner="dense", adversary=None)


def fields(exp: Experiment) -> dict[str, Any]:
    """Return the experiment's `FIELDS`; the width is the network's own where none is given."""
    values = exp.model_dump(mode="json", include=set(FIELDS)) | {"width": exp.channels}
    return {name: values[name] for name in FIELDS}


def networks(exp: Experiment) -> dict[str, Release]:
    """Return the networks of `LEVELS` by name: of which experiment, and which of its two."""
    levels: list[Release] = [(exp, "original"), (dense(exp), "pruned"), (exp, "pruned")]
    return dict(zip(LEVELS, levels, strict=True))


def cases(exp: Experiment, attacks: Sequence[str]) -> Iterator[Case]:
    """Yield how an experiment's measures are read: a row each, with its value on each level."""
    size = 2 + len(attacks)
    steps: list[Step] = []
    for each, of in networks(exp).values():
        asked = [attack_step(each, name, of) for name in attacks]
        steps += [Step(of, each, of), Step("signals", each, of), *asked]

    def read(*found: Any) -> Iterator[Row]:
        by_level: dict[str, dict[str, dict[str, float]]] = {}
        for level, start in zip(LEVELS, range(0, len(found), size), strict=True):
            trained, signals, *results = found[start : start + size]
            values = {f"{part} accuracy": trained[0].accuracy[part] for part in ("train", "test")}
            by_level[level] = {"": values | leakage(signals)}
            for name, result in zip(attacks, results, strict=True):
                by_level[level][name] = result.evaluation.measures()
        for attack, measures in by_level["original"].items():
            for measure in measures:
                values = {level: by_level[level][attack][measure] for level in LEVELS}
                yield {"measure": measure, "attack": attack, **values}

    yield fields(exp), steps, read


def as_effects(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `LEVELS` over all classes with one row per effect."""
    parts = [
        table.assign(label=OVERALL, effect=name, value=table[end] - table[start])
        for name, (end, start) in EFFECTS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def leakage(signals: Signals) -> dict[str, float]:
    """Return KS distances and AUCs of confidence and sensitivity, and the generalization gap."""
    member, values = signals.require_membership(), {}
    confidence, sensitivity = divergence.confidence(signals), divergence.sensitivity(signals)
    for name, x in (("confidence", confidence), ("sensitivity", -sensitivity)):
        values[f"{name} KS"] = float(ks_2samp(x[member], x[~member]).statistic)
        values[f"{name} AUC"] = float(roc_auc_score(member, x))
    right = divergence.correctness(signals)
    values["generalization gap"] = float(right[member].mean()) - float(right[~member].mean())
    return values
