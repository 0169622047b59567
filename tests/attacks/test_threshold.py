import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

import prunemia as pm
from prunemia import attacks
from prunemia.attacks.threshold import best_threshold

THRESHOLDS = ("conf", "xent", "mentr", "top1conf")


def signals(posteriors, labels, membership=None):
    p = np.asarray(posteriors, dtype=float)
    member = None if membership is None else np.asarray(membership, dtype=bool)
    return pm.Signals(p, np.zeros_like(p), np.asarray(labels), member)


def balanced(values, member, threshold):
    return ((values[member] >= threshold).mean() + (values[~member] < threshold).mean()) / 2


# One row (0.5, 0.25, 0.25): entropy ½ ln 2 + 2 · ¼ ln 4 = 1.5 ln 2.
# With true class 1: p_y = ¼, mentr = ¾ ln 4 + ½ ln 2 + ¼ ln(4/3) (the class of ½, and the other of ¼).
ROW = [[0.5, 0.25, 0.25]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conf", 0.25),
        ("xent", -1.5 * math.log(2)),
        ("mentr", -(0.75 * math.log(4) + 0.5 * math.log(2) + 0.25 * math.log(4 / 3))),
        ("top1conf", 0.5),
    ],
)
def test_statistics_by_hand(name, expected):
    assert attacks.get(name)().values(signals(ROW, [1])) == pytest.approx([expected])


def test_the_modified_entropy_is_bounded_where_the_network_is_surely_wrong():
    # p = (1, 0), true class 1: -(1 - 0) ln 1e-30 - 1 · ln 1e-30 = 60 ln 10 = 138.155; surely right: 0.
    wrong, right = attacks.get("mentr")().values(signals([[1, 0], [1, 0]], [1, 0]))

    assert wrong == pytest.approx(-60 * math.log(10))
    assert right == 0


def test_a_row_that_sums_to_more_than_one_within_the_tolerance_gives_numbers():
    row = signals([[1.0004, 0.0001]], [0])

    assert np.isfinite([attacks.get(name)().values(row)[0] for name in THRESHOLDS]).all()


def test_top1conf_of_the_published_code_takes_the_true_class():
    attack = attacks.get("top1conf")(statistic="true_class")

    assert attack.values(signals(ROW, [1])) == pytest.approx([0.25])
    with pytest.raises(ValueError, match="statistic: 'mean' is not allowed; allowed: 'max', 'true_class'"):
        attacks.get("top1conf")(statistic="mean").fit(signals([[1, 0], [0, 1]], [0, 0], [True, False]))


def test_thresholds_by_hand():
    # Class 0: members 0.9, 0.6, non-members 0.7, 0.2. At 0.9: (½ + 1)/2 = ¾; at 0.7: (½ + ½)/2; at 0.6: (1 + ½)/2 = ¾.
    # Both are best: the lower of the two. Class 1: members 0.8, non-member 0.3: 0.8 separates them.
    # Class 2 has a member alone. Over all, members .9 .6 .8 .5, others .7 .2 .3: at 0.5 (1 + ⅔)/2 is best.
    true = np.array([0.9, 0.6, 0.7, 0.2, 0.8, 0.3, 0.5])
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    posteriors = np.repeat((1 - true)[:, None] / 2, 3, axis=1)
    posteriors[np.arange(7), labels] = true
    member = [True, True, False, False, True, False, True]

    attack = attacks.get("conf")().fit(signals(posteriors, labels, member))

    assert attack.thresholds_ == pytest.approx([0.6, 0.8, 0.5])
    assert attack.decision_function(signals([[0.7, 0.2, 0.1]], [0])) == pytest.approx([0.1])


def test_a_value_at_the_threshold_is_a_members():
    shadow = signals([[0.75, 0.25], [0.5, 0.5]], [0, 0], [True, False])
    attack = attacks.get("conf")().fit(shadow)

    assert attack.thresholds_[0] == 0.75
    assert attack.predict(shadow).tolist() == [True, False]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40).filter(
        lambda rows: 0 < sum(member for _, member in rows) < len(rows)
    ),
    st.randoms(),
)
def test_no_candidate_does_better_and_row_order_does_not_matter(rows, random):
    values, member = np.array([v for v, _ in rows], dtype=float), np.array([m for _, m in rows])
    threshold = best_threshold(values, member)
    order = list(range(len(rows)))
    random.shuffle(order)
    reached = [balanced(values, member, t) for t in np.unique(values)]
    equally_good = np.unique(values)[np.isclose(reached, max(reached))]

    assert balanced(values, member, threshold) == pytest.approx(max(reached))
    assert threshold == equally_good[(len(equally_good) - 1) // 2]
    assert best_threshold(values[order], member[order]) == threshold


@pytest.mark.parametrize("name", THRESHOLDS)
def test_a_shift_of_the_logit_is_found_as_theory_says(name):
    # Two classes, true class 0, logit difference N(2, 1) for members, N(1, 1) for others: p_y increases with it,
    # so the AUC of conf is Φ(1 / √2) = 0.760. mentr = -(1 - p) ln p - (1 - p) ln p falls with p as well: the same AUC.
    draw = np.random.default_rng(0)
    member = np.arange(4000) % 2 == 0
    z = draw.normal(size=4000) + 1 + member
    target = pm.Signals.from_logits(
        np.stack([z, 0 * z], 1), np.zeros((4000, 2)), np.zeros(4000, dtype=int), membership=member
    )

    attack = attacks.get(name)().fit(target)
    area = roc_auc_score(member, attack.decision_function(target))

    if name in ("conf", "mentr"):
        assert area == pytest.approx(norm.cdf(0.5**0.5), abs=0.025)
        assert balanced(attack.values(target), member, attack.thresholds_[0]) == pytest.approx(norm.cdf(0.5), abs=0.025)
    else:  # they also count it when the wrong class is sure, which blurs them
        assert 0.6 < area < norm.cdf(0.5**0.5) + 0.025
