"""Attacks that compare one statistic with a threshold: conf, xent, mentr, top1conf.

Source: Yuan & Zhang (2022), section 5.2; Song & Mittal, "Systematic Evaluation of Privacy Risks of
Machine Learning Models" (USENIX Security 2021), for class-wise thresholds and the modified entropy.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from prunemia.attacks.base import Attack, Bools, Floats, require_choice
from prunemia.signals import Signals

SMALLEST = 1e-30
"""Logarithms clip here, so the modified entropy is at most -2 ln 1e-30 = 138.155 nats."""


def best_threshold(values: Floats, membership: Bools) -> float:
    """Return the threshold t that maximizes the balanced accuracy of "member iff value >= t".

    Parameters
    ----------
    values : shape (n,), larger means more likely a member; the candidates for t.
    membership : shape (n,), with members and non-members.

    Among equally good candidates it takes the middle one (the lower of two middles), whatever the
    order of the samples: that leans neither to calling everyone a member nor no one. The published
    code takes the first in row order. O(n log n): sort, then cumulative sums; the comparison is one
    of integers, so equal is exact.
    """
    order = np.argsort(-values, kind="stable")
    descending = values[order]
    member = membership[order]
    last_of_ties = np.append(descending[1:] < descending[:-1], True)
    hits = np.cumsum(member)[last_of_ties]
    wrong = np.cumsum(~member)[last_of_ties]
    gain = hits * wrong[-1] - wrong * hits[-1]  # (TPR - FPR) times members times non-members
    best = descending[last_of_ties][gain == gain.max()]
    return float(best[len(best) // 2])


class ThresholdAttack(Attack):
    """Member iff the statistic reaches a threshold, which is chosen on the shadows' samples.

    The score is the statistic minus the threshold of the sample's class. So a ROC or an AUC pools
    the classes on a scale shifted class by class; it is not that of the raw statistic. A class that
    has members or non-members alone among the shadows falls back to the threshold over all classes
    (the published code: to 0).

    Attributes
    ----------
    thresholds_ : shape (C,), in units of the statistic, larger = member.
    by_logits_ : there, and True, where the shadows' logits are kept: conf and top1conf are then
        p - 1, summed over the other classes, which does not end at a rounded 1.
    """

    by_class: ClassVar[bool] = True
    thresholds_: Floats
    by_logits_: bool = False

    @abstractmethod
    def values(self, signals: Signals) -> Floats:
        """Return the statistic, shape (n,), signed so that larger means more likely a member."""

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        if shadow.logits is not None:
            self.by_logits_ = True
        elif self.by_logits_:
            del self.by_logits_
        values = self.values(shadow)
        self.thresholds_ = np.full(shadow.classes, best_threshold(values, membership))
        if not self.by_class:
            return
        order = np.argsort(shadow.labels, kind="stable")
        for samples in np.split(order, np.flatnonzero(np.diff(shadow.labels[order])) + 1):
            # a class of members alone, or of non-members, keeps the threshold over all
            if 0 < membership[samples].sum() < len(samples):
                label = shadow.labels[samples[0]]
                self.thresholds_[label] = best_threshold(values[samples], membership[samples])

    def _decide(self, target: Signals) -> Floats:
        return self.values(target) - self.thresholds_[target.labels]


class Confidence(ThresholdAttack):
    """conf: the posterior of the true class, p_y, in 0 … 1; one threshold per class."""

    def values(self, signals: Signals) -> Floats:
        """Return p_y, shape (n,)."""
        return _true_class(_confidences(signals, self.by_logits_), signals.labels)


class Entropy(ThresholdAttack):
    """xent: the Shannon entropy -Σ p_i ln p_i in nats, lower = member; one threshold per class.

    The name is the paper's; the statistic is no cross-entropy and ignores the true class.
    """

    def values(self, signals: Signals) -> Floats:
        """Return minus the entropy, shape (n,), -ln C … 0."""
        p, _ = signals.precise()
        return (p * _log(p)).sum(axis=1)


class ModifiedEntropy(ThresholdAttack):
    """mentr: the modified entropy in nats, lower = member; one threshold per class.

    It is -(1 - p_y) ln p_y - Σ_{i≠y} p_i ln(1 - p_i): the entropy, had it known the true class.

    Source: Song & Mittal (2021), section 3.2.
    """

    def values(self, signals: Signals) -> Floats:
        """Return minus the modified entropy, shape (n,), -138.155 … 0."""
        p, rest = signals.precise()
        p_y = _true_class(p, signals.labels)
        others = p * _log(rest)
        others[np.arange(len(p)), signals.labels] = 0
        return _true_class(rest, signals.labels) * _log(p_y) + others.sum(axis=1)


class TopConfidence(ThresholdAttack):
    """top1conf: the largest posterior, one threshold over all classes (Salem et al., NDSS 2019).

    Parameters
    ----------
    statistic : ``"max"``, the largest posterior, as the paper says; or ``"true_class"``, p_y, as
        the published code has it.
    """

    by_class: ClassVar[bool] = False

    def __init__(self, statistic: str = "max") -> None:
        self.statistic = statistic

    def _check_options(self) -> None:
        require_choice("statistic", self.statistic, ("max", "true_class"))

    def values(self, signals: Signals) -> Floats:
        """Return the largest posterior, or p_y, shape (n,)."""
        p = _confidences(signals, self.by_logits_)
        if self.statistic == "true_class":
            return _true_class(p, signals.labels)
        return p.max(axis=1)


def _confidences(signals: Signals, shifted: bool) -> Floats:
    """Return the posteriors p, or p - 1, which keeps its digits near 0 where logits are kept."""
    if shifted:
        return -signals.precise()[1]
    return np.minimum(signals.posteriors.astype(np.float64), 1.0)


def _true_class(p: Floats, labels: NDArray[np.int64]) -> Floats:
    return p[np.arange(len(p)), labels]


def _log(p: Floats) -> Floats:
    return np.log(np.maximum(p, SMALLEST))
