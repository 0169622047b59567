"""What LiRA and RMIA compute, as pure functions: a sample's answer against other networks' answers.

Source: Carlini et al., "Membership Inference Attacks From First Principles" (S&P 2022), algorithm 1
and section IV; Zarifzadeh, Liu & Shokri, "Low-Cost High-Power Membership Inference Attacks" (ICML
2024), equations 2 to 10.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunemia.attacks.base import Bools, Floats, require_choice

SPREADS = ("pooled", "record", "shrunk")
PRIOR = 4.0
"""The degrees of freedom that the pooled variance counts for in "shrunk": of five networks."""
SMALLEST = 1e-30
GAMMA, A = 2.0, 0.3
"""RMIA's own choice of γ and a."""


def log_odds(posteriors: ArrayLike, labels: ArrayLike) -> Floats:
    """Return the log-odds of the true class, ln p_y − ln Σ_{c≠y} p_c, shape (n,) of float64.

    ``posteriors``: shape (n, C). On the logits z this is z_y − logsumexp_{c≠y} z_c. Small
    posteriors keep their precision, so an almost sure answer keeps its own; below 1e-30 it is cut.
    """
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

    Offline, how many standard deviations the target's log-odds φ lie above those of networks that
    did not train on the sample: (φ − μ_out) / σ_out. Online, the log-likelihood ratio of φ under
    the normal distributions of networks that did and that did not train on it:
    ln N(φ; μ_in, σ_in) − ln N(φ; μ_out, σ_out).

    Parameters
    ----------
    target : shape (n,), the target's log-odds φ of the true class (see `log_odds`).
    reference : shape (k, n), those of k networks on the same samples.
    trained_on : shape (k, n) of bool, who trained on which sample; None: offline, nobody did.
    spread : whose standard deviation. "record": the sample's own (two networks or more on each
        side, Bessel's correction). "pooled": one over all samples, the root of the mean variance
        within a sample; where no sample has two networks, the deviation over samples instead.
        "shrunk": the sample's variance drawn towards the pooled one, which counts like `PRIOR`
        degrees of freedom: for few networks (the idea of BaVarIA, arXiv 2603.11799).

    ValueError where shapes disagree, a value is not finite, a sample lacks networks, or a
    deviation is zero.
    """
    require_choice("spread", spread, SPREADS)
    phi, others, trained = _checked(target, reference, trained_on)
    if trained is None:
        return deviations(phi, others, np.ones(others.shape, dtype=bool), spread)[0]
    z_in, sd_in = deviations(phi, others, trained, spread)
    z_out, sd_out = deviations(phi, others, ~trained, spread)
    return (z_out**2 - z_in**2) / 2 + np.log(sd_out / sd_in)


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

    The share of population samples z with ratio(x) / ratio(z) ≥ γ, where ratio(x) = p_y(x) / P(x):
    how likely the true class is to the target, against how likely it is to networks at large.

    Parameters
    ----------
    target : shape (n,), the target's posteriors of the true class, 0 … 1.
    reference : shape (k, n), those of k networks on the same samples.
    population_target, population_reference : shapes (m,) and (k, m), the same of m other samples.
    trained_on : shape (k, n) of bool: online, P(x) = ½(mean over networks that trained on x + mean
        over those that did not), and P(z) the mean over all. None: offline, where networks that
        would have trained on x are guessed: P = ½[(1 + a) · mean + (1 − a)], for x and z alike.
    gamma, a : γ > 0 and 0 ≤ a ≤ 1.

    For one target, the score rises with ratio(x), whatever the population and γ: these put scores
    of several targets on one scale. ValueError where shapes disagree, a value is no probability, a
    sample lacks networks, or an option is wrong.
    """
    if not gamma > 0 or not 0 <= a <= 1:
        raise ValueError(f"gamma: {gamma}, a: {a}; allowed: gamma > 0, a from 0 to 1")
    p, others, trained = _checked(target, reference, trained_on)
    z, z_others, _ = _checked(population_target, population_reference, None, "population_")
    for values in (p, others, z, z_others):
        if values.min() <= 0 or values.max() > 1 + 1e-6:
            raise ValueError("target, reference: no probabilities; allowed: more than 0, at most 1")
    if len(others) != len(z_others):
        raise ValueError(
            f"population_reference: {len(z_others)} networks; allowed: {len(others)}, as reference"
        )
    if trained is None:
        nobody, none_of_z = (np.zeros(each.shape, dtype=bool) for each in (others, z_others))
        return shares(p / guessed(others, nobody, a), z / guessed(z_others, none_of_z, a), gamma)
    return shares(p / both_sides(others, trained), z / z_others.mean(axis=0), gamma)


