"""Attacks on several releases: inputs by hand, known signals, a null, refusals."""

import numpy as np
import pytest
from answers import drawn

import prunemia as pm
from prunemia.attacks import together
from prunemia.signals import JointSignals, Signals, each_release

quick = pytest.mark.parametrize(
    ("name", "options"), [("conf", {}), ("nncls", {"epochs": 6}), ("samia", {"epochs": 3})]
)


def releases(n=600, shift=1.0, seed=0, classes=4) -> JointSignals:
    """Two releases whose answers differ in all but the samples: each has noise of its own."""
    draw = np.random.default_rng(seed)
    labels, member = draw.integers(0, classes, n), np.arange(n) % 2 == 0
    found = []
    for _ in range(2):
        logits = draw.normal(size=(n, classes))
        logits[np.arange(n), labels] += 1.5 + shift * member
        moved = np.exp(draw.normal(size=(n, classes)) - shift * member[:, None])
        found.append(Signals.from_logits(logits, moved, labels, membership=member))
    return JointSignals.of(found)


def auc(attack, target: Signals) -> float:
    scores = attack.decision_function(target)
    return pm.metrics.evaluate(target.membership, scores, scores >= 0).auc.value


@quick
def test_one_release_gives_the_attack_itself_and_two_are_refused_then(name, options):
    shadow, target = drawn(200, shift=1.0, seed=1), drawn(200, shift=1.0, seed=2)
    alone = pm.attacks.get(name)(**options).fit(shadow).decision_function(target)
    joint = together(name)(**options).fit(JointSignals.of([shadow]))
    for one in (target, JointSignals.of([target])):  # plain signals are one release
        assert np.array_equal(joint.decision_function(one), alone)
    with pytest.raises(ValueError, match="target: 2 releases; allowed: 1, as the shadows have"):
        joint.decision_function(JointSignals.of([target, target]))


def test_what_joint_attacks_refuse_is_said():
    with pytest.raises(ValueError, match="statistic: 'sum' is not allowed"):
        together("conf")(statistic="sum").fit(releases(20))
    with pytest.raises(ValueError, match="allowed with several: conf, nncls, samia"):
        together("xent")


def test_what_joint_attacks_see_by_hand():
    first, second = (
        Signals([[p, 1 - p]], [moved], [1]) for p, moved in ((0.7, [1.0, 2]), (0.4, [3.0, 4]))
    )
    joint = JointSignals.of([first, second])

    (seen,) = together("nncls")().features(joint)
    assert seen == pytest.approx([0.7, 0.3, 0.4, 0.6, 0.0, 1.0])
    # samia: posteriors of all releases, then sensitivities, then labels
    (seen,) = together("samia")().features(joint)
    assert seen == pytest.approx([0.7, 0.3, 0.4, 0.6, 1, 2, 3, 4, 0, 1, 0, 1])
    for statistic, expected in (("mean", 0.45), ("difference", 0.3), ("change", -0.3)):
        attack = together("conf")(statistic=statistic)
        attack.sign_ = 1
        assert attack.values(joint) == pytest.approx([expected])


def test_a_difference_is_signed_as_the_shadows_differ():
    # Members lose confidence by 0.2, the others keep it: the smaller difference is a member's.
    labels, member = np.zeros(40, int), np.arange(40) % 2 == 0
    before = np.tile([0.8, 0.2], (40, 1))
    after = np.where(member[:, None], [0.6, 0.4], [0.8, 0.2])
    joint = JointSignals.of([Signals(p, None, labels, member) for p in (before, after)])
    attack = together("conf")(statistic="difference").fit(joint)
    assert attack.sign_ == -1
    assert np.array_equal(attack.predict(joint), member)
    kept = together("conf")(statistic="difference").restore(attack.learned())
    assert np.array_equal(kept.decision_function(joint), attack.decision_function(joint))


@quick
def test_two_releases_with_noise_of_their_own_tell_more_than_one_and_a_null_nothing(name, options):
    shadow, target = releases(800, seed=3), releases(800, seed=4)
    joint = auc(together(name)(**options).fit(shadow), target)
    single = [
        auc(pm.attacks.get(name)(**options).fit(s), t)
        for s, t in zip(shadow.each, target.each, strict=True)
    ]
    assert joint > max(single) + 0.03
    # standard error of the AUC of 500 against 500: 0.018
    shadow, target = releases(1000, 0.0, 5), releases(1000, 0.0, 6)
    few = options | {"epochs": 2} if options else options
    assert auc(together(name)(**few).fit(shadow), target) == pytest.approx(0.5, abs=0.06)


def test_releases_come_apart_as_they_went_together_and_hide_membership_in_each():
    joint = releases(50)
    first, second = joint.each
    bare = Signals.from_arrays({**second.arrays(), "sensitivities": None})

    again = JointSignals.of([first, second]).each[1]
    assert np.array_equal(again.posteriors, second.posteriors)
    assert all(each.membership is None for each in joint.observed().each)
    half = joint.subset(np.arange(50) < 25)
    assert len(half) == 25
    assert np.array_equal(half.each[1].sensitivities, second.sensitivities[:25])
    assert each_release(first) == [first]
    # sensitivities are there for all releases or for none
    assert [each.sensitivities for each in JointSignals.of([first, bare]).each] == [None, None]
    relabelled = Signals.from_arrays(first.arrays() | {"labels": (first.labels + 1) % 4})
    for other, name in (
        (relabelled, "labels"),
        (first.observed(), "membership"),
        (drawn(50, classes=5), "classes"),
    ):
        with pytest.raises(ValueError, match=f"number 2 has other {name} than the first"):
            JointSignals.of([first, other])
