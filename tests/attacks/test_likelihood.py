"""LiRA's and RMIA's formulas: by hand, by brute force, where the likelihood ratio is known.

The brute forces are other tools' formulas, typed again: RMIA is Privacy Meter's (`run_rmia`), LiRA
TensorFlow Privacy's (`compute_score_lira`), which divides squares by the number of networks, here
by one less (Bessel).
"""

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

import prunemia as pm
from prunemia.attacks.likelihood import PRIOR, SPREADS
from prunemia.lab import references
from prunemia.lab.steps import attack_step

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


# -- the sensitivity as a second signal


def answers(n, shift, moved, seed):
    """Members: log-odds larger by ``shift``, log sensitivity smaller by ``moved`` deviations."""
    draw = np.random.default_rng(seed)
    member = np.arange(n) % 2 == 0
    easy = draw.normal(size=n)
    odds = easy + shift * member + draw.normal(size=n)
    p = 1 / (1 + np.exp(-odds))
    sensitivities = np.exp(draw.normal(size=n) - moved * member)
    return pm.Signals(
        np.stack([p, 1 - p], axis=1),
        np.repeat(sensitivities[:, None], 2, axis=1),
        np.zeros(n, dtype=int),
        member,
        references=easy[:, None] + draw.normal(size=(n, 40)),
    )


@cache
def auc(name, shift, moved, second="none"):
    """Return the AUC on a target, and the attack, fitted on as many samples."""
    n = 20_000 if name == "lira" else 6000  # theory speaks of lira alone
    shadow, target = (answers(n, shift, moved, seed) for seed in (1, 2))
    attack = pm.attacks.get(name)(second=second).fit(shadow)
    return roc_auc_score(target.membership, attack.decision_function(target)), attack


@pytest.mark.parametrize("name", ["lira", "rmia"])
def test_two_independent_signals_add_up_to_theory_and_one_that_says_nothing_changes_nothing(name):
    # Both shift by one deviation of a normal law, so their sum separates by √2: AUC = Φ(√2 / √2).
    # The score's own deviation is that of log-odds and reference mean; rmia only ranks by it.
    both, _ = auc(name, 1.0, 1.0, "sensitivity")
    score, _ = auc(name, 1.0, 1.0)
    assert both > max(score, stats.norm.cdf(1 / np.sqrt(2))) + 0.05
    if name == "lira":
        assert both == pytest.approx(
            stats.norm.cdf(np.sqrt(1 + 1 / (1 + 1 / 40)) / np.sqrt(2)), abs=0.01
        )
    assert auc(name, 1.0, 0.0, "sensitivity")[0] == pytest.approx(auc(name, 1.0, 0.0)[0], abs=0.01)


def test_neither_signal_gives_one_half():
    assert auc("lira", 0.0, 0.0, "sensitivity")[0] == pytest.approx(0.5, abs=0.02)


def test_zero_is_the_threshold_of_best_balanced_accuracy_on_the_shadows_also_when_stored():
    _, attack = auc("lira", 1.0, 1.0, "sensitivity")
    shadow = answers(20_000, 1.0, 1.0, seed=1)
    scores, member = attack.decision_function(shadow), shadow.membership
    balanced = lambda t: ((scores >= t)[member].mean() + (scores < t)[~member].mean()) / 2  # noqa: E731
    assert all(balanced(0.0) >= balanced(t) - 1e-12 for t in np.quantile(scores, [0.1, 0.4, 0.6]))
    again = pm.attacks.get("lira")(second="sensitivity").restore(attack.learned())
    assert np.array_equal(again.decision_function(shadow), scores)


def test_the_combination_by_hand():
    # Centre (1, 2), scale (2, 4): (3, -2) becomes (1, -1): squares 1 and 1, product -1.
    attack = pm.attacks.get("lira")(second="sensitivity")
    attack.centre_, attack.scale_ = np.array([1.0, 2.0]), np.array([2.0, 4.0])
    attack.weights_ = np.array([1.0, 10.0, 100.0, 1000.0, 10_000.0, 0.5])
    odds = attack._combined(np.array([[3.0, -2.0]]))
    assert odds == pytest.approx([1 - 10 + 100 + 1000 - 10_000 + 0.5])


def test_without_it_the_identity_is_as_it_was_and_sensitivities_may_be_missing():
    assert pm.attacks.get("lira")().identity() == {"setting": "offline", "spread": None}
    assert pm.attacks.get("lira")(second="sensitivity").identity()["second"] == "sensitivity"
    bare = pm.Signals.from_arrays({**answers(50, 1.0, 1.0, seed=3).arrays(), "sensitivities": None})
    pm.attacks.get("lira")().fit(bare)
    with pytest.raises(ValueError, match="sensitivities: None"):
        pm.attacks.get("lira")(second="sensitivity").fit(bare)


def test_the_lab_gives_each_shadow_its_own_sensitivities(tmp_path):
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    exp = pm.Experiment(dataset="digits", model="columnfc", samples=400, shadows=2, epochs=2)
    step = attack_step(exp, "lira", "pruned", {"second": "sensitivity"})
    asked, queries = references.for_attack(step), references.queried(step)
    shadows = references.as_shadows(lab, asked, queries)
    known = lab.signals(exp).shadow
    for number, shadow in enumerate(shadows, start=1):
        own = known.subset(known.model == number)
        order = np.argsort(lab.split(exp, number).asked)
        assert np.array_equal(shadow.labels, own.labels[order])
        assert np.allclose(shadow.posteriors, own.posteriors[order], atol=1e-5)
        assert np.array_equal(shadow.sensitivities, own.sensitivities[order])
    assert lab.attack(exp, "lira", second="sensitivity").evaluation.auc.value > 0
