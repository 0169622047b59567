import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

import prunemia as pm
from prunemia import attacks

THRESHOLDS = ("conf", "xent", "mentr", "top1conf")


def balanced(values, member, threshold):
    return ((values[member] >= threshold).mean() + (values[~member] < threshold).mean()) / 2


# One row (0.5, 0.25, 0.25): entropy ½ ln 2 + 2 · ¼ ln 4 = 1.5 ln 2. With true class 1: p_y = ¼,
# mentr = ¾ ln 4 + ½ ln 2 + ¼ ln(4/3) (the class of ½, and the other of ¼).
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conf", 0.25),
        ("xent", -1.5 * math.log(2)),
        ("mentr", -(0.75 * math.log(4) + 0.5 * math.log(2) + 0.25 * math.log(4 / 3))),
        ("top1conf", 0.5),
        ("top1conf, true_class", 0.25),  # as the published code has it
    ],
)
def test_statistics_by_hand(name, expected):
    name, *statistic = name.split(", ")
    attack = attacks.get(name)(*statistic)
    assert attack.values(pm.Signals([[0.5, 0.25, 0.25]], None, [1])) == pytest.approx([expected])
    # a row that sums to more than one, within the tolerance
    assert np.isfinite(attack.values(pm.Signals([[1.0004, 0.0001]], None, [0])))


def test_the_modified_entropy_is_bounded_where_the_network_is_surely_wrong():
    # p = (1, 0), true class 1: -(1 - 0) ln 1e-30 - 1 · ln 1e-30 = 60 ln 10 = 138.155; surely right:
    # 0.
    wrong, right = attacks.get("mentr")().values(pm.Signals([[1, 0], [1, 0]], None, [1, 0]))
    assert (wrong, right) == (pytest.approx(-60 * math.log(10)), 0)


def test_thresholds_by_hand():
    # Class 0: members 0.9, 0.6, non-members 0.7, 0.2. At 0.9: (½ + 1)/2 = ¾; at 0.7: (½ + ½)/2; at
    # 0.6: (1 + ½)/2 = ¾. Both are best: the lower of the two. Class 1: members 0.8, non-member 0.3:
    # 0.8 separates them. Class 2 has a member alone. Over all, members .9 .6 .8 .5, others .7 .2
    # .3: at 0.5 (1 + ⅔)/2 is best.
    true = np.array([0.9, 0.6, 0.7, 0.2, 0.8, 0.3, 0.5])
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    posteriors = np.repeat((1 - true)[:, None] / 2, 3, axis=1)
    posteriors[np.arange(7), labels] = true
    member = [True, True, False, False, True, False, True]

    attack = attacks.get("conf")().fit(pm.Signals(posteriors, None, labels, member))

    assert attack.thresholds_ == pytest.approx([0.6, 0.8, 0.5])
    assert attack.decision_function(pm.Signals([[0.7, 0.2, 0.1]], None, [0])) == pytest.approx(
        [0.1]
    )
    # a value at the threshold is a member's
    shadow = pm.Signals([[0.75, 0.25], [0.5, 0.5]], None, [0, 0], [True, False])
    attack.fit(shadow)
    assert attack.thresholds_[0] == 0.75
    assert attack.predict(shadow).tolist() == [True, False]


def shifted(n, shift, seed, easy=0.0, apart=0.0):
    """Two classes, n members and n others: margins N(easy + shift, 1) and N(easy, 1).

    Class 1's are ``apart`` larger.
    """
    draw = np.random.default_rng(seed)
    member = np.arange(2 * n) < n
    labels = np.arange(2 * n) % 2 if apart else np.zeros(2 * n, dtype=int)
    logits = np.zeros((2 * n, 2))
    logits[np.arange(2 * n), labels] = draw.normal(easy + shift * member + apart * labels)
    return pm.Signals.from_logits(logits, np.zeros((2 * n, 2)), labels, membership=member)


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("name", THRESHOLDS)
def test_every_statistic_ranks_sure_networks_samples_by_margin(name, shift):
    # Margins about 4: all four statistics rise with a positive margin (3 in 100,000 are not). AUC
    # Φ(shift / √2): ½ in the null, where the balanced accuracy is ½, too; halfway between the two
    # means it is Φ(shift / 2). On 4,000 samples a side the standard errors are at most √(¼ / 4000)
    # = 0.008: four of them.
    target = shifted(4000, shift, seed=2, easy=4)
    attack = attacks.get(name)().fit(shifted(4000, shift, seed=1, easy=4))
    scores, member = attack.decision_function(target), target.membership
    assert roc_auc_score(member, scores) == pytest.approx(norm.cdf(shift / 2**0.5), abs=0.032)
    assert balanced(scores, member, 0.0) == pytest.approx(norm.cdf(shift / 2), abs=0.032)


@pytest.mark.parametrize("name", ["conf", "xent", "mentr"])
def test_thresholds_of_their_own_serve_classes_of_different_ease(name):
    # Halfway between members and others, 2 apart, is best in each class: Φ(1) = 0.841, standard
    # error over 8,000 rows 0.004, four of them. The learned threshold costs little.
    target = shifted(4000, 2, seed=4, easy=3, apart=4)
    found = attacks.get(name)().fit(shifted(4000, 2, seed=3, easy=3, apart=4)).predict(target)
    assert balanced(found, target.membership, True) == pytest.approx(norm.cdf(1), abs=0.018)


def test_top1conf_has_one_threshold_and_cannot_serve_both():
    # With classes 6 apart it suits one, and in the other calls all alike: ½ (Φ(1) + ½) = 0.671.
    shadow, target = shifted(4000, 2, seed=3, apart=6), shifted(4000, 2, seed=4, apart=6)
    attack = attacks.get("top1conf")(statistic="true_class").fit(shadow)
    right = balanced(attack.predict(target), target.membership, True)
    assert len(set(attack.thresholds_)) == 1
    assert right == pytest.approx((norm.cdf(1) + 0.5) / 2, abs=0.025)


@pytest.mark.parametrize("name", THRESHOLDS)
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(4, 60), classes=st.integers(2, 7), seed=st.integers(0, 999), ties=st.booleans()
)
def test_on_its_own_shadows_it_decides_as_the_quadratic_loop(name, n, classes, seed, ties):
    # Row by row: every threshold of its class, or of all rows where that class lacks a side;
    # compared as integers. With ties, which many rows share, the middle threshold decides.
    draw = np.random.default_rng(seed)
    p, labels = draw.dirichlet(np.ones(classes), n), draw.integers(0, classes, n)
    shadow = pm.Signals(p[np.arange(n) % 5] if ties else p, None, labels, np.arange(n) % 2 == 0)
    attack = attacks.get(name)().fit(shadow)
    values, member = attack.values(shadow), shadow.membership
    expected = []
    for i in range(n):
        rows = np.flatnonzero(shadow.labels == shadow.labels[i])
        if name == "top1conf" or not 0 < member[rows].sum() < len(rows):
            rows = np.arange(n)
        gains = {}
        for t in np.unique(values[rows]):
            taken, m = values[rows] >= t, member[rows]
            gains[t] = (taken & m).sum() * (~m).sum() - (taken & ~m).sum() * m.sum()
        best = sorted(t for t, gain in gains.items() if gain == max(gains.values()))
        expected.append(values[i] - best[(len(best) - 1) // 2])

    assert attack.decision_function(shadow).tolist() == expected
