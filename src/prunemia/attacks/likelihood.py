"""lira and rmia: each sample judged by how other networks answer that very sample.

Sources: LiRA, Carlini et al. (S&P 2022, IV); RMIA, Zarifzadeh et al. (ICML 2024).
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, PositiveFloat
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from prunemia.attacks.base import Attack, Bools, Floats
from prunemia.attacks.threshold import SMALLEST, best_threshold
from prunemia.metrics import evaluate
from prunemia.signals import Signals

SPREADS = ("pooled", "record", "shrunk")
PRIOR = 4.0  # degrees of freedom that the pooled variance counts for in "shrunk": of five networks
GAMMA, A = 2.0, 0.3  # RMIA's own choice of γ and a
Setting = Literal["offline", "online"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)
Second = Literal["none", "sensitivity"]
FPR = 0.01  # the false-positive rate at which options are compared on the shadows
SMALLEST_SENSITIVITY = 1e-6  # added to a mean sensitivity before its logarithm is taken


def log_odds(posteriors: ArrayLike, labels: ArrayLike) -> Floats:
    """Return ln p_y − ln Σ_{c≠y} p_c, (n,), of posteriors (n, C); sums are cut at 1e-30."""
    p = np.asarray(posteriors, dtype=np.float64)
    sample, y = np.arange(len(p)), np.asarray(labels)
    rest = p.copy()
    rest[sample, y] = 0.0
    true, others = p[sample, y], rest.sum(axis=1)
    return np.log(np.maximum(true, SMALLEST)) - np.log(np.maximum(others, SMALLEST))


def lira_scores(
    target: ArrayLike,
    reference: ArrayLike,
    trained_on: ArrayLike | None = None,
    spread: str = "pooled",
) -> Floats:
    """Return LiRA's score of each sample, shape (n,); larger = more likely a member.

    Offline (φ − μ_out) / σ_out, against networks that did not train on the sample; online the
    log-likelihood ratio ln N(φ; μ_in, σ_in) − ln N(φ; μ_out, σ_out) of those that did and did not.
    ``target``, ``reference``: the `log_odds` φ of the target, (n,), and of k others, (k, n).
    ``trained_on``: shape (k, n) of bool; None: offline, nobody did. ``spread``: whose standard
    deviation. "record": the sample's own (two networks or more on a side); "pooled": the root of
    the mean variance within a sample, or else of that over samples; "shrunk": the pooled one counts
    like `PRIOR` degrees of freedom (BaVarIA, arXiv 2603.11799). ValueError: shapes disagree, a
    sample lacks networks, or a deviation is zero.
    """
    if spread not in SPREADS:
        raise ValueError(f"spread: {spread!r} is not allowed; allowed: {', '.join(SPREADS)}")
    phi, others, trained = _checked(target, reference, trained_on)
    z_out, sd_out = deviations(phi, others, ~trained, spread)
    if trained_on is None:
        return z_out
    z_in, sd_in = deviations(phi, others, trained, spread)
    return (z_out**2 - z_in**2) / 2 + np.log(sd_out / sd_in)


def deviations(phi: Floats, values: Floats, among: Bools, spread: str) -> tuple[Floats, Floats]:
    """Return (φ − μ) / σ and σ, both shape (n,), by the networks that are ``among``, (k, n)."""
    mean = _mean(values, among)
    freedom = among.sum(axis=0) - 1
    squares = np.where(among, (values - mean) ** 2, 0).sum(axis=0)
    if spread == "record":
        variance = squares / np.maximum(freedom, 1)  # squares are zero where one network is alone
    else:
        known = int(freedom.sum())
        variance = np.full(len(phi), squares.sum() / known if known else np.var(mean))
        if spread == "shrunk":
            variance = (PRIOR * variance + squares) / (PRIOR + freedom)
    if not variance.all():
        raise ValueError(
            f"reference: sample {int(variance.argmin())} has one network on a side, or some that "
            f"agree on it, so that spread {spread!r} is zero; allowed: more, or another spread"
        )
    return (phi - mean) / np.sqrt(variance), np.sqrt(variance)


def rmia_scores(
    target: ArrayLike,
    reference: ArrayLike,
    population_target: ArrayLike,
    population_reference: ArrayLike,
    trained_on: ArrayLike | None = None,
    gamma: float = GAMMA,
    a: float = A,
) -> Floats:
    """Return RMIA's score of each sample, shape (n,), 0 … 1; larger = more likely a member.

    The share of population samples z with ratio(x) / ratio(z) ≥ γ, where ratio(x) = p_y(x) / P(x),
    P being what networks at large give. ``target``, ``reference``: true-class posteriors of the
    target, (n,), and of k others, (k, n); ``population_…``: the same of m other samples.
    ``trained_on``: shape (k, n) of bool: online, P(x) as `at_large`, P(z) the mean over all
    networks; None: offline, P as `at_large` for both. γ > 0, 0 ≤ ``a`` ≤ 1. ValueError: shapes
    disagree, a value is no probability, or a sample lacks networks.
    """
    if not gamma > 0 or not 0 <= a <= 1:
        raise ValueError(f"gamma: {gamma}, a: {a}; allowed: gamma > 0, a from 0 to 1")
    p, others, trained = _checked(target, reference, trained_on, odds=False)
    z, z_others, nobody = _checked(population_target, population_reference, None, odds=False)
    if trained_on is None:
        ratio, population = p / at_large(others, trained, a), z / at_large(z_others, nobody, a)
    else:
        ratio, population = p / at_large(others, trained), z / z_others.mean(axis=0)
    return shares(ratio, population, gamma)


def at_large(values: Floats, trained: Bools, a: float | None = None) -> Floats:
    """Return RMIA's P: the true class's probability to networks at large, shape (n,).

    Online ½(in + out), the means over networks that trained on the sample and that did not;
    offline, with ``a``, ½[(1 + a) · out + (1 − a)].
    """
    out = _mean(values, ~trained)
    return (_mean(values, trained) + out) / 2 if a is None else ((1 + a) * out + 1 - a) / 2


def rmia_among(
    p: Floats, others: Floats, trained: Bools, gamma: float = GAMMA, a: float | None = A
) -> Floats:
    """Return RMIA's score with the samples themselves as the population; ``a`` as `at_large`."""
    ratio = p / at_large(others, trained, a)
    return shares(ratio, ratio, gamma)


