"""Attacks by an adversary who holds several releases of one network: original and pruned, say.

Each is an attack on one release, given the answers of all. With one release alone it is that
attack, to the bit. It learns on shadow networks that were released the same way.

Source: CompLeak (2025, arXiv 2507.16872), whose attacks on several compressed versions concatenate
signals or take differences; here inputs and networks are those of the attacks on one release.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from prunemia.attacks.base import Attack, Bools, Floats, Inputs, one_hot, require_choice
from prunemia.attacks.neural import PosteriorAndLabel
from prunemia.attacks.samia import SAMIA
from prunemia.attacks.threshold import Confidence
from prunemia.signals import Signals, each_release

STATISTICS = ("mean", "difference", "change")


class _Together(Attack):
    """Refuses a target of more or fewer releases than the shadow networks had, ``releases_``."""

    releases_: int

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        self.releases_ = len(each_release(shadow))
        super()._fit(shadow, membership)  # type: ignore[safe-super]

    def _decide(self, target: Signals) -> Floats:
        if (count := len(each_release(target))) != self.releases_:
            raise ValueError(
                f"target: {count} releases; allowed: {self.releases_}, as the shadows have"
            )
        return super()._decide(target)  # type: ignore[safe-super]


class JointConfidence(_Together, Confidence):
    """conf on several releases: what the posteriors of the true class say together.

    One threshold per class, as for conf.

    Parameters
    ----------
    statistic : ``"mean"``, p_y averaged over releases; ``"difference"``, the last release's p_y
        minus the first's, signed as members and non-members of the shadow networks differ;
        ``"change"``, minus the size of that difference: members are taken to move less.

    Attributes
    ----------
    sign_ : 1, or −1 where members have the smaller difference.
    """

    def __init__(self, statistic: str = "mean") -> None:
        self.statistic = statistic

    def _check_options(self) -> None:
        require_choice("statistic", self.statistic, STATISTICS)

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        self.sign_ = 1
        if self.statistic == "difference" and roc_auc_score(membership, self.values(shadow)) < 0.5:
            self.sign_ = -1
        super()._fit(shadow, membership)

    def values(self, signals: Signals) -> Floats:
        """Return the statistic, shape (n,): 0 … 1 (mean), −1 … 1 (difference), −1 … 0 (change)."""
        p = np.stack([Confidence().values(each) for each in each_release(signals)])
        if self.statistic == "mean":
            return p.mean(axis=0)
        difference: Floats = p[-1] - p[0]
        return self.sign_ * difference if self.statistic == "difference" else -abs(difference)


class JointPerceptron(_Together, PosteriorAndLabel):
    """nncls on several releases: the MLP on all posteriors and the true class, (n, (R + 1) C)."""

    def features(self, signals: Signals) -> Inputs:
        """Return the releases' posteriors and the one-hot label side by side."""
        posteriors = [each.posteriors for each in each_release(signals)]
        return np.concatenate([*posteriors, one_hot(signals)], axis=1)


class JointSAMIA(_Together, SAMIA):
    """samia on several releases: self-attention over R · C tokens, one per release and class."""

    def features(self, signals: Signals) -> Inputs:
        """Return posteriors, sensitivities and labels of all releases, shape (n, 3 R C)."""
        parts = [SAMIA.features(self, each) for each in each_release(signals)]
        tokens = [part.reshape(len(part), 3, -1) for part in parts]
        return np.concatenate(tokens, axis=2).reshape(len(signals), -1)
