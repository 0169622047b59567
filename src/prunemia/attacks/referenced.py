"""lira and rmia: each sample judged by how other networks answer that very sample.

With ``second="sensitivity"``, which is ours, a logistic regression weighs the score and the
sensitivity, a second signal.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from prunemia.attacks import likelihood
from prunemia.attacks.base import Attack, Bools, Floats, require_choice
from prunemia.attacks.threshold import best_threshold
from prunemia.metrics import evaluate
from prunemia.signals import Signals

SETTINGS = ("offline", "online")
SECONDS = ("none", "sensitivity")
FPR = 0.01
"""The false-positive rate at which options are compared on the shadows."""
SMALLEST_SENSITIVITY = 1e-6
"""Added to a mean sensitivity before its logarithm is taken."""


class Referenced(Attack):
    """Scores samples by `Signals.references`, the answers of other networks to the same samples.

    The threshold, and each option that is None, are chosen on shadow networks in the role of the
    target, the other networks being their references: the options with the largest TPR at 1 % FPR
    there (among equals the largest AUC), then the threshold with the best balanced accuracy.
    Samples of a shadow that lack networks on a side take no part in that. With a second signal the
    regression is fitted there as well, and the threshold is on its log-odds.

    Attributes
    ----------
    threshold_ : on the score.
    choice_ : shape (options,), which of the candidates of each option, in order of name.
    centre_, scale_, weights_ : of `weigh`, where there is a second signal.
    """

    threshold_: float
    choice_: Any
    centre_: Floats
    scale_: Floats
    weights_: Floats
    setting: str
    second: str

    @abstractmethod
    def candidates(self) -> Mapping[str, tuple[Any, ...]]:
        """Return for each option its candidates: one where it was given, more where it is None."""

    @abstractmethod
    def scores(self, signals: Signals, options: Mapping[str, Any]) -> Floats:
        """Return the score of each sample of one network, shape (n,)."""

    def chosen(self) -> dict[str, Any]:
        """Return the options that the fit took."""
        return self._options(self.choice_)

    def _options(self, choice: Any) -> dict[str, Any]:
        candidates = self.candidates().items()
        return {name: values[i] for (name, values), i in zip(candidates, choice, strict=True)}

    def _check_options(self) -> None:
        require_choice("setting", self.setting, SETTINGS)
        require_choice("second", self.second, SECONDS)

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        best: tuple[float, float] | None = None
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
            if best is None or (tpr, found.auc.value) > best:
                best = tpr, found.auc.value
                self.threshold_, self.choice_ = threshold, np.array(choice)
        if best is None:
            raise ValueError(
                "references: too few shadow samples have other networks that trained on them and "
                "others that did not; allowed: one member and one non-member, or more"
            )
        if self.second != "none":
            able = self._able(shadow, self.chosen())
            part, member = shadow.subset(able), membership[able]
            scores, still = self._scores(part, self.chosen()), stillness(part)
            self.centre_, self.scale_, self.weights_ = weigh(scores, still, member)
            odds = combined(scores, still, self.centre_, self.scale_, self.weights_)
            self.threshold_ = best_threshold(odds, member)

    def _decide(self, target: Signals) -> Floats:
        scores = self._scores(target, self.chosen())
        if self.second != "none":
            still = stillness(target)
            scores = combined(scores, still, self.centre_, self.scale_, self.weights_)
        return scores - self.threshold_

    def identity(self) -> dict[str, Any]:
        """Return the options by name; without a second signal it is not among them."""
        options = super().identity()
        if options["second"] == "none":
            del options["second"]
        return options

    def _scores(self, signals: Signals, options: Mapping[str, Any]) -> Floats:
        """Return the scores of all networks' samples, network by network."""
        assert signals.model is not None
        scores = np.empty(len(signals))
        for number in np.unique(signals.model):
            of_network = signals.model == number
            scores[of_network] = self.scores(signals.subset(of_network), options)
        return scores

    def _able(self, signals: Signals, options: Mapping[str, Any]) -> Bools:
        """Return which samples have the networks that a score needs, shape (n,)."""
        _, _, trained = _answers(signals)
        least = 2 if options.get("spread") == "record" else 1
        if self.setting == "online":
            return likelihood.on_both_sides(trained, least)
        return (~trained).sum(axis=0) >= least


