"""Under which hash each step's result is stored: that of all it depends on."""

from __future__ import annotations

from prunemia.experiment import content_key
from prunemia.lab.bench import Bench
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Step


class Keys:
    """The keys of steps, each computed once.

    Parameters
    ----------
    bench : what knows the data sets' fingerprints and the device.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._known: dict[Step, str] = {}

    def of(self, step: Step) -> str:
        """Return the key: the hash of the stage's identity, in which its inputs' keys stand."""
        if step not in self._known:
            stage = STAGES.find(step.stage)
            inputs = [self.of(part) for part in stage.needs(step)]
            identity = stage.identity(step, inputs, self._bench, stage.version)
            self._known[step] = content_key(identity)
        return self._known[step]
