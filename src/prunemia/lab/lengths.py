"""The leak along the epochs, and at equal test accuracy.

A network leaks more the longer it is trained, and its test accuracy rises as well. So a pruned
network is compared with dense ones of its own test accuracy: originals that stop early, and
originals that are fine-tuned for several lengths. Within a run they give leakage as a function of
test accuracy; what a pruned network leaks beyond that curve is its excess leakage.

Leakage and accuracy go together: Gonon et al. (2023, arXiv 2304.07234).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import IsotonicRegression

from prunemia.experiment import Experiment
from prunemia.lab.effects import FIELDS, dense, fields
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.steps import Of, Step, attack_step

CURVE = ("training", "dense")
"""The points that make a run's curve: originals that stop early, and fine-tuned originals."""
MEASURES = ("accuracy", "AUC")
RUN = ("dataset", "model", "width", "seed")
"""The fields that networks of one run share."""


def lengths(most: int) -> list[int]:
    """Return 1, 2, 4, … epochs, and ``most``."""
    powers = [2**k for k in range(most.bit_length()) if 2**k < most]
    return [*powers, most]


def networks(exp: Experiment) -> Iterator[tuple[str, int, Experiment, Of]]:
    """Yield the networks along the epochs of an experiment: role, epochs, experiment, which.

    The roles: "training", an original that stops after so many epochs; "dense" and "pruned", the
    whole original fine-tuned for so many; "kept", the pruned network of the experiment itself.
    All but the last are kept as they are after their last epoch.
    """
    last = exp.replace(stopping="last", adversary=None)
    for epochs in lengths(exp.training_epochs):
        yield "training", epochs, last.replace(epochs=epochs), "original"
    for epochs in lengths(exp.tuning_epochs):
        tuned = last.replace(finetune_epochs=epochs)
        yield "dense", epochs, dense(tuned), "pruned"
        yield "pruned", epochs, tuned, "pruned"
    yield "kept", exp.tuning_epochs, exp, "pruned"


def steps(exp: Experiment, attacks: Sequence[str]) -> dict[Experiment, list[Step]]:
    """Return what is to be computed for `points`, by experiment."""
    wanted: dict[Experiment, list[Step]] = {}
    for _, _, each, of in networks(exp):
        wanted.setdefault(each, []).extend(attack_step(each, name, of) for name in attacks)
    return wanted


def points(
    pipeline: Pipeline, experiments: Iterable[Experiment], attacks: Sequence[str]
) -> pd.DataFrame:
    """Return test accuracy and leakage along the epochs: `Lab.along_epochs`."""
    rows = [row for exp in experiments for row in _rows(pipeline, exp, attacks)]
    return pd.DataFrame(
        rows, columns=[*FIELDS, "role", "epochs", "test_accuracy", "attack", "measure", "value"]
    )


def _rows(pipeline: Pipeline, exp: Experiment, attacks: Sequence[str]) -> Iterator[dict[str, Any]]:
    known = fields(exp)
    for role, epochs, each, of in networks(exp):
        victim = pipeline.value(Step(of, each, of))[0]
        for name in attacks:
            evaluation = pipeline.value(attack_step(each, name, of)).evaluation
            for measure, value in zip(MEASURES, (evaluation.accuracy, evaluation.auc), strict=True):
                yield {
                    **known,
                    "role": role,
                    "epochs": epochs,
                    "test_accuracy": victim.accuracy["test"],
                    "attack": name,
                    "measure": measure,
                    "value": value.value,
                }


def excess(table: pd.DataFrame) -> pd.DataFrame:
    """Return what each pruned network leaks beyond dense ones of its test accuracy.

    ``table``: of `points`. One row per pruned network ("kept"), attack and measure: its fields,
    ``value``, ``expected`` (the curve at its test accuracy) and ``excess``, their difference; NaN
    where its test accuracy lies outside of what its run's dense networks reach.
    """
    found = []
    for _, run in table.groupby([*RUN, "attack", "measure"], dropna=False, sort=False):
        curve = run[run["role"].isin(CURVE)].drop_duplicates(["role", "epochs"])
        kept = run[run["role"] == "kept"]
        expected = at_accuracy(curve["test_accuracy"], curve["value"], kept["test_accuracy"])
        found.append(kept.assign(expected=expected, excess=kept["value"] - expected))
    return pd.concat(found, ignore_index=True).drop(columns="role")


def at_accuracy(accuracy: ArrayLike, leakage: ArrayLike, asked: ArrayLike) -> NDArray[np.float64]:
    """Return the leakage of dense networks at the test accuracies ``asked``, NaN outside.

    Leakage is taken to grow with test accuracy: the points are pooled until it does (isotonic
    regression), and joined by straight lines.
    """
    curve = IsotonicRegression(out_of_bounds="nan").fit(np.asarray(accuracy), np.asarray(leakage))
    values: NDArray[np.float64] = curve.predict(np.asarray(asked, dtype=float))
    return values
