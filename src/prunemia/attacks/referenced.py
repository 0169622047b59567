"""lira and rmia: each sample judged by how other networks answer that very sample."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from prunemia.attacks import likelihood
from prunemia.attacks.base import Attack, Bools, Floats
from prunemia.attacks.threshold import best_threshold
from prunemia.metrics import evaluate
from prunemia.signals import Signals

Setting = Literal["offline", "online"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)
Second = Literal["none", "sensitivity"]
FPR = 0.01
"""The false-positive rate at which options are compared on the shadows."""
SMALLEST_SENSITIVITY = 1e-6
"""Added to a mean sensitivity before its logarithm is taken."""


class Referenced(Attack):
    """Scores samples by `Signals.references`, the answers of other networks to the same samples.

    Options that are None and the threshold are chosen on the shadows in the role of the target, the
    others being their references: the largest TPR at 1 % FPR (among equals, AUC), then the best
    balanced accuracy; samples that lack networks on a side take no part. With a second signal a
    regression (``centre_``, ``scale_``, ``weights_``, intercept last) is fitted there as well, and
    the threshold is on its log-odds. ``choice_``: which of each option's candidates was chosen.
    """

    choice_: NDArray[np.int64]
    setting: Setting
    second: Second

    @abstractmethod
    def candidates(self) -> Mapping[str, tuple[Any, ...]]:
        """Return for each option its candidates: one where it was given, more where it is None."""

    @abstractmethod
    def scores(self, signals: Signals, options: Mapping[str, Any]) -> Floats:
        """Return the score of each sample of one network, shape (n,)."""

    def chosen(self) -> dict[str, Any]:
        """Return the options that the fit took."""
        return self._options(self.choice_.tolist())

    def identity(self) -> dict[str, Any]:
        options = super().identity()
        if options["second"] == "none":
            del options["second"]
        return options

    def _options(self, choice: Sequence[int]) -> dict[str, Any]:
        candidates = self.candidates().items()
        return {name: values[i] for (name, values), i in zip(candidates, choice, strict=True)}

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        tried = []
        for choice in product(*(range(len(values)) for values in self.candidates().values())):
            options = self._options(choice)
            able = self._able(shadow, options)
            if not 0 < membership[able].sum() < able.sum():
                continue
            scores, member = self._scores(shadow.subset(able), options), membership[able]
            threshold = best_threshold(scores, member)
            found = evaluate(member, scores, scores >= threshold)
            # one that the samples cannot resolve is no better than any
            tpr = found.tpr[FPR].value if found.tpr[FPR].resolved else -1.0
            tried.append((tpr, found.auc.value, threshold, choice))
        if not tried:
            raise ValueError(
                "references: too few shadow samples have other networks that trained on them and "
                "others that did not; allowed: one member and one non-member, or more"
            )
        *_, self.threshold_, best = max(tried, key=lambda each: each[:2])  # the first of equals
        self.choice_ = np.array(best)
        if self.second != "none":
            able = self._able(shadow, self.chosen())
            both, member = self._both(shadow.subset(able)), membership[able]
            self.centre_, self.scale_ = both.mean(axis=0), both.std(axis=0)
            self.scale_[self.scale_ == 0] = 1.0
            model = LogisticRegression(max_iter=1000).fit(self._quadratics(both), member)
            self.weights_ = np.append(model.coef_[0], model.intercept_[0])
            self.threshold_ = best_threshold(self._combined(both), member)

    def _decide(self, target: Signals) -> Floats:
        if self.second != "none":
            return self._combined(self._both(target)) - self.threshold_
        return self._scores(target, self.chosen()) - self.threshold_

    def _scores(self, signals: Signals, options: Mapping[str, Any]) -> Floats:
        assert signals.model is not None
        scores = np.empty(len(signals))
        for number in np.unique(signals.model):
            of_network = signals.model == number
            scores[of_network] = self.scores(signals.subset(of_network), options)
        return scores

    def _able(self, signals: Signals, options: Mapping[str, Any]) -> Bools:
        _, _, trained = _answers(signals)
        least = 2 if options.get("spread") == "record" else 1
        if self.setting == "online":
            return likelihood.on_both_sides(trained, least)
        return (~trained).sum(axis=0) >= least

    def _both(self, signals: Signals) -> Floats:
        """Return score and stillness, −ln of the mean sensitivity over classes: (n, 2)."""
        moved = signals.require_sensitivities().mean(axis=1, dtype=np.float64)
        still = -np.log(moved + SMALLEST_SENSITIVITY)
        return np.stack([self._scores(signals, self.chosen()), still], axis=1)

    def _combined(self, both: Floats) -> Floats:
        return self._quadratics(both) @ self.weights_[:-1] + self.weights_[-1]

    def _quadratics(self, both: Floats) -> Floats:
        """Return both signals, standardized, their squares and their product, shape (n, 5)."""
        one, two = ((both - self.centre_) / self.scale_).T
        return np.stack([one, two, one**2, two**2, one * two], axis=1)


@dataclass(eq=False, repr=False)
class LiRA(Referenced):
    """lira: the log-odds of the true class against those of other networks, `lira_scores`.

    ``setting``: "offline", against networks that did not train on the sample, or "online", and
    those that did. ``spread``: whose deviation; None: chosen on the shadows. ``second``: "none", or
    "sensitivity" as well, which is ours. Source: Carlini et al. (2022), section IV.
    """

    setting: Setting = "offline"
    spread: Literal["pooled", "record", "shrunk"] | None = None
    second: Second = "none"

    def candidates(self) -> Mapping[str, tuple[Any, ...]]:
        return {"spread": likelihood.SPREADS if self.spread is None else (self.spread,)}

    def scores(self, signals: Signals, options: Mapping[str, Any]) -> Floats:
        phi, others, trained = _answers(signals)
        if self.setting == "online":
            return likelihood.lira_scores(phi, others, trained, options["spread"])
        return likelihood.deviations(phi, others, ~trained, options["spread"])[0]


@dataclass(eq=False, repr=False)
class RMIA(Referenced):
    """rmia: how likely the true class is to the target against networks at large, ranked.

    The population are all samples that the target was asked. ``setting`` and ``second`` as for
    `LiRA`; ``gamma`` and ``a`` of `rmia_scores`, None: chosen on the shadows, of 1 and 2, and of 0,
    0.3 … 1 (a plays no part online). Source: Zarifzadeh et al. (2024), section 3.
    """

    setting: Setting = "offline"
    gamma: PositiveFloat | None = None
    a: Annotated[float, Field(ge=0, le=1)] | None = None
    second: Second = "none"

    def candidates(self) -> Mapping[str, tuple[Any, ...]]:
        shares = (0.0, 0.3, 0.6, 1.0) if self.setting == "offline" else (0.3,)
        return {
            "a": shares if self.a is None else (self.a,),
            "gamma": (1.0, 2.0) if self.gamma is None else (self.gamma,),
        }

    def scores(self, signals: Signals, options: Mapping[str, Any]) -> Floats:
        phi, others, trained = _answers(signals)
        a = options["a"] if self.setting == "offline" else None
        return likelihood.rmia_among(expit(phi), expit(others), trained, options["gamma"], a)


def _answers(signals: Signals) -> tuple[Floats, Floats, Bools]:
    """Return the target's log-odds (n,), the references' (k, n), and who trained on what (k, n)."""
    references = signals.require_references().T.astype(np.float64)
    trained = signals.trained_on
    nobody = np.zeros(references.shape, dtype=bool)
    phi = likelihood.log_odds(signals.posteriors, signals.labels)
    return phi, references, nobody if trained is None else trained.T
