"""The pipeline at work: a step's result, read from the store or computed there once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from prunemia import data
from prunemia.experiment import Experiment
from prunemia.lab.bench import Files
from prunemia.lab.fingerprints import Facts, foreseen, origin, remembered
from prunemia.lab.keys import Keys
from prunemia.lab.once import Computing
from prunemia.lab.stages import STAGES, Stage
from prunemia.lab.steps import Of, Step
from prunemia.lab.work import Work
from prunemia.store import Store, default_root


class Pipeline:
    """Carries out steps: the table of stages, a store, a device (a `prunemia.lab.bench.Bench`).

    Parameters
    ----------
    store : a folder; None: `prunemia.store.default_root`.
    device : where networks compute; None: cuda where there is one, else cpu.
    progress : show on stderr what is being computed.
    foresees : read no published data: for plans of what has not been downloaded yet.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        device: str | torch.device | None = None,
        progress: bool = True,
        foresees: bool = False,
    ) -> None:
        self.store = Store(default_root() if store is None else Path(store))
        self.chosen_device = None if device is None else str(device)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.progress = progress
        self.foresees = foresees
        self._facts: dict[str, Facts] = {}
        self._keys = Keys(self)
        self._computing = Computing(self.store, progress)

    def changed(self, *, progress: bool, foresees: bool = False) -> Pipeline:
        """Return a pipeline on the same store and device."""
        return Pipeline(self.store.root, self.chosen_device, progress, foresees)

    def dataset(self, exp: Experiment) -> data.Dataset:
        """Return the experiment's data set."""
        with warnings.catch_warnings():
            if exp.standardize:  # what the warning advises to do
                warnings.simplefilter("ignore", data.ScaleWarning)
            return _dataset(exp.dataset, exp.samples, exp.rows_seed, origin(exp))

    def facts(self, exp: Experiment) -> Facts:
        """Return the fingerprint and shape of the data set; read once, then kept in the store."""
        key = origin(exp)
        if key not in self._facts:
            find = foreseen if self.foresees else remembered
            load = lambda: self.dataset(exp)  # noqa: E731 - read only where nothing is remembered
            self._facts[key] = find(self.store, exp, load)
        return self._facts[key]

    def key(self, step: Step) -> str:
        """Return the key under which the store has, or will have, the step's result."""
        return self._keys.of(step)

    def value(self, step: Step) -> Any:
        """Return the step's result; it, and what it needs, is computed where the store has none."""
        return STAGES.find(step.stage).read(self.files(step), step, self)

    def files(self, step: Step) -> Files:
        """Return the files of the step's artefact, computed first where need be."""
        stage = STAGES.find(step.stage)
        return self._computing.once(
            step.stage,
            self.key(step),
            self.title(step),
            lambda: stage.compute(step, self),
            lambda: self._note(stage, step),
        )

    def carry_out(self, step: Step) -> None:
        """See to it that the store has the step's result, and those that it needs."""
        self.files(step)

    def has(self, step: Step) -> bool:
        """Say whether the store has the step's result."""
        return self.store.has(step.stage, self.key(step))

    def work(self, step: Step) -> Work:
        """Return how much work the step is, without what it needs."""
        return STAGES.find(step.stage).work(step, self.facts(step.exp))

    def title(self, step: Step) -> str:
        """Return what the step does, for people."""
        return f"{STAGES.find(step.stage).title(step)}, {_about(step.exp, step.of)}"

    def bar(self, title: str, epochs: int) -> AbstractContextManager[Callable[[str], None]]:
        """Show a bar, and give what moves it on by an epoch and says how it goes."""
        return self._computing.bar(title, epochs)

    def _note(self, stage: Stage, step: Step) -> dict[str, Any]:
        work = stage.work(step, self.facts(step.exp))
        return {"kind": work.kind, "work": work.amount, "device": self.device.type}


def inputs_first(steps: Iterable[Step]) -> list[Step]:
    """Return the steps with all that they need, each once, inputs before what needs them."""
    ordered: dict[Step, None] = {}

    def visit(step: Step) -> None:
        if step in ordered:
            return
        for part in STAGES.find(step.stage).needs(step):
            visit(part)
        ordered[step] = None

    for step in steps:
        visit(step)
    return list(ordered)


def _about(exp: Experiment, of: Of) -> str:
    words = [f"{Path(exp.dataset).name}/{exp.model}"]
    if of == "pruned":
        words.append(f"{exp.pruner} {exp.sparsity:g}" if exp.sparsity else exp.pruner)
        if exp.defense != "none":
            strength = exp.defense_strength
            words.append(exp.defense + ("" if strength is None else f" {strength:g}"))
        if exp.rounds > 1:
            words.append(f"{exp.rounds} rounds")
        if exp.rewind:
            words.append("rewound")
    if exp.bits is not None:
        words.append(f"{exp.bits} bits")
    return ", ".join([*words, f"seed {exp.seed}"])


@lru_cache(maxsize=4)
def _dataset(name: str, samples: int | None, seed: int | None, _origin: str) -> data.Dataset:
    return data.load(name, samples, rows_seed=seed)
