"""The sensitivity as a second signal of lira and rmia."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

import prunemia as pm
from prunemia import attacks


def world(n, shift, moved, seed):
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
    shadow, target = (world(n, shift, moved, seed) for seed in (1, 2))
    attack = attacks.get(name)(second=second).fit(shadow)
    return roc_auc_score(target.membership, attack.decision_function(target)), attack


@pytest.mark.parametrize("name", ["lira", "rmia"])
def test_two_independent_signals_add_up_to_theory_and_one_that_says_nothing_changes_nothing(name):
    # Both shift by one deviation of a normal law, so their sum separates by √2: AUC = Φ(√2 / √2).
    # The score's own deviation is that of log-odds and reference mean; rmia only ranks by it.
    both, _ = auc(name, 1.0, 1.0, "sensitivity")
    score, _ = auc(name, 1.0, 1.0)
    assert both > max(score, norm.cdf(1 / np.sqrt(2))) + 0.05
    if name == "lira":
        assert both == pytest.approx(norm.cdf(np.sqrt(1 + 1 / (1 + 1 / 40)) / np.sqrt(2)), abs=0.01)
    assert auc(name, 1.0, 0.0, "sensitivity")[0] == pytest.approx(auc(name, 1.0, 0.0)[0], abs=0.01)


def test_neither_signal_gives_one_half():
    assert auc("lira", 0.0, 0.0, "sensitivity")[0] == pytest.approx(0.5, abs=0.02)


def test_zero_is_the_threshold_of_best_balanced_accuracy_on_the_shadows_also_when_stored():
    _, attack = auc("lira", 1.0, 1.0, "sensitivity")
    shadow = world(20_000, 1.0, 1.0, seed=1)
    scores, member = attack.decision_function(shadow), shadow.membership
    balanced = lambda t: ((scores >= t)[member].mean() + (scores < t)[~member].mean()) / 2  # noqa: E731
    assert all(balanced(0.0) >= balanced(t) - 1e-12 for t in np.quantile(scores, [0.1, 0.4, 0.6]))
    again = attacks.get("lira")(second="sensitivity").restore(attack.learned())
    assert np.array_equal(again.decision_function(shadow), scores)


def test_the_combination_by_hand():
    # Centre (1, 2), scale (2, 4): (3, -2) becomes (1, -1): squares 1 and 1, product -1.
    attack = attacks.get("lira")(second="sensitivity")
    attack.centre_, attack.scale_ = np.array([1.0, 2.0]), np.array([2.0, 4.0])
    attack.weights_ = np.array([1.0, 10.0, 100.0, 1000.0, 10_000.0, 0.5])
    odds = attack._combined(np.array([[3.0, -2.0]]))
    assert odds == pytest.approx([1 - 10 + 100 + 1000 - 10_000 + 0.5])


def test_without_it_the_identity_is_as_it_was_and_sensitivities_may_be_missing():
    assert attacks.get("lira")().identity() == {"setting": "offline", "spread": None}
    assert attacks.get("lira")(second="sensitivity").identity()["second"] == "sensitivity"
    bare = pm.Signals.from_arrays({**world(50, 1.0, 1.0, seed=3).arrays(), "sensitivities": None})
    attacks.get("lira")().fit(bare)
    with pytest.raises(ValueError, match="sensitivities: None"):
        attacks.get("lira")(second="sensitivity").fit(bare)


def test_the_lab_gives_each_shadow_its_own_sensitivities(tmp_path):
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    exp = pm.Experiment(dataset="digits", model="columnfc", samples=400, shadows=2, epochs=2)
    from prunemia.lab import references
    from prunemia.lab.steps import attack_step

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
