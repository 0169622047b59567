"""Attacks that compare one statistic with a threshold: conf, xent, mentr, top1conf.

Source: Yuan & Zhang (2022), section 5.2; thresholds by class and mentr: Song & Mittal (2021).
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from prunemia.attacks.base import Attack, Bools, Floats
from prunemia.signals import Signals

SMALLEST = 1e-30
"""Logarithms clip here, so the modified entropy is at most -2 ln 1e-30 = 138.155 nats."""


def best_threshold(values: Floats, membership: Bools) -> float:
    """Return the threshold t that maximizes the balanced accuracy of "member iff value >= t".

    ``values``, shape (n,), larger for likelier members, are the candidates; ``membership`` has both
    sides. Of equally good ones (compared as integers) it is the middle one, the lower of two,
    whatever the samples' order; the published code takes the first in row order. O(n log n).
    """
    order = np.argsort(-values, kind="stable")
    descending, member = values[order], membership[order]
    last_of_ties = np.append(descending[1:] < descending[:-1], True)
    hits, wrong = (np.cumsum(side)[last_of_ties] for side in (member, ~member))
    gain = hits * wrong[-1] - wrong * hits[-1]  # (TPR - FPR) times members times non-members
    best = descending[last_of_ties][gain == gain.max()]
    return float(best[len(best) // 2])


class ThresholdAttack(Attack):
    """Member iff the statistic reaches a threshold, which is chosen on the shadows' samples.

    The score is the statistic minus ``thresholds_``, (C,), of the sample's class. A class with one
    side alone among the shadows gets the threshold over all classes (in the published code, 0).
    """

    by_class: ClassVar[bool] = True
    thresholds_: Floats
    by_logits_: bool = False  # logits are kept: conf and top1conf are p - 1, which ends at no 1

    @abstractmethod
    def values(self, signals: Signals) -> Floats:
        """Return the statistic, shape (n,), signed so that larger means more likely a member.

        Differences near 1 need `Signals.precise`, which gives p and 1 - p with all their digits.
        """

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        self.by_logits_ = shadow.logits is not None
        values = self.values(shadow)
        self.thresholds_ = np.full(shadow.classes, best_threshold(values, membership))
        for label in np.unique(shadow.labels) if self.by_class else ():
            own = shadow.labels == label
            if 0 < membership[own].sum() < own.sum():
                self.thresholds_[label] = best_threshold(values[own], membership[own])

    def _decide(self, target: Signals) -> Floats:
        return self.values(target) - self.thresholds_[target.labels]

    def _confidences(self, signals: Signals) -> Floats:
        """Return the posteriors p, or p - 1 as minus the other classes' sum: (n, C)."""
        if self.by_logits_:
            return -signals.precise()[1]
        return np.minimum(signals.posteriors.astype(np.float64), 1.0)


class Confidence(ThresholdAttack):
    """conf: the posterior of the true class, p_y, in 0 … 1; one threshold per class."""

    def values(self, signals: Signals) -> Floats:
        return _true_class(self._confidences(signals), signals.labels)


class Entropy(ThresholdAttack):
    """xent (the paper's name): the entropy -Σ p_i ln p_i, 0 … ln C nats, lower = member."""

    def values(self, signals: Signals) -> Floats:
        p, _ = signals.precise()
        return (p * _log(p)).sum(axis=1)


class ModifiedEntropy(ThresholdAttack):
    """mentr: the modified entropy, 0 … 138.155 nats, lower = member; one threshold per class.

    -(1 - p_y) ln p_y - Σ_{i≠y} p_i ln(1 - p_i): the entropy, had it known the true class.
    """

    def values(self, signals: Signals) -> Floats:
        p, rest = signals.precise()
        others = p * _log(rest)
        others[np.arange(len(p)), signals.labels] = 0
        right, wrong = (_true_class(each, signals.labels) for each in (p, rest))
        return wrong * _log(right) + others.sum(axis=1)


@dataclass(eq=False, repr=False)
class TopConfidence(ThresholdAttack):
    """top1conf: the largest posterior, one threshold over all classes (Salem et al., NDSS 2019).

    ``statistic``: "max", as the paper says, or "true_class", p_y, as the published code has it.
    """

    by_class: ClassVar[bool] = False
    statistic: Literal["max", "true_class"] = "max"

    def values(self, signals: Signals) -> Floats:
        p = self._confidences(signals)
        return p.max(axis=1) if self.statistic == "max" else _true_class(p, signals.labels)


def _true_class(p: Floats, labels: NDArray[np.int64]) -> Floats:
    return p[np.arange(len(p)), labels]


def _log(p: Floats) -> Floats:
    return np.log(np.maximum(p, SMALLEST))
