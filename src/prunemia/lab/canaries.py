"""Canaries as a stage: a victim trained anew with samples of wrong label, then asked about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunemia.attacks import log_odds
from prunemia.data import plant
from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.lab import networks
from prunemia.lab.bench import Bench, Files
from prunemia.lab.fitting import features_of
from prunemia.lab.steps import VICTIM, Of, Step
from prunemia.signals import posteriors
from prunemia.store import pack_arrays, pack_json, unpack_arrays, unpack_json

COUNT = 200
"""Canaries of a victim unless told otherwise."""
FEWEST = 4
"""Fewest canaries: half of them are guessed, one of those on each side."""


@dataclass(frozen=True, eq=False)
class Planted:
    """What a victim says of its m canaries.

    Attributes
    ----------
    scores : shape (m,), log-odds of the wrong label; large where the victim learned it.
    included : shape (m,), bool: which it trained on.
    privacy : what the defense guarantees, as `TrainedModel.privacy`.
    """

    scores: NDArray[np.float64]
    included: NDArray[np.bool_]
    privacy: dict[str, Any]

    def guesses(self) -> tuple[int, int]:
        """Return how many guesses are right, and how many were made.

        The quarter of the canaries with the largest scores is guessed to be included, the quarter
        with the smallest not; the rest is passed over. How many, was fixed beforehand.
        """
        side = len(self.scores) // 4
        order = np.argsort(self.scores, kind="stable")
        right = self.included[order[-side:]].sum() + (~self.included[order[:side]]).sum()
        return int(right), 2 * side


def step(exp: Experiment, of: Of, count: int) -> Step:
    """Return the step to what the victim says of ``count`` canaries."""
    if isinstance(count, bool) or not isinstance(count, int) or count < FEWEST:
        raise UsageError(f"canaries: {count!r} is not allowed; allowed: a number from {FEWEST}")
    if exp.bits is not None:
        raise UsageError(f"bits: {exp.bits} is not allowed with canaries; allowed: None")
    return Step("canaries", exp, of, (VICTIM,), options=(("count", count),))


def needs(step: Step) -> list[Step]:
    """Return the step to the victim without canaries, whose key says how it is trained."""
    return [Step(step.of, step.exp, step.of, step.group)]


def identity(step: Step, inputs: Sequence[str], _: Bench, version: int) -> Any:
    """Return what identifies the answers: the victim, and how many canaries."""
    return ["canaries", version, inputs[0], dict(step.options)["count"]]


def carry_out(step: Step, bench: Bench) -> Files:
    """Train the victim with canaries, prune and fine-tune it on them, and ask about them."""
    exp, dataset, device = step.exp, bench.dataset(step.exp), bench.device
    canaries = plant(dataset, exp.seed, dict(step.options)["count"])
    with bench.bar(bench.title(step), exp.training_epochs + exp.tuning_epochs) as report:
        models = networks.train(step, dataset, device, report, canaries)
        if step.of == "pruned":
            models = networks.prune(step, dataset, models, device, report, canaries)
    features = features_of(exp, dataset, VICTIM)[canaries.samples]
    answers = posteriors(models[0].module, torch.from_numpy(features).to(device)).cpu().numpy()
    arrays = {"scores": log_odds(answers, canaries.labels), "included": canaries.included}
    return {"canaries.npz": pack_arrays(arrays), "privacy.json": pack_json(models[0].privacy)}


def read(files: Files, _: Step, __: Bench) -> Planted:
    """Return what `carry_out` packed."""
    return Planted(
        **unpack_arrays(files["canaries.npz"]), privacy=unpack_json(files["privacy.json"])
    )
