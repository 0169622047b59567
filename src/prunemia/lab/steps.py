"""The pipeline's steps: what has to be there before an attack's result is, each named by its content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prunemia.experiment import Experiment

Of = Literal["pruned", "original"]
Group = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One artefact of the store, and how to come by it.

    Attributes
    ----------
    stage, key : where the store has it; steps with the same ones are the same, whatever else they
        say.
    exp, of, group : one of the experiments that need it; networks pruned or original; network
        numbers.
    attack : the attack's name, where the stage is "fit" or "attack".
    needs : the names of the steps that come first.
    """

    stage: str
    key: str
    exp: Experiment
    of: Of
    group: Group = ()
    attack: str = ""
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The step's name among all steps: the stage and the content key."""
        return f"{self.stage}-{self.key}"

    @property
    def title(self) -> str:
        """What is done, for people."""
        networks = f"{self.exp.model}, seed {self.exp.seed}"
        how = f"{self.exp.pruner} {self.exp.sparsity:g}, " if self.of == "pruned" else ""
        named = {
            "original": "training",
            "pruned": "pruning",
            "signals": "querying",
            "fit": f"fitting {self.attack}",
        }
        what = named.get(self.stage, self.attack)
        return f"{what} {how}{networks}"