def shares(ratio: Floats, population: Floats, gamma: float) -> Floats:
    """Return for each ratio the share of the population's that are ``gamma`` times smaller."""
    below = np.searchsorted(np.sort(population), ratio / gamma, side="right")
    return below / len(population)


def on_both_sides(trained: Bools, least: int = 1) -> Bools:
    """Return which samples ``least`` networks trained on and as many did not, (k, n) → (n,)."""
    return (trained.sum(axis=0) >= least) & ((~trained).sum(axis=0) >= least)


def _checked(
    target: ArrayLike, reference: ArrayLike, trained_on: ArrayLike | None, odds: bool = True
) -> tuple[Floats, Floats, Bools]:
    """Return all three as arrays: log-``odds`` or probabilities; None: nobody trained on any."""
    phi, others = (np.asarray(value, dtype=np.float64) for value in (target, reference))
    trained = np.zeros(others.shape, bool) if trained_on is None else np.asarray(trained_on)
    shapes = phi.ndim == 1 and others.ndim == 2 and trained.shape == others.shape
    if not shapes or others.shape[1:] != phi.shape or not others.size or trained.dtype != bool:
        raise ValueError(
            f"target: shape {phi.shape}, reference: {others.shape}, trained_on: {trained.shape} of "
            f"{trained.dtype}; allowed: (n,), (k, n) and (k, n) of bool, n and k of 1 or more"
        )
    probabilities = 0.0, 1 + 1e-6, "probabilities, more than 0"
    low, high, allowed = (-np.inf, np.inf, "finite log-odds") if odds else probabilities
    for value in (phi, others):
        if not ((value > low) & (value < high)).all():
            span = f"{value.min():g} to {value.max():g}"
            raise ValueError(f"target, reference: {span}; allowed: {allowed}")
    return phi, others, trained


def _mean(values: Floats, among: Bools) -> Floats:
    count = among.sum(axis=0)
    if not count.all():
        raise ValueError(
            f"trained_on: sample {int(count.argmin())} has no network on one side; "
            "allowed: 1 or more that trained on it and 1 or more that did not"
        )
    return np.where(among, values, 0).sum(axis=0) / count


class Referenced(Attack):
    """Scores samples by `Signals.references`, the answers of other networks to the same samples.

    Options that are None and the threshold are chosen on the shadows in the role of the target, the
    others being their references: the largest TPR at 1 % FPR (among equals, AUC), then the best
    balanced accuracy; samples that lack networks on a side take no part. With a second signal the
    threshold is on a regression's log-odds (``weights_``, intercept last).
    """

    choice_: NDArray[np.int64]  # which of each option's candidates was chosen
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
            return on_both_sides(trained, least)
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
        return {"spread": SPREADS if self.spread is None else (self.spread,)}

    def scores(self, signals: Signals, options: Mapping[str, Any]) -> Floats:
        phi, others, trained = _answers(signals)
        if self.setting == "online":
            return lira_scores(phi, others, trained, options["spread"])
        return deviations(phi, others, ~trained, options["spread"])[0]


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
        return rmia_among(expit(phi), expit(others), trained, options["gamma"], a)


def _answers(signals: Signals) -> tuple[Floats, Floats, Bools]:
    """Return the target's log-odds (n,), the references' (k, n), and who trained on what (k, n)."""
    references = signals.require_references().T.astype(np.float64)
    trained = np.zeros(len(signals), bool) if signals.trained_on is None else signals.trained_on.T
    phi = log_odds(signals.posteriors, signals.labels)
    return phi, references, np.broadcast_to(trained, references.shape)
