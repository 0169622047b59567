"""Attacks on several releases: inputs by hand, known signals, a null, refusals."""

import numpy as np
import pytest
from shifted import drawn

import prunemia as pm
from prunemia.attacks import together
from prunemia.signals import JointSignals, Signals, each_release

QUICK = {"conf": {}, "nncls": {"epochs": 6}, "samia": {"epochs": 3}}


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


@pytest.mark.parametrize(("name", "options"), QUICK.items())
def test_one_release_gives_the_attack_itself_and_two_are_refused_then(name, options):
    shadow, target = drawn(200, shift=1.0, seed=1), drawn(200, shift=1.0, seed=2)
    alone = pm.attacks.get(name)(**options).fit(shadow).decision_function(target)
    joint = together(name)(**options).fit(JointSignals.of([shadow]))

    assert np.array_equal(joint.decision_function(JointSignals.of([target])), alone)
    assert np.array_equal(joint.decision_function(target), alone)  # plain signals are one release
    with pytest.raises(ValueError, match="target: 2 releases; allowed: 1, as the shadows have"):
        joint.decision_function(JointSignals.of([target, target]))


def test_what_joint_attacks_refuse_is_said():
    with pytest.raises(
        ValueError, match=r"statistic: 'sum' is not allowed: .*'mean', 'difference'"
    ):
        together("conf")(statistic="sum").fit(releases(20))
    with pytest.raises(ValueError, match=r"'xent' takes one release alone; .*: conf, nncls, samia"):
        together("xent")
    with pytest.raises(ValueError, match="attack: 'nosuch' is not allowed"):
        together("nosuch")


def test_what_the_networks_are_given_by_hand():
    first = Signals([[0.7, 0.3]], [[1.0, 2.0]], [1])
    second = Signals([[0.4, 0.6]], [[3.0, 4.0]], [1])
    joint = JointSignals.of([first, second])

    assert together("nncls")().features(joint).tolist() == [
        pytest.approx([0.7, 0.3, 0.4, 0.6, 0.0, 1.0])
    ]
    # samia: posteriors of all releases, then sensitivities, then labels
    assert together("samia")().features(joint).tolist() == [
        pytest.approx([0.7, 0.3, 0.4, 0.6, 1, 2, 3, 4, 0, 1, 0, 1])
    ]


@pytest.mark.parametrize(
    ("statistic", "expected"), [("mean", 0.45), ("difference", 0.3), ("change", -0.3)]
)
def test_the_statistics_of_confidence_by_hand(statistic, expected):
    first, second = Signals([[0.7, 0.3]], None, [1]), Signals([[0.4, 0.6]], None, [1])
    attack = together("conf")(statistic=statistic)
    attack.sign_ = 1

    assert attack.values(JointSignals.of([first, second])) == pytest.approx([expected])


def test_a_difference_is_signed_as_the_shadows_differ():
    # Members lose confidence by 0.2, the others keep it: the smaller difference is a member's.
    labels = np.zeros(40, int)
    member = np.arange(40) % 2 == 0
    before = np.tile([0.8, 0.2], (40, 1))
    after = np.where(member[:, None], [0.6, 0.4], [0.8, 0.2])
    joint = JointSignals.of([Signals(p, None, labels, member) for p in (before, after)])
    attack = together("conf")(statistic="difference").fit(joint)

    assert attack.sign_ == -1
    assert np.array_equal(attack.predict(joint), member)
    kept = together("conf")(statistic="difference").restore(attack.learned())
    assert np.array_equal(kept.decision_function(joint), attack.decision_function(joint))


@pytest.mark.parametrize(("name", "options"), QUICK.items())
def test_two_releases_with_noise_of_their_own_tell_more_than_one(name, options):
    shadow, target = releases(600, seed=3), releases(600, seed=4)
    joint = auc(together(name)(**options).fit(shadow), target)
    single = [
        auc(pm.attacks.get(name)(**options).fit(s), t)
        for s, t in zip(shadow.each, target.each, strict=True)
    ]

    assert joint > max(single) + 0.03


@pytest.mark.parametrize(("name", "options"), QUICK.items())
def test_without_a_difference_between_members_and_others_nothing_is_found(name, options):
    # standard error of the AUC of 500 against 500: 0.018
    shadow, target = releases(1000, 0.0, 5), releases(1000, 0.0, 6)
    quick = options | {"epochs": 1} if options else options

    assert auc(together(name)(**quick).fit(shadow), target) == pytest.approx(0.5, abs=0.06)


def test_releases_come_apart_as_they_went_together_and_hide_membership_in_each():
    joint = releases(50)
    first, second = joint.each
    bare = Signals.from_arrays({**second.arrays(), "sensitivities": None})

    assert (
        JointSignals.of([first, second]).each[1].posteriors.tolist() == second.posteriors.tolist()
    )
    assert all(each.membership is None for each in joint.observed().each)
    half = joint.subset(np.arange(50) < 25)
    assert len(half) == 25
    assert np.array_equal(half.each[1].sensitivities, second.sensitivities[:25])
    assert each_release(first) == [first]
    # sensitivities are there for all releases or for none
    assert [each.sensitivities for each in JointSignals.of([first, bare]).each] == [None, None]


def test_releases_of_other_samples_are_refused():
    first = drawn(20)
    shifted = first.arrays() | {"labels": (first.labels + 1) % 4}
    for other, name in (
        (first.subset(np.arange(10)), "labels"),
        (Signals.from_arrays(shifted), "labels"),
        (first.observed(), "membership"),
        (drawn(20, classes=5), "classes"),
    ):
        with pytest.raises(ValueError, match=f"number 2 has other {name} than the first"):
            JointSignals.of([first, other])