class LiRA(Referenced):
    """lira: the log-odds of the true class against those of networks that did not train on it.

    Parameters
    ----------
    setting : ``"offline"``: against networks that did not train on the sample; ``"online"``:
        against them and those that did.
    spread : whose standard deviation, see `lira_scores`; None: chosen on the shadows.
    second : ``"none"``, or ``"sensitivity"`` as a second signal, which is ours.

    Source: Carlini et al. (2022), section IV.
    """

    def __init__(
        self, setting: str = "offline", spread: str | None = None, second: str = "none"
    ) -> None:
        self.setting = setting
        self.spread = spread
        self.second = second

    def candidates(self) -> Mapping[str, tuple[Any, ...]]:
        """Return the spreads to choose from."""
        return {"spread": likelihood.SPREADS if self.spread is None else (self.spread,)}

    def scores(self, signals: Signals, options: Mapping[str, Any]) -> Floats:
        """Return LiRA's score of one network's samples, shape (n,)."""
        phi, others, trained = _answers(signals)
        if self.setting == "online":
            return likelihood.lira_scores(phi, others, trained, options["spread"])
        return likelihood.deviations(phi, others, ~trained, options["spread"])[0]

    def _check_options(self) -> None:
        super()._check_options()
        require_choice("spread", self.spread, (None, *likelihood.SPREADS))


class RMIA(Referenced):
    """rmia: how likely the true class is to the target against networks at large, ranked.

    The population that a sample is ranked among are all samples that the target was asked.

    Parameters
    ----------
    setting : as for `LiRA`.
    gamma, a : see `rmia_scores`; None: chosen on the shadows, of 1 and 2, and of 0, 0.3 … 1.
    second : as for `LiRA`.

    Source: Zarifzadeh et al. (2024), section 3.
    """

    def __init__(
        self,
        setting: str = "offline",
        gamma: float | None = None,
        a: float | None = None,
        second: str = "none",
    ) -> None:
        self.setting = setting
        self.second = second
        self.gamma = gamma
        self.a = a

    def candidates(self) -> Mapping[str, tuple[Any, ...]]:
        """Return a and γ to choose from; a plays no part online."""
        shares = (0.0, 0.3, 0.6, 1.0) if self.setting == "offline" else (0.3,)
        return {
            "a": shares if self.a is None else (self.a,),
            "gamma": (1.0, 2.0) if self.gamma is None else (self.gamma,),
        }

    def scores(self, signals: Signals, options: Mapping[str, Any]) -> Floats:
        """Return RMIA's score of one network's samples, shape (n,)."""
        phi, others, trained = _answers(signals)
        p, at_references = expit(phi), expit(others)
        if self.setting == "offline":
            return likelihood.rmia_offline(p, at_references, trained, **options)
        ratio = p / likelihood.both_sides(at_references, trained)
        return likelihood.shares(ratio, ratio, options["gamma"])

    def _check_options(self) -> None:
        super()._check_options()
        if self.gamma is not None and not self.gamma > 0:
            raise ValueError(f"gamma: {self.gamma!r} is not allowed; allowed: None, or above 0")
        if self.a is not None and not 0 <= self.a <= 1:
            raise ValueError(f"a: {self.a!r} is not allowed; allowed: None, or 0 to 1")


def _answers(signals: Signals) -> tuple[Floats, Floats, Bools]:
    """Return the target's log-odds (n,), the references' (k, n), and who trained on what (k, n)."""
    references = signals.require_references().T.astype(np.float64)
    trained = signals.trained_on
    nobody = np.zeros(references.shape, dtype=bool)
    phi = likelihood.log_odds(signals.posteriors, signals.labels)
    return phi, references, nobody if trained is None else trained.T


# -- the second signal


def stillness(signals: Signals) -> Floats:
    """Return −ln of each sample's mean sensitivity over classes, shape (n,): large for members."""
    moved = signals.require_sensitivities().mean(axis=1, dtype=np.float64)
    return -np.log(moved + SMALLEST_SENSITIVITY)


def weigh(scores: Floats, still: Floats, membership: Bools) -> tuple[Floats, Floats, Floats]:
    """Return centre (2,), scale (2,) and weights (6,), the intercept last, of both signals."""
    both = np.stack([scores, still], axis=1)
    centre, scale = both.mean(axis=0), both.std(axis=0)
    scale[scale == 0] = 1.0
    model = LogisticRegression(max_iter=1000)
    model.fit(_quadratics(scores, still, centre, scale), membership)
    return centre, scale, np.append(model.coef_[0], model.intercept_[0])


def combined(
    scores: Floats, still: Floats, centre: Floats, scale: Floats, weights: Floats
) -> Floats:
    """Return the log-odds of membership by both signals, shape (n,)."""
    return _quadratics(scores, still, centre, scale) @ weights[:-1] + weights[-1]


def _quadratics(scores: Floats, still: Floats, centre: Floats, scale: Floats) -> Floats:
    """Return both signals, standardized, their squares and their product, shape (n, 5)."""
    one, two = ((np.stack([scores, still]).T - centre) / scale).T
    return np.stack([one, two, one**2, two**2, one * two], axis=1)
