"""The leak along the epochs, and of pruned networks beside dense ones that are like them.

Leak and accuracies grow with training (Gonon et al. 2023, arXiv 2304.07234), so dense networks of
several lengths give the one by the other; what a pruned one leaks beyond that is its excess.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import IsotonicRegression

from prunemia.experiment import Experiment
from prunemia.lab.attacking import AttackResult
from prunemia.lab.effects import FIELDS, Case, Row, dense, fields
from prunemia.lab.networks import TrainedModel
from prunemia.lab.steps import Of, Step, attack_step

CURVE = ("training", "dense")  # a run's curve: originals that stop early, and fine-tuned originals
RUN = ("dataset", "model", "width", "seed")  # what networks of one run share
EQUAL_TRAINING, EQUAL_TEST, LEAST = COMPARATORS = (  # of pruned networks (`excess`)
    "equal training accuracy",
    "equal test accuracy",
    "least leaking dense network",
)
NEAR, TOLERANCE = 0.01, 0.02  # dense networks so near in accuracy may differ so much in leak
REACHED = ("value", "train_accuracy", "test_accuracy")


def lengths(most: int) -> list[int]:
    """Return 1, 2, 4, … epochs, and ``most``."""
    powers = [2**k for k in range(most.bit_length()) if 2**k < most]
    return [*powers, most]


def networks(exp: Experiment) -> Iterator[tuple[str, int, Experiment, Of]]:
    """Yield the networks along the epochs of an experiment: role, epochs, experiment, which.

    "training": an original that stops after so many epochs; "dense", "pruned": the original
    fine-tuned for so many, kept as after the last; "kept": the experiment's own pruned network.
    """
    last = exp.replace(stopping="last", adversary=None)
    for epochs in lengths(exp.training_epochs):
        yield "training", epochs, dense(last.replace(epochs=epochs)), "original"
    for epochs in lengths(exp.tuning_epochs):
        tuned = last.replace(finetune_epochs=epochs)
        yield "dense", epochs, dense(tuned), "pruned"
        yield "pruned", epochs, tuned, "pruned"
    yield "kept", exp.tuning_epochs, exp, "pruned"


def cases(experiments: Iterable[Experiment], attacks: Sequence[str]) -> Iterator[Case]:
    """Yield how the networks along the epochs are read; a shared one with the first's fields."""

    def read(trained: Sequence[TrainedModel], *results: AttackResult) -> Iterator[Row]:
        known = accuracies(trained)
        for name, result in zip(attacks, results, strict=True):
            found = result.evaluation.measures()
            for measure in ("accuracy", "AUC"):
                yield {**known, "attack": name, "measure": measure, "value": found[measure]}

    seen = set()
    for exp in experiments:
        for network in networks(exp):
            if network not in seen:
                seen.add(network)
                role, epochs, each, of = network
                asked = [attack_step(each, name, of) for name in attacks]
                about = fields(exp) | {"role": role, "epochs": epochs}
                yield about, [Step(of, each, of), *asked], read


def accuracies(trained: Sequence[TrainedModel]) -> Row:
    """Return the columns of a network's accuracies."""
    return {f"{part}_accuracy": trained[0].accuracy[part] for part in ("train", "test")}


def excess(table: pd.DataFrame) -> pd.DataFrame:
    """Return what each pruned network leaks beyond each of its comparators, and at which price.

    ``table``: of `Lab.along_epochs`, of one defense. One row per pruned network ("kept"), attack,
    measure and ``comparator``: its fields, ``value``, ``expected`` (the comparator's leak),
    ``excess``, ``train_difference``, ``test_difference``; NaN where there is no comparator:

    - at equal training, or test, accuracy: its run's dense networks; none outside of what they
      reach, or where those within `NEAR` of it differ in leak by more than `TOLERANCE`.
    - the least leaking dense network: of the lengths (role, epochs) that on the mean over all
      *other* runs are as accurate as the pruned networks there, the one that leaks least there.
    """
    kept = table[table["role"] == "kept"].reset_index(drop=True)
    curve = table[table["role"].isin(CURVE)]
    curve = curve.drop_duplicates([*RUN, "attack", "measure", "role", "epochs"])
    runs = [name for name in RUN if name != "seed"]
    reached = {
        EQUAL_TRAINING: _by(RUN, kept, curve, partial(_along, "train_accuracy")),
        EQUAL_TEST: _by(RUN, kept, curve, partial(_along, "test_accuracy")),
        LEAST: _by(runs, kept, curve, _least),
    }
    parts = [
        kept.drop(columns="role").assign(
            comparator=comparator,
            expected=found["value"],
            excess=kept["value"] - found["value"],
            train_difference=kept["train_accuracy"] - found["train_accuracy"],
            test_difference=kept["test_accuracy"] - found["test_accuracy"],
        )
        for comparator, found in reached.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _by(
    names: Sequence[str],
    kept: pd.DataFrame,
    curve: pd.DataFrame,
    how: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame],
) -> pd.DataFrame:
    """Return `REACHED` by the comparator ``how`` for each pruned network, group by group."""
    by = [*names, "attack", "measure"]
    parts = [pd.DataFrame(columns=REACHED, dtype=float)]
    for _, part in pd.concat([curve, kept]).groupby(by, dropna=False):
        asked = part["role"] == "kept"
        if asked.any() and not asked.all():
            parts.append(how(part[~asked], part[asked]))
    return pd.concat(parts).reindex(kept.index)


def _along(axis: str, curve: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """Return what the curve reaches where ``axis`` is as of the pruned networks."""
    columns = {name: at_accuracy(curve[axis], curve[name], kept[axis]) for name in REACHED}
    reached = pd.DataFrame(columns, index=kept.index)
    for index, asked in kept[axis].items():
        near = curve.loc[(curve[axis] - asked).abs() <= NEAR + 1e-9, "value"]
        if len(near) and near.max() - near.min() > TOLERANCE + 1e-9:
            reached.loc[index] = np.nan
    return reached


def _least(curve: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    of_length = {
        name: curve.pivot(index=["role", "epochs"], columns="seed", values=name) for name in REACHED
    }
    found = {}
    same = [name for name in FIELDS if name not in RUN]
    for _, networks_of_runs in kept.groupby(same, dropna=False):
        test = networks_of_runs.set_index("seed")["test_accuracy"]
        for index, seed in networks_of_runs["seed"].items():
            others = [s for s in test.index if s != seed and s in of_length["value"]]
            mean = {n: of_length[n][others].mean(axis=1, skipna=False) for n in REACHED}
            accurate = mean["test_accuracy"] >= test[others].mean() - 1e-9
            leak = mean["value"][accurate].dropna()
            if len(leak) and seed in of_length["value"]:
                chosen: Any = leak.idxmin()
                found[index] = [of_length[name].loc[chosen, seed] for name in REACHED]
    return pd.DataFrame.from_dict(found, orient="index", columns=list(REACHED), dtype=float)


def at_accuracy(accuracy: ArrayLike, leakage: ArrayLike, asked: ArrayLike) -> NDArray[np.float64]:
    """Return the isotonic fit of dense networks' leakage at accuracies ``asked``, NaN outside."""
    known, wanted = np.asarray(accuracy, dtype=float), np.asarray(asked, dtype=float)
    curve = IsotonicRegression(out_of_bounds="clip").fit(known, np.asarray(leakage, dtype=float))
    inside = (known.min() <= wanted) & (wanted <= known.max())
    return np.where(inside, curve.predict(wanted), np.nan)
