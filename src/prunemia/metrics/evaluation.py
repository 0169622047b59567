"""How well an attack tells members from non-members: rates, areas, class by class, as tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from prunemia.metrics import intervals
from prunemia.metrics.intervals import Bools, Estimate

FPRS = (0.001, 0.01, 0.05)
"""False-positive rates at which a true-positive rate is reported (Carlini et al., S&P 2022)."""
MEASURES = {"accuracy": "accuracy", "auc": "AUC"} | {f"tpr@{f:g}": f"TPR at {f:g}" for f in FPRS}
"""What tables call an attack's measures: as a column (`Evaluation.row`), and in long form."""
NO_ROC = "the attack decides on a set and ranks nothing"


@dataclass(frozen=True)
class Evaluation:
    """One attack on one target, each entry with its 95 % interval over the drawing of samples."""

    accuracy: Estimate  # balanced, ½(TPR + TNR); 0.5 is guessing
    members_found: Estimate  # TPR
    false_alarms: Estimate  # FPR
    auc: Estimate  # missing for an attack that ranks nothing
    tpr: dict[float, Estimate]  # at each of `FPRS`; missing where samples cannot resolve it
    members: int
    nonmembers: int

    def estimates(self) -> dict[str, Estimate]:
        """Return all estimates by name; a TPR is called like ``tpr@0.01``."""
        named = {"accuracy": self.accuracy, "auc": self.auc}
        named |= {f"tpr@{fpr:g}": estimate for fpr, estimate in self.tpr.items()}
        return named | {"members_found": self.members_found, "false_alarms": self.false_alarms}

    def row(self) -> dict[str, float]:
        """Return a table's row: for each name of `estimates` the value, and name_low, name_high."""
        cells = [estimate.columns(name) for name, estimate in self.estimates().items()]
        return {name: value for part in cells for name, value in part.items()}

    def measures(self) -> dict[str, float]:
        """Return the values as tables in long form call them: "accuracy", "AUC", "TPR at 0.01"."""
        found = self.estimates()
        return {name: found[column].value for column, name in MEASURES.items()}

    def said(self, original: Self) -> str:
        """Say how often the attack is right, and what it finds where few are accused wrongly.

        ``original``: the same attack on the network before pruning.
        """
        few, before = self.tpr[0.01], f"on the original: {original.accuracy.value:.0%}"
        text = f"right for {self.accuracy.value:.0%} of the samples ({before}; guessing: 50 %)"
        found = f"; at 1 % false accusations it finds {few.text(0, 100, ' %')}"
        perhaps = ", within the interval" * (few.low <= 0.01)
        return f"{text}{found} of the members (guessing: 1 %{perhaps})" if few.resolved else text

    def _repr_html_(self) -> str:
        return table({"": self}).T.to_html(header=False)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values that `from_dict` reads."""
        records = {name: estimate.to_dict() for name, estimate in self.estimates().items()}
        return {"members": self.members, "nonmembers": self.nonmembers, "estimates": records}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        estimates = {name: Estimate.from_dict(entry) for name, entry in record["estimates"].items()}
        tpr = {fpr: estimates.pop(f"tpr@{fpr:g}") for fpr in FPRS}
        return cls(**estimates, tpr=tpr, members=record["members"], nonmembers=record["nonmembers"])


def evaluate(
    membership: ArrayLike, scores: ArrayLike, predictions: ArrayLike, *, ranks: bool | None = None
) -> Evaluation:
    """Judge an attack's scores and decisions, all of shape (n,), by the intervals of `intervals`.

    ``membership``: True for members, both sides present. ``scores``: finite, larger for likelier
    members. ``predictions``: True for those taken for members. ``ranks``: False where scores only
    say in or out, so that there is no AUC; None: what they show (1 for members, -1 for others ranks
    nothing). ValueError: one is of another shape or type.
    """
    member = members_of(membership)
    accused = column("predictions", predictions, len(member))
    score = column("scores", scores, len(member), "fiu").astype(np.float64)
    n1, n0 = int(member.sum()), int((~member).sum())
    hits, false_positives = (int(accused[side].sum()) for side in (member, ~member))
    if ranks is None:
        in_or_out = np.array_equal(score, np.where(accused, 1.0, -1.0))
        ranks = not in_or_out or bool(accused.all())
    area = Estimate.missing(NO_ROC)
    tpr = dict.fromkeys(FPRS, area)
    if ranks:
        area = intervals.auc(score[member], score[~member])
        tpr = {fpr: intervals.tpr_at(score[member], score[~member], fpr) for fpr in FPRS}
    return Evaluation(
        accuracy=intervals.mean_of_rates([(hits, n1), (n0 - false_positives, n0)]),
        members_found=intervals.rate(hits, n1),
        false_alarms=intervals.rate(false_positives, n0),
        auc=area,
        tpr=tpr,
        members=n1,
        nonmembers=n0,
    )


def by_class(membership: ArrayLike, predictions: ArrayLike, labels: ArrayLike) -> pd.DataFrame:
    """Return a row per class: members, nonmembers, balanced accuracy (NaN for one side alone)."""
    member = members_of(membership)
    right = column("predictions", predictions, len(member)) == member
    label = column("labels", labels, len(member), "iu")
    rows = {}
    for c in np.unique(label):
        halves = [right[(label == c) & side] for side in (member, ~member)]
        counts = [(int(half.sum()), len(half)) for half in halves]
        sizes = {"members": len(halves[0]), "nonmembers": len(halves[1])}
        found = intervals.mean_of_rates(counts) if all(sizes.values()) else Estimate.missing("")
        rows[int(c)] = sizes | {"accuracy": found.value, "low": found.low, "high": found.high}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def table(evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Return a table to read: one row per evaluation, each cell a value with its 95 % interval."""
    cells = pd.DataFrame({name: found.estimates() for name, found in evaluations.items()})
    return cells.map(str).T[list(MEASURES)]


def members_of(membership: ArrayLike) -> Bools:
    """Return membership as bool, shape (n,); ValueError where a side is empty."""
    member = column("membership", membership)
    if not 0 < member.sum() < len(member):
        sides = f"{member.sum()} members and {(~member).sum()} non-members"
        raise ValueError(f"membership: {sides}; allowed: 1 or more of each")
    return member


def column(name: str, value: ArrayLike, n: int | None = None, kinds: str = "b") -> NDArray[Any]:
    """Return an array of shape (n,) and one of numpy's ``kinds``, finite; else a ValueError."""
    array = np.asarray(value)
    fits = array.ndim == 1 and n in (None, len(array)) and array.dtype.kind in kinds
    if not fits or not np.isfinite(array).all():
        what = {"b": "bool", "iu": "integers", "fiu": "finite numbers"}[kinds]
        seen = f"shape {array.shape}, dtype {array.dtype}"
        raise ValueError(f"{name}: {seen}; allowed: ({n or 'n'},) of {what}")
    return array
