"""What a stage costs: its work, by a stated model, and how fast such work was done before.

The model. A network stage's work is counted in floating-point operations: an epoch passes the
training rows forward and backward (three forward passes' worth) and the validation rows forward;
all epochs that are allowed count, though patience may end a training sooner. A query passes each
row forward 1 + draws times. The work of fitting an attack, and of deciding, is its rows. Time is
work divided by a rate: the one that was measured (the store notes each stage's work and seconds),
else an assumed one. Small networks are slower than assumed: calls, not arithmetic, take their time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from prunemia.data.dataset import sizes
from prunemia.experiment import Experiment
from prunemia.lab.fingerprints import Facts
from prunemia.models import build, macs
from prunemia.registry import ATTACKS
from prunemia.store import Entry

RATES = {"cpu": 1e10, "cuda": 1e13}
"""Assumed floating-point operations per second: a CPU core; a GPU of the A100's class with TF32."""
QUICK_ROWS = 1e6
LEARNED_ROWS = 5e3
"""Assumed samples per second: of a decision or a threshold's fit; of a network's pass over them."""


@dataclass(frozen=True)
class Work:
    """How much there is to do, of one kind: "original cnn1d", "signals vgg16", "fit samia"."""

    kind: str
    amount: float


def of_network(exp: Experiment, stage: str, facts: Facts, networks: int) -> Work:
    """Return the work of training ("original"), fine-tuning ("pruned") or both ("canaries")."""
    train, validation, _ = sizes(facts.rows)
    each = {"original": exp.training_epochs, "pruned": exp.tuning_epochs}
    epochs = each.get(stage, sum(each.values()))
    rows = epochs * (3 * train + validation)
    return Work(
        f"{stage} {exp.model}",
        networks * rows * forward(exp.model, exp.channels, facts.shape, facts.classes),
    )


def of_rounding(exp: Experiment, stage: str, facts: Facts, networks: int) -> Work:
    """Return the work of rounding so many networks: every sample is asked once, for accuracies."""
    once = forward(exp.model, exp.channels, facts.shape, facts.classes)
    return Work(f"{stage} rounded {exp.model}", networks * sum(sizes(facts.rows)) * once)


def of_query(exp: Experiment, facts: Facts, networks: int) -> Work:
    """Return the work of querying so many networks on their members and non-members."""
    train, _, test = sizes(facts.rows)
    passes = (train + test) * (1 + exp.draws)
    once = forward(exp.model, exp.channels, facts.shape, facts.classes)
    return Work(f"signals {exp.model}", networks * passes * once)


def of_asking(exp: Experiment, facts: Facts, networks: int) -> Work:
    """Return the work of asking so many networks every sample of the data set once."""
    once = forward(exp.model, exp.channels, facts.shape, facts.classes)
    return Work(f"references {exp.model}", networks * facts.rows * once)


def of_fit(exp: Experiment, name: str, facts: Facts, passes: int = 1) -> Work:
    """Return the work of fitting an attack: the shadows' samples, as often as it goes over them."""
    train, _, test = sizes(facts.rows)
    return Work(f"fit {name}", float(passes * exp.shadows * (train + test)))


def of_releases(exp: Experiment, name: str, facts: Facts, passes: int, count: int) -> Work:
    """Return the work of fitting an attack on so many releases, and of its decisions."""
    alone = of_fit(exp, name, facts, passes).amount + of_attack(name, facts).amount
    return Work(f"releases {name}", count * alone)


def of_attack(name: str, facts: Facts) -> Work:
    """Return the work of deciding: the target's rows."""
    train, _, test = sizes(facts.rows)
    return Work(f"attack {name}", float(train + test))


def of_cutting(exp: Experiment) -> Work:
    """Return the work of cutting a network and timing it: one."""
    return Work(f"cost {exp.model}", 1.0)


@lru_cache(maxsize=256)
def forward(model: str, width: int | None, shape: tuple[int, ...], classes: int) -> float:
    """Return the floating-point operations of one sample's forward pass: two per multiplication."""
    return 2.0 * macs(build(model, shape, classes, width=width), shape)


def measured(entries: Iterable[Entry], device: str) -> dict[str, float]:
    """Return each kind of work's rate on a device ("cpu", "cuda"), as the store noted it."""
    amounts: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for entry in entries:
        note = entry.note
        if "kind" in note and note.get("device") == device:
            kind = str(note["kind"])
            amounts[kind] = amounts.get(kind, 0.0) + float(note["work"])
            seconds[kind] = seconds.get(kind, 0.0) + float(
                note["cpu_seconds" if device == "cpu" else "seconds"]
            )
    return {kind: amounts[kind] / spent for kind, spent in seconds.items() if spent > 0}


def assumed(kind: str, device: str) -> float:
    """Return the rate where none was measured."""
    stage, name = kind.split(" ", 1)
    if stage in ("fit", "attack", "releases"):
        return QUICK_ROWS if stage == "attack" or not ATTACKS[name].learned else LEARNED_ROWS
    return RATES[device]
