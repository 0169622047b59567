"""What a stage's functions may ask of the pipeline that carries them out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch

from prunemia.data import Dataset
from prunemia.experiment import Experiment
from prunemia.lab.fingerprints import Facts
from prunemia.lab.steps import Step

Files = dict[str, bytes]
"""An artefact's files by name."""


class Bench(Protocol):
    """Data, a device, other steps' results, and a progress bar."""

    device: torch.device
    progress: bool

    def dataset(self, exp: Experiment) -> Dataset:
        """Return the experiment's data set."""

    def facts(self, exp: Experiment) -> Facts:
        """Return the fingerprint and shape of the experiment's data set."""

    def value(self, step: Step) -> Any:
        """Return a step's result, computed first where the store has none."""

    def title(self, step: Step) -> str:
        """Return what a step does, for people."""

    def bar(self, title: str, epochs: int) -> AbstractContextManager[Callable[[str], None]]:
        """Show a bar, and give what moves it on by an epoch and says how it goes."""
