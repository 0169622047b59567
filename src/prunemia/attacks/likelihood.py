"""What LiRA (Carlini et al., S&P 2022, IV) and RMIA (Zarifzadeh et al., ICML 2024) compute."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from prunemia.attacks.base import Bools, Floats

SPREADS = ("pooled", "record", "shrunk")
PRIOR = 4.0
"""The degrees of freedom that the pooled variance counts for in "shrunk": of five networks."""
SMALLEST = 1e-30
GAMMA, A = 2.0, 0.3
"""RMIA's own choice of γ and a."""


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
    ValueError: shapes disagree, a sample lacks networks, or a deviation is zero.

    Parameters
    ----------
    target, reference : shapes (n,) and (k, n), the `log_odds` φ of the target and of k others.
    trained_on : shape (k, n) of bool, who trained on which sample; None: offline, nobody did.
    spread : whose standard deviation. "record": the sample's own (two networks or more on a side).
        "pooled": the root of the mean variance within a sample, or else of that over samples.
        "shrunk": the pooled one counts like `PRIOR` degrees of freedom (BaVarIA, arXiv 2603.11799).
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
    deviation: Floats = np.sqrt(variance)
    return (phi - mean) / deviation, deviation


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
    P being what networks at large give; so the score rises with ratio(x), whatever z and γ.
    ValueError: shapes disagree, a value is no probability, or a sample lacks networks.

    Parameters
    ----------
    target, reference : shapes (n,) and (k, n), true-class posteriors of the target and k others.
    population_target, population_reference : shapes (m,) and (k, m), the same of m other samples.
    trained_on : shape (k, n) of bool: online, P(x) as `at_large`, P(z) the mean over all networks.
        None: offline, P as `at_large` for x and z alike.
    gamma, a : γ > 0 and 0 ≤ a ≤ 1.
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
    low, high, allowed = -np.inf, np.inf, "finite log-odds"
    if not odds:
        low, high, allowed = 0.0, 1 + 1e-6, "probabilities, more than 0"
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
