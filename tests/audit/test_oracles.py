"""LiRA and RMIA against other tools' formulas, typed again here from their sources.

RMIA: privacytrustlab/ml_privacy_meter, modules/mia/attacks/rmia.py (`run_rmia`). LiRA and its
statistic: tensorflow/privacy, privacy_tests/membership_inference_attack/advanced_mia.py
(`compute_score_lira`, `calculate_statistic`). The thresholds' oracle is scikit-learn's ROC.
"""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_curve

import prunemia as pm
from prunemia.attacks.likelihood import lira_scores, log_odds, rmia_scores
from prunemia.audit.evidence import point

K, N = 8, 300


def world(seed=0):
    """Posteriors of a target and of K networks, half of which trained on each sample."""
    draw = np.random.default_rng(seed)
    trained = draw.permuted(np.arange(K)[:, None] < np.full(N, K // 2), axis=0)
    phi = draw.normal(scale=2, size=N) + 2 * (np.arange(N) % 2) + draw.normal(size=N)
    others = draw.normal(scale=2, size=N) + 2 * trained + draw.normal(size=(K, N))
    return phi, others, trained


def theirs_rmia(target, references, memberships, z_target, z_references, a, count):
    """Privacy Meter: arrays of shape (samples,), (samples, models); a ratio counts above 1."""

    def at_large(signals, members):
        outside = -np.sort(-(signals * ~members), axis=1)[:, :count]
        return (1 + a) / 2 * outside.mean(axis=1) + (1 - a) / 2

    ratio_x = target / at_large(references, memberships)
    ratio_z = z_target / at_large(z_references, np.zeros(z_references.shape, dtype=bool))
    return np.average(ratio_x[:, None] / ratio_z > 1.0, axis=1)


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
def test_rmia_is_privacy_meters(a):
    draw = np.random.default_rng(1)
    p, z = draw.uniform(0.01, 1, N), draw.uniform(0.01, 1, 500)
    at, at_z = draw.uniform(0.01, 1, (K, N)), draw.uniform(0.01, 1, (K, 500))
    nobody = np.zeros((N, K), dtype=bool)
    expected = theirs_rmia(p, at.T, nobody, z, at_z.T, a, K)

    assert rmia_scores(p, at, z, at_z, gamma=1.0, a=a) == pytest.approx(expected, abs=1e-12)


def test_rmia_where_networks_trained_on_some_samples_uses_the_others_alone():
    phi, others, trained = world()
    p, at = stats.logistic.cdf(phi), stats.logistic.cdf(others)
    attack = pm.attacks.get("rmia")(setting="offline", gamma=1.0, a=0.3)
    signals = pm.Signals(
        np.stack([p, 1 - p], axis=1), None, np.zeros(N), None, None, others.T, trained.T
    )
    scores = attack.scores(signals, {"gamma": 1.0, "a": 0.3})
    # their own samples as the population; a sample does not outdo itself there, here it does
    outside = -np.sort(-(at.T * ~trained.T), axis=1)[:, : K // 2]
    ratio = p / (0.65 * outside.mean(axis=1) + 0.35)
    expected = np.average(ratio[:, None] / ratio > 1.0, axis=1)

    assert scores - 1 / N == pytest.approx(expected, abs=2 / N)


def theirs_lira(target, inside, outside, *, fix_variance):
    """TensorFlow Privacy, option "both", mean, one query a sample; lower for members."""
    both = []
    for lists in (inside, outside):
        average = np.array([each.mean() for each in lists])
        spread = np.array([np.std(each) for each in lists])
        if fix_variance:
            spread = np.std(np.concatenate([v - m for v, m in zip(lists, average, strict=True)]))
        # they divide by the number of networks, here by one less (Bessel)
        spread = spread * np.sqrt(len(lists[0]) / (len(lists[0]) - 1))
        both.append(stats.norm.logpdf(target, average, spread + 1e-30))
    return -(both[0] - both[1])


@pytest.mark.parametrize(("spread", "fix_variance"), [("record", False), ("pooled", True)])
def test_lira_is_tensorflow_privacys(spread, fix_variance):
    phi, others, trained = world()
    inside = [others[trained[:, i], i] for i in range(N)]
    outside = [others[~trained[:, i], i] for i in range(N)]
    expected = -theirs_lira(phi, inside, outside, fix_variance=fix_variance)

    assert lira_scores(phi, others, trained, spread) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_statistic_is_theirs():
    draw = np.random.default_rng(2)
    logits, labels = draw.normal(scale=4, size=(N, 10)), draw.integers(0, 10, N)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    true, rest = p[np.arange(N), labels], p.copy()
    rest[np.arange(N), labels] = 0
    expected = np.log(true + 1e-45) - np.log(rest.sum(axis=1) + 1e-45)

    assert log_odds(p, labels) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_point_is_one_of_scikit_learns_roc(seed):
    draw = np.random.default_rng(seed)
    member = draw.random(600) < 0.4
    scores = (draw.normal(size=600) + member).round(1)
    rates, hits, _ = roc_curve(member, scores, drop_intermediate=False)
    for fpr in (0.01, 0.05):
        found = point(scores, member, fpr)
        best = np.flatnonzero(rates <= fpr + 1e-12)[-1]  # ties: theirs may not stop within a tie
        assert found.found / member.sum() == pytest.approx(hits[best])
        assert found.fpr == pytest.approx(rates[best])