def guessed(values: Floats, trained: Bools, a: float) -> Floats:
    """Return RMIA's offline P: from networks that did not train on a sample, shape (n,)."""
    return ((1 + a) * _mean(values, ~trained) + 1 - a) / 2


def rmia_offline(
    p: Floats, others: Floats, trained: Bools, gamma: float = GAMMA, a: float = A
) -> Floats:
    """Return RMIA's offline score among the samples themselves, by who did not train on them."""
    ratio = p / guessed(others, trained, a)
    return shares(ratio, ratio, gamma)


def both_sides(values: Floats, trained: Bools) -> Floats:
    """Return RMIA's online P: half from networks that trained on a sample, half from others."""
    return (_mean(values, trained) + _mean(values, ~trained)) / 2


def shares(ratio: Floats, population: Floats, gamma: float) -> Floats:
    """Return for each ratio the share of the population's that are ``gamma`` times smaller."""
    below = np.searchsorted(np.sort(population), ratio / gamma, side="right")
    return below / len(population)


def on_both_sides(trained: Bools, least: int = 1) -> Bools:
    """Return which samples ``least`` networks trained on and as many did not, (k, n) → (n,)."""
    return (trained.sum(axis=0) >= least) & ((~trained).sum(axis=0) >= least)


def _checked(
    target: ArrayLike, reference: ArrayLike, trained_on: ArrayLike | None, prefix: str = ""
) -> tuple[Floats, Floats, Bools | None]:
    phi, others = (np.asarray(value, dtype=np.float64) for value in (target, reference))
    if phi.ndim != 1 or others.ndim != 2 or others.shape[1:] != phi.shape or not others.size:
        raise ValueError(
            f"{prefix}target: shape {phi.shape}, {prefix}reference: {others.shape}; "
            "allowed: (n,) and (k, n), both of 1 or more"
        )
    if not (np.isfinite(phi).all() and np.isfinite(others).all()):
        raise ValueError(f"{prefix}target, {prefix}reference: not finite; allowed: finite numbers")
    if trained_on is None:
        return phi, others, None
    trained: NDArray[Any] = np.asarray(trained_on)
    if trained.shape != others.shape or trained.dtype != np.bool_:
        raise ValueError(
            f"trained_on: shape {trained.shape}, dtype {trained.dtype}; "
            f"allowed: {others.shape} of bool"
        )
    return phi, others, trained


def _mean(values: Floats, among: Bools) -> Floats:
    """Return the mean over the networks that are ``among``, sample by sample."""
    count = among.sum(axis=0)
    if not count.all():
        raise ValueError(
            f"trained_on: sample {int(count.argmin())} has no network on one side; "
            "allowed: 1 or more that trained on it and 1 or more that did not"
        )
    return np.where(among, values, 0).sum(axis=0) / count


def deviations(phi: Floats, values: Floats, among: Bools, spread: str) -> tuple[Floats, Floats]:
    """Return (φ − μ) / σ and σ, both shape (n,), by the networks that are ``among``, (k, n)."""
    mean = _mean(values, among)
    freedom = among.sum(axis=0) - 1
    squares = np.where(among, (values - mean) ** 2, 0).sum(axis=0)
    if spread == "record":
        if not freedom.all():
            raise ValueError(
                f"spread: 'record', and sample {int(freedom.argmin())} has one network on a side; "
                "allowed: 2 or more, or another spread"
            )
        variance = squares / freedom
    else:
        known = int(freedom.sum())
        variance = np.full(len(phi), squares.sum() / known if known else np.var(mean))
        if spread == "shrunk":
            variance = (PRIOR * variance + squares) / (PRIOR + freedom)
    if not variance.all():
        raise ValueError(
            f"reference: the networks' answers to sample {int(variance.argmin())} do not differ, "
            f"so that spread {spread!r} is zero; allowed: more than zero"
        )
    deviation: Floats = np.sqrt(variance)
    return (phi - mean) / deviation, deviation
