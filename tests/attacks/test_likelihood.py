"""LiRA's and RMIA's formulas: by hand, by brute force, where the likelihood ratio is known.

The brute forces are other tools' formulas, typed again: RMIA is Privacy Meter's (`run_rmia`), LiRA
TensorFlow Privacy's (`compute_score_lira`), which divides squares by the number of networks, here
by one less (Bessel).
"""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

import prunemia as pm
from prunemia.attacks.likelihood import PRIOR, SPREADS

lira, rmia = pm.attacks.lira_scores, pm.attacks.rmia_scores


def test_log_odds_are_those_of_the_logits():
    z = np.random.default_rng(0).normal(scale=8, size=(50, 6))
    y = np.arange(50) % 6
    rest = [logsumexp(np.delete(row, label)) for row, label in zip(z, y, strict=True)]
    p = np.exp(z - logsumexp(z, axis=1, keepdims=True))
    assert pm.attacks.log_odds(p, y) == pytest.approx(z[np.arange(50), y] - rest)
    # an almost sure answer: 1 - p_y would be lost to rounding, the other posteriors are not
    sure = np.array([[1.0 - 1e-20, 6e-21, 4e-21]])
    assert pm.attacks.log_odds(sure, [0]) == pytest.approx(math.log(1e20))


def test_lira_offline_by_hand():
    # Sample 0: references 1, 3: mean 2, squares 2. Sample 1: 0, 6: mean 3, squares 18. "shrunk" has
    # one degree of freedom each beside the pooled four.
    assert PRIOR == 4
    for spread, variances in (
        ("pooled", [(2 + 18) / 2] * 2),
        ("record", [2, 18]),
        ("shrunk", [(4 * 10 + 2) / 5, (4 * 10 + 18) / 5]),
    ):
        found = lira([4.0, 9.0], [[1.0, 0.0], [3.0, 6.0]], spread=spread)
        assert found == pytest.approx([2, 6] / np.sqrt(variances))
    # one reference is a difference on one scale: its answers 0 and 4 differ by sample alone, by 2
    for spread in ("pooled", "shrunk"):
        assert lira([1.0, 7.0], [[0.0, 4.0]], spread=spread) == pytest.approx([0.5, 1.5])
    with pytest.raises(ValueError, match="sample 0 has one network on a side"):
        lira([1.0, 7.0], [[0.0, 4.0]], spread="record")


@pytest.mark.parametrize("spread", SPREADS)
def test_lira_online_is_the_ratio_of_two_normal_densities(spread):
    rng = np.random.default_rng(1)
    k, n = 9, 40
    target, reference = rng.normal(size=n), rng.normal(size=(k, n)) + rng.normal(size=n)
    trained = rng.permuted(np.arange(k)[:, None] < np.full(n, 4), axis=0)

    sides = []
    for side in (trained, ~trained):
        values = [reference[side[:, i], i] for i in range(n)]
        squares = np.array([((v - v.mean()) ** 2).sum() for v in values])
        freedom = side.sum(axis=0) - 1
        pooled = squares.sum() / freedom.sum()
        variance = {
            "record": squares / freedom,
            "pooled": pooled,
            "shrunk": (4 * pooled + squares) / (4 + freedom),
        }[spread]
        means = [v.mean() for v in values]
        sides.append(stats.norm.logpdf(target, means, np.sqrt(variance)))
    assert lira(target, reference, trained, spread) == pytest.approx(sides[0] - sides[1])


def brute_rmia(p, reference, z, z_reference, trained, gamma, a):
    scores = []
    for i in range(len(p)):
        if trained is None:
            at_large = 0.5 * ((1 + a) * np.mean(reference[:, i]) + 1 - a)
        else:
            inside, outside = reference[trained[:, i], i], reference[~trained[:, i], i]
            at_large = (inside.mean() + outside.mean()) / 2
        wins = 0
        for j in range(len(z)):
            mean = np.mean(z_reference[:, j])
            z_at_large = 0.5 * ((1 + a) * mean + 1 - a) if trained is None else mean
            wins += (p[i] / at_large) / (z[j] / z_at_large) >= gamma
        scores.append(wins / len(z))
    return scores


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize(("gamma", "a"), [(1.0, 0.3), (2.0, 0.3), (1.5, 1.0), (1.2, 0.0)])
def test_rmia_is_the_share_that_is_gamma_times_smaller(online, gamma, a):
    rng = np.random.default_rng(2)
    k, n, m = 6, 30, 45
    p, reference = rng.uniform(0.01, 1, n), rng.uniform(0.01, 1, (k, n))
    z, z_reference = rng.uniform(0.01, 1, m), rng.uniform(0.01, 1, (k, m))
    trained = rng.permuted(np.arange(k)[:, None] < np.full(n, 3), axis=0) if online else None
    found = rmia(p, reference, z, z_reference, trained, gamma, a)
    assert found == pytest.approx(brute_rmia(p, reference, z, z_reference, trained, gamma, a))


