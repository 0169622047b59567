"""lira and rmia: each sample judged by how other networks answer that very sample."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
from scipy.special import expit

from prunemia.attacks import likelihood, second
from prunemia.attacks.base import Attack, Bools, Floats, require_choice
from prunemia.attacks.threshold import best_threshold
from prunemia.metrics import evaluate
from prunemia.signals import Signals

SETTINGS = ("offline", "online")
SECONDS = ("none", "sensitivity")
FPR = 0.01
"""The false-positive rate at which options are compared on the shadows."""


class Referenced(Attack):
    """Scores samples by `Signals.references`, the answers of other networks to the same samples.

    The threshold, and each option that is None, are chosen on shadow networks in the role of the
    target, the other networks being their references: the options with the largest TPR at 1 % FPR
    there (among equals the largest AUC), then the threshold with the best balanced accuracy.
    Samples of a shadow that lack networks on a side take no part in that. With
    ``second="sensitivity"`` a logistic regression, fitted there as well, weighs the score and the
    sensitivity; the threshold is on its log-odds.

    Attributes
    ----------
    threshold_ : on the score.
    choice_ : shape (options,), which of the candidates of each option, in order of name.
    centre_, scale_, weights_ : of `second.weigh`, where there is a second signal.
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
        names = self.candidates().items()
        return {name: values[i] for (name, values), i in zip(names, self.choice_, strict=True)}

    def _check_options(self) -> None:
        require_choice("setting", self.setting, SETTINGS)
        require_choice("second", self.second, SECONDS)

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        best: tuple[float, float] | None = None
        candidates = self.candidates()
        for choice in product(*(range(len(values)) for values in candidates.values())):
            options = {n: v[i] for (n, v), i in zip(candidates.items(), choice, strict=True)}
            able = _able(shadow, self.setting, options.get("spread"))
            if not 0 < membership[able].sum() < able.sum():
                continue
            scores, member = self._scores(shadow.subset(able), options), membership[able]
            threshold = best_threshold(scores, member)
            found = evaluate(member, scores, scores >= threshold)
            tpr = found.tpr[FPR].value if FPR in found.tpr else 0.0
            if best is None or (tpr, found.auc.value) > best:
                best = tpr, found.auc.value
                self.threshold_, self.choice_ = threshold, np.array(choice)
        if best is None:
            raise ValueError(
                "references: too few shadow samples have other networks that trained on them and "
                "others that did not; allowed: one member and one non-member, or more"
            )
        if self.second != "none":
            self._weigh(shadow, membership)

    def _weigh(self, shadow: Signals, membership: Bools) -> None:
        """Weigh both signals on the shadows, and put the threshold on what comes of it."""
        options = self.chosen()
        able = _able(shadow, self.setting, options.get("spread"))
        part, member = shadow.subset(able), membership[able]
        scores, still = self._scores(part, options), second.stillness(part)
        self.centre_, self.scale_, self.weights_ = second.weigh(scores, still, member)
        odds = second.combined(scores, still, self.centre_, self.scale_, self.weights_)
        self.threshold_ = best_threshold(odds, member)

    def _decide(self, target: Signals) -> Floats:
        scores = self._scores(target, self.chosen())
        if self.second != "none":
            still = second.stillness(target)
            scores = second.combined(scores, still, self.centre_, self.scale_, self.weights_)
        return scores - self.threshold_

    def identity(self) -> dict[str, Any]:
        """Return the options by name; without a second signal it is not among them."""
        options = super().identity()
        if options["second"] == "none":
            del options["second"]
        return options

    def _scores(self, signals: Signals, options: Mapping[str, Any]) -> Floats:
        scores = np.empty(len(signals))
        for rows in _networks(signals):
            scores[rows] = self.scores(signals.subset(rows), options)
        return scores


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


def _able(signals: Signals, setting: str, spread: str | None) -> Bools:
    """Return which samples have the networks that a score needs, shape (n,)."""
    _, _, trained = _answers(signals)
    least = 2 if spread == "record" else 1
    if setting == "online":
        return likelihood.on_both_sides(trained, least)
    enough: Bools = (~trained).sum(axis=0) >= least
    return enough


def _networks(signals: Signals) -> Iterator[Bools]:
    """Yield which samples each network answered, shape (n,)."""
    model = signals.model
    assert model is not None
    for number in np.unique(model):
        yield model == number
