"""Tables of what several releases of one network give away, together and each alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from prunemia.experiment import Experiment
from prunemia.lab import Lab, releases
from prunemia.lab.effects import dense, fields
from prunemia.lab.steps import Release, Step, attack_step
from prunemia.metrics import Evaluation
from prunemia.registry import ATTACKS

SPARSITIES = (0.5, 0.7, 0.9)
"""Releases of one network at several sparsities."""
BITS = (8, 4, 2)
"""To how many bits weights are rounded, and to how many those of a quantized copy."""
COPY = 4
ROUNDS = 4
"""Rounds of pruning that are compared with one shot; fewer where there are fewer epochs."""
MAIN = ("original", "dense", "pruned", "original + dense", "original + pruned")
"""The releases that attacks by sensitivities are fitted on as well, which take longest."""
SHORT = (
    "original", "dense", "pruned", "original + pruned", "pruned, 2 bits", "one shot", "rounds"
)  # fmt: skip
"""What a page compares where no table has more: it computes these itself."""
FPR = 0.01
"""The false-positive rate at which members found are counted."""

Options = Mapping[str, Any]


def released(
    lab: Lab,
    experiments: Sequence[Experiment],
    attacks: Sequence[str],
    only: Collection[str] = (),
) -> pd.DataFrame:
    """Return how much releases give away, alone and together: one row per measure.

    Columns: the experiment's fields; release (what the adversary holds: a name of `cases`); held,
    how many networks that are; attack (on several releases also "conf, difference" and "conf,
    change"); measure ("accuracy", "AUC", "TPR at 0.01"); value; test_accuracy of the victim, where
    several are held that of the last. ``only``: the releases wanted; none: all.
    """
    lab.run(step for exp in experiments for step in steps(exp, attacks, only))
    return pd.DataFrame([row for exp in experiments for row in _rows(lab, exp, attacks, only)])


def cases(exp: Experiment, only: Collection[str] = ()) -> dict[str, list[Release]]:
    """Return what the adversary holds, by name.

    "one shot", "rounds", "rewound" and their controls fine-tune for as many epochs as one another:
    all that are allowed, of which the last is kept.
    """
    control, pruned = dense(exp), (exp, "pruned")
    found: dict[str, list[Any]] = {
        "original": [(exp, "original")],
        "dense": [(control, "pruned")],
        "pruned": [pruned],
        "original + dense": [(exp, "original"), (control, "pruned")],
        "original + pruned": [(exp, "original"), pruned],
    }
    levels = {f"{s:g}": (exp.replace(sparsity=s), "pruned") for s in SPARSITIES}
    found |= {f"pruned to {s}": [release] for s, release in levels.items()}
    found[" + ".join(levels)] = list(dict.fromkeys(levels.values()))
    for bits in BITS:
        found[f"original, {bits} bits"] = [(exp.replace(bits=bits), "original")]
        found[f"pruned, {bits} bits"] = [(exp.replace(bits=bits), "pruned")]
        before = exp.replace(bits=bits, quantize="before")
        found[f"{bits} bits, then pruned"] = [(before, "pruned")]
    found[f"pruned + its {COPY} bits"] = [pruned, (exp.replace(bits=COPY), "pruned")]
    found |= {name: [(each, "pruned")] for name, each in _at_equal_epochs(exp).items()}
    return {name: held for name, held in found.items() if not only or name in only}


def _at_equal_epochs(exp: Experiment) -> dict[str, Experiment]:
    """Return networks that are fine-tuned for as many epochs, without choosing one of them."""
    shot = _unselected(exp)
    turns = min(ROUNDS, exp.tuning_epochs)
    found = {"one shot": shot, "rounds": shot.replace(rounds=turns)}
    found["dense, rounds"] = dense(shot).replace(rounds=turns)
    found["rewound"] = shot.replace(rewind=True)
    found["dense, rewound"] = dense(shot).replace(rewind=True)
    longer = _unselected(exp.replace(finetune_epochs=exp.training_epochs))
    return found | {"rewound, longer": longer.replace(rewind=True)}


def _unselected(exp: Experiment) -> Experiment:
    """Return the experiment with a warm-up of all its epochs: the last one is kept."""
    if exp.stopping == "last":
        return exp
    warmup = max(exp.recipe.warmup, exp.tuning_epochs)
    return exp.replace(stopping="warm-up", finetune_warmup=warmup)


def steps(exp: Experiment, attacks: Sequence[str], only: Collection[str] = ()) -> list[Step]:
    """Return what `released` needs of one experiment."""
    return [
        _step(held, name, options)
        for release, held in cases(exp, only).items()
        for _, name, options in _attacks(release, held, attacks)
    ]


def _attacks(
    release: str, held: Sequence[Release], names: Sequence[str]
) -> Iterator[tuple[str, str, Options]]:
    """Yield each attack on what is held: what it is called, its name, its options."""
    for name in names:
        if release in MAIN or not ATTACKS[name].needs_sensitivity:
            yield name, name, {}
        if name == "conf" and len(held) > 1:
            for statistic in ("difference", "change"):
                yield f"{name}, {statistic}", name, {"statistic": statistic}


def _step(held: Sequence[Release], name: str, options: Options) -> Step:
    if len(held) > 1:
        return releases.step(held, name, options)
    (exp, of) = held[0]
    return attack_step(exp, name, of)


def _rows(
    lab: Lab, exp: Experiment, names: Sequence[str], only: Collection[str]
) -> Iterator[dict[str, Any]]:
    known = fields(exp)
    for release, held in cases(exp, only).items():
        last, of = held[-1]
        about = {**known, "release": release, "held": len(held)}
        accuracy = lab.value(Step(of, last, of))[0].accuracy["test"]
        for label, name, options in _attacks(release, held, names):
            evaluation = lab.value(_step(held, name, options)).evaluation
            for measure, value in _measures(evaluation):
                row = {"attack": label, "measure": measure, "value": value}
                yield {**about, **row, "test_accuracy": accuracy}


def _measures(evaluation: Evaluation) -> Iterator[tuple[str, float]]:
    yield "accuracy", evaluation.accuracy.value
    yield "AUC", evaluation.auc.value
    yield f"TPR at {FPR:g}", evaluation.tpr[FPR].value