def test_rmia_offline_takes_of_each_sample_the_networks_alone_that_did_not_train_on_it():
    phi, others, trained, _ = world(300, 8, 2.0)
    p, at = stats.logistic.cdf(phi), stats.logistic.cdf(others)
    both = np.stack([p, 1 - p], axis=1)
    signals = pm.Signals(both, None, np.zeros(300), None, None, others.T, trained.T)
    scores = pm.attacks.get("rmia")(setting="offline").scores(signals, {"gamma": 1.0, "a": 0.3})
    outside = np.array([at[~trained[:, i], i].mean() for i in range(300)])
    ratio = p / (0.65 * outside + 0.35)
    expected = np.average(ratio[:, None] / ratio > 1.0, axis=1)  # in theirs none outdoes itself
    assert scores - 1 / 300 == pytest.approx(expected, abs=2 / 300)


def test_rmia_by_hand():
    # P = ((1.3)(0.5) + 0.7) / 2 = 0.675 for x, ((1.3)(0.9) + 0.7) / 2 = 0.935 for z; the ratios are
    # 0.9 / 0.675 = 4/3 and 0.0935 / 0.935 = 0.1, 0.935 / 0.935 = 1: one of two is twice smaller.
    assert rmia([0.9], [[0.5]], [0.0935, 0.935], [[0.9, 0.9]]) == [0.5]


def world(n=4000, k=64, shift=1.5, seed=0):
    """A world of normal log-odds: N(δ_x + shift, 1) for members, N(δ_x, 1) for others."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(scale=3, size=n)
    member = np.arange(n) < n // 2
    trained = rng.permuted(np.arange(k)[:, None] < np.full(n, k // 2), axis=0)
    target = hardness + shift * member + rng.normal(size=n)
    return target, hardness + shift * trained + rng.normal(size=(k, n)), trained, member


def test_in_a_gaussian_world_lira_is_as_good_as_theory():
    # The optimal score is the likelihood ratio, whose AUC is Φ(shift / √2).
    target, reference, trained, member = world()
    optimum = stats.norm.cdf(1.5 / math.sqrt(2))
    error = 4 * math.sqrt(optimum * (1 - optimum) / 2000)  # beyond four standard errors
    scores = [lira(target, reference, trained, spread) for spread in SPREADS]
    scores.append(target - np.nanmean(np.where(trained, np.nan, reference), axis=0))  # offline
    for each in scores:
        assert roc_auc_score(member, each) == pytest.approx(optimum, abs=error)
    assert roc_auc_score(member, target) < optimum - 0.15  # what ignores how hard a sample is


@pytest.mark.parametrize("attack", ["lira", "rmia"])
def test_where_nothing_leaks_the_scores_are_chance(attack):
    target, reference, trained, member = world(shift=0.0)
    if attack == "lira":
        scores = [lira(target, reference, t) for t in (trained, None)]
    else:
        p, q = 1 / (1 + np.exp(-target)), 1 / (1 + np.exp(-reference))
        scores = [rmia(p, q, p, q, t) for t in (trained, None)]
    for each in scores:
        assert roc_auc_score(member, each) == pytest.approx(0.5, abs=4 * 0.0091)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: lira([1.0], [[1.0, 2.0]]), r"target: shape \(1,\), reference: \(1, 2\)"),
        (lambda: lira([np.nan], [[1.0]]), "nan to nan; allowed: finite log-odds"),
        (lambda: lira([1.0], [[1.0]], spread="own"), "spread: 'own' is not allowed"),
        (lambda: lira([1.0], [[1.0]], [[0]]), "of int64; allowed: .* of bool"),
        (lambda: lira([1, 2], [[1, 0], [3, 1]], [[True, True], [True, False]]), "sample 0 has no"),
        (lambda: rmia([1.5], [[0.5]], [0.5], [[0.5]]), "1.5 to 1.5; allowed: probabilities"),
        (lambda: rmia([0.5], [[0.5]], [0.5], [[0.5]], gamma=0), "gamma: 0"),
    ],
)
def test_what_cannot_be_scored_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
