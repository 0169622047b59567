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
from prunemia.lab.attacking import AttackResult
from prunemia.lab.networks import TrainedModel
from prunemia.lab.steps import Of, Step, attack_step
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


def networks(exp: Experiment) -> dict[str, tuple[Experiment, Of]]:
    """Return the networks of `LEVELS` by name: of which experiment, and which of its two."""
    levels: list[tuple[Experiment, Of]]
    levels = [(exp, "original"), (dense(exp), "pruned"), (exp, "pruned")]
    return dict(zip(LEVELS, levels, strict=True))


def cases(exp: Experiment, attacks: Sequence[str]) -> Iterator[Case]:
    """Yield how an experiment's measures are read: a row each, with its value on each level."""
    size = 2 + len(attacks)
    steps: list[Step] = []
    for each, of in networks(exp).values():
        asked = [attack_step(each, name, of) for name in attacks]
        steps += [Step(of, each, of), Step("signals", each, of), *asked]

    def read(*found: Any) -> Iterator[Row]:
        parts = [found[start : start + size] for start in range(0, len(found), size)]
        measured = dict(zip(LEVELS, (_measured(attacks, *part) for part in parts), strict=True))
        for measure, attack in measured["original"]:
            values = {level: measured[level][measure, attack] for level in LEVELS}
            yield {"measure": measure, "attack": attack, **values}

    yield fields(exp), steps, read


def as_effects(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `LEVELS` over all classes with one row per effect."""
    parts = [
        table.assign(label=OVERALL, effect=name, value=table[end] - table[start])
        for name, (end, start) in EFFECTS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _measured(
    attacks: Sequence[str],
    trained: Sequence[TrainedModel],
    signals: Signals,
    *results: AttackResult,
) -> dict[tuple[str, str], float]:
    """Return every measure of one network, by measure and attack ("": none)."""
    accuracy = trained[0].accuracy
    values = {(f"{part} accuracy", ""): accuracy[part] for part in ("train", "test")}
    values |= {(measure, ""): value for measure, value in leakage(signals).items()}
    for name, result in zip(attacks, results, strict=True):
        found = result.evaluation.measures()
        values |= {(measure, name): value for measure, value in found.items()}
    return values


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
