"""How well an attack tells members from non-members, and whether one does better than another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from prunemia.metrics import intervals
from prunemia.metrics.comparison import NO_ROC
from prunemia.metrics.inputs import Bools, Floats, flags, scores_of, sides
from prunemia.metrics.intervals import Estimate


def whole(estimate: Estimate) -> str:
    """Say a rate in whole per cents, with its interval: "69 % [67, 71]"."""
    if not estimate.resolved:
        return estimate.note
    value, low, high = (100 * end for end in (estimate.value, estimate.low, estimate.high))
    return f"{value:.0f} %" + ("" if np.isnan(low) else f" [{low:.0f}, {high:.0f}]")


FPRS = (0.001, 0.01, 0.05)
"""False-positive rates at which a true-positive rate is reported (Carlini et al., S&P 2022)."""


@dataclass(frozen=True)
class Evaluation:
    """One attack on one target, each entry with its 95 % interval over the drawing of samples.

    Attributes
    ----------
    accuracy : balanced accuracy of the decisions, ½(TPR + TNR); 0.5 is guessing.
    members_found, false_alarms : TPR and FPR of the decisions.
    auc : area under the ROC of the scores; missing for an attack that ranks nothing.
    tpr : the TPR at each FPR of `FPRS`; missing where the sample cannot resolve that FPR.
    members, nonmembers : how many samples of each.
    """

    accuracy: Estimate
    members_found: Estimate
    false_alarms: Estimate
    auc: Estimate
    tpr: dict[float, Estimate]
    members: int
    nonmembers: int

    def estimates(self) -> dict[str, Estimate]:
        """Return all estimates by name; a TPR is called like ``tpr@0.01``."""
        named = {"accuracy": self.accuracy, "auc": self.auc}
        named |= {f"tpr@{fpr:g}": estimate for fpr, estimate in self.tpr.items()}
        return named | {"members_found": self.members_found, "false_alarms": self.false_alarms}

    def row(self) -> dict[str, float]:
        """Return a table's row: for each name of `estimates` the value, and name_low, name_high."""
        cells: dict[str, float] = {}
        for name, estimate in self.estimates().items():
            cells |= {
                name: estimate.value,
                f"{name}_low": estimate.low,
                f"{name}_high": estimate.high,
            }
        return cells

    def said(self) -> str:
        """Say how often the attack is right, and what it finds where few are accused wrongly."""
        text = f"right for {whole(self.accuracy)} of the samples, where guessing is right for half"
        few = self.tpr.get(0.01, Estimate.missing(""))
        if not few.resolved:
            return text
        return f"{text}; at one false accusation in a hundred it finds {whole(few)} of the members"

    def _repr_html_(self) -> str:
        html: str = table({"": self}).T.to_html(header=False)
        return html

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values that `from_dict` reads."""
        records = {name: estimate.to_dict() for name, estimate in self.estimates().items()}
        return {"members": self.members, "nonmembers": self.nonmembers, "estimates": records}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        estimates = {name: Estimate.from_dict(entry) for name, entry in record["estimates"].items()}
        named = [name for name in estimates if name.startswith("tpr@")]
        tpr = {float(name.removeprefix("tpr@")): estimates.pop(name) for name in named}
        return cls(**estimates, tpr=tpr, members=record["members"], nonmembers=record["nonmembers"])


def evaluate(
    membership: ArrayLike,
    scores: ArrayLike,
    predictions: ArrayLike,
    *,
    ranks: bool | None = None,
) -> Evaluation:
    """Judge an attack's scores and decisions, all of shape (n,).

    Parameters
    ----------
    membership : True for members; both sides present.
    scores : larger means more likely a member.
    predictions : True for the samples taken for members.
    ranks : False (an attack's ``ranks``) where the scores only say in or out: no AUC, no TPR at an
        FPR. None: what the scores show; 1 for whoever is taken for a member and -1 for all others,
        which is how a set's decision is given, ranks nothing.

    Intervals: Clopper-Pearson for rates, `intervals.mean_of_rates` (MOVER) for the balanced
    accuracy, `intervals.auc` (DeLong), `intervals.tpr_at` (order statistics and Clopper-Pearson).

    Raises
    ------
    ValueError
        Shapes differ, a side is empty, scores are not finite, or membership or predictions are not
        bool.
    """
    member = sides(membership)
    accused = flags("predictions", predictions, len(member))
    score = scores_of("scores", scores, len(member))
    n1 = int(member.sum())
    n0 = len(member) - n1
    hits = int(accused[member].sum())
    alarms = int(accused[~member].sum())
    area = Estimate.missing(NO_ROC)
    tpr = dict.fromkeys(FPRS, Estimate.missing(NO_ROC))
    if ranks or (ranks is None and not _says_in_or_out(score, accused)):
        area = intervals.auc(score[member], score[~member])
        tpr = {fpr: intervals.tpr_at(score[member], score[~member], fpr) for fpr in FPRS}
    return Evaluation(
        accuracy=intervals.mean_of_rates([(hits, n1), (n0 - alarms, n0)]),
        members_found=intervals.rate(hits, n1),
        false_alarms=intervals.rate(alarms, n0),
        auc=area,
        tpr=tpr,
        members=n1,
        nonmembers=n0,
    )


def _says_in_or_out(score: Floats, accused: Bools) -> bool:
    """Return whether the scores are a set's decision: 1 for the accused, -1 for all others."""
    return np.array_equal(score, np.where(accused, 1.0, -1.0)) and not accused.all()


def by_class(membership: ArrayLike, predictions: ArrayLike, labels: ArrayLike) -> pd.DataFrame:
    """Return one row per class: members, nonmembers, balanced accuracy with its interval.

    A class with members or non-members alone has no balanced accuracy: NaN.
    """
    member = sides(membership)
    right = flags("predictions", predictions, len(member)) == member
    label = np.asarray(labels)
    if label.shape != member.shape or label.dtype.kind not in "iu":
        raise ValueError(
            f"labels: shape {label.shape}, dtype {label.dtype}; allowed: {member.shape} of integers"
        )
    rows = []
    for c in np.unique(label):
        halves = [right[(label == c) & member], right[(label == c) & ~member]]
        counts = [(int(side.sum()), len(side)) for side in halves]
        estimate = (
            Estimate.missing("") if 0 in map(len, halves) else intervals.mean_of_rates(counts)
        )
        rows.append(
            (int(c), counts[0][1], counts[1][1], estimate.value, estimate.low, estimate.high)
        )
    return pd.DataFrame(
        rows, columns=["class", "members", "nonmembers", "accuracy", "low", "high"]
    ).set_index("class")


def table(evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Return a table to read: one row per evaluation, each cell a value with its 95 % interval."""
    rows = {
        name: {key: str(e) for key, e in found.estimates().items()}
        for name, found in evaluations.items()
    }
    return pd.DataFrame(rows).T[["accuracy", "auc", *(f"tpr@{fpr:g}" for fpr in FPRS)]]
