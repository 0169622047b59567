"""Attacks on several releases by shadows released alike (after CompLeak 2025, arXiv 2507.16872)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.metrics import roc_auc_score

from prunemia.attacks.base import Attack, Bools, Floats
from prunemia.attacks.neural import PosteriorAndLabel
from prunemia.attacks.samia import SAMIA
from prunemia.attacks.threshold import Confidence
from prunemia.signals import Signals, each_release


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


@dataclass(eq=False, repr=False)
class JointConfidence(_Together, Confidence):
    """conf on several releases, one threshold per class.

    ``statistic``: "mean", p_y averaged over releases, 0 … 1; "difference", the last p_y minus the
    first, −1 … 1, signed as the shadows' members have it (``sign_``); "change", minus its size.
    """

    statistic: Literal["mean", "difference", "change"] = "mean"

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        self.sign_ = 1
        if self.statistic == "difference" and roc_auc_score(membership, self.values(shadow)) < 0.5:
            self.sign_ = -1
        super()._fit(shadow, membership)

    def values(self, signals: Signals) -> Floats:
        p = np.stack([Confidence().values(each) for each in each_release(signals)])
        if self.statistic == "mean":
            return p.mean(axis=0)
        difference: Floats = p[-1] - p[0]
        return self.sign_ * difference if self.statistic == "difference" else -abs(difference)


class JointPerceptron(_Together, PosteriorAndLabel):
    """nncls on R releases: the MLP on all posteriors and the true class, (n, (R + 1) C)."""


class JointSAMIA(_Together, SAMIA):
    """samia on R releases: self-attention over R · C tokens, one per release and class."""
