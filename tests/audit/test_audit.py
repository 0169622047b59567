"""What an audit says: against other libraries' numbers, over nulls, and of a planted leak."""

import numpy as np
import pytest
from answers import planted
from scipy import stats
from sklearn.metrics import roc_auc_score

import prunemia as pm
from prunemia.audit import epsilon, evidence, fitting
from prunemia.audit.fitting import AttackOutput
from prunemia.errors import UsageError

QUICK = ["conf", "xent", "mentr", "top1conf"]


def audited(n, shift, seed=0, *, shadow=False, **options):
    known = planted(n, shift, seed + 10_000) if shadow else None
    return pm.audit.signals(
        planted(n, shift, seed), known, **{"attacks": [*QUICK, "blindmi"], **options}
    )


@pytest.mark.parametrize("shadow", [False, True], ids=["cross-fitted", "shadow"])
@pytest.mark.parametrize(("n", "shift"), [(400, 0.0), (400, 2.0), (40_000, 0.0), (40_000, 0.5)])
def test_the_reports_numbers_are_those_of_other_libraries(n, shift, shadow):
    audit = audited(n, shift, shadow=shadow, attacks=QUICK)
    member = audit.evidence.membership
    for row in audit.record["attacks"]:
        verdict = audit.evidence.verdicts[row["attack"]]
        scores = verdict.scores
        auc = roc_auc_score(member, scores)
        assert row["estimates"]["auc"]["value"] == pytest.approx(auc)
        hits = int(verdict.predictions[member].sum())
        exact = stats.binomtest(hits, n // 2).proportion_ci(method="exact")
        found = row["estimates"]["members_found"]
        assert (found["low"], found["high"]) == pytest.approx(tuple(exact))
        for name, point in row["points"].items():
            above = scores > point["threshold"]
            assert point["found"] == (above & member).sum()
            assert point["alarms"] == (above & ~member).sum()
            assert point["fpr"] == point["alarms"] / (n // 2) <= float(name[4:])
            assert row["estimates"][name]["value"] == point["found"] / (n // 2)


def test_a_planted_leak_is_found_and_named():
    audit = audited(4000, 2.0)
    strongest = audit.record["summary"]["strongest"]

    assert audit.level in ("a clear leak", "a large leak")
    assert audit.sentence.startswith(f"The strongest attack ({strongest['attack']}) identifies ")
    assert " of 2,000 members at a false-positive rate of 1 %: " in audit.sentence
    assert strongest["low"] > 0.01
    assert audit.record["epsilon"]["epsilon"] > 0.5
    assert audit.record["exposed"]["members_among_highest"] >= 18


def test_who_cannot_be_told_from_chance_is_accused_and_not_identified():
    sentence = audited(400, 0.0).sentence
    assert " accuses " in sentence
    assert sentence.endswith("so it is not shown that single members can be identified.")


@pytest.fixture(scope="module")
def nulls():
    return [
        audited(400, 0.0, seed, shadow=shadow) for seed in range(100) for shadow in (False, True)
    ]


def test_over_nulls_intervals_cover_and_no_leak_is_found(nulls):
    covered: dict[str, list[bool]] = {}
    for audit in nulls:
        for evaluation in audit.evidence.evaluations.values():
            for name, e in evaluation.estimates().items():
                if e.resolved and name not in ("members_found", "false_alarms"):
                    covered.setdefault(name, []).append(e.low <= evidence.guessing(name) <= e.high)
    assert {name: np.mean(each) >= 0.93 for name, each in covered.items()} == dict.fromkeys(
        ("accuracy", "auc", "tpr@0.01", "tpr@0.05"), True
    )
    levels = [audit.level for audit in nulls]
    assert np.mean([level == "no leak found" for level in levels]) >= 0.95
    bounds = [
        epsilon.bound(audit.evidence.verdicts, audit.evidence.membership).epsilon for audit in nulls
    ]
    assert np.mean(np.array(bounds) > 0) <= 0.05


def test_cross_fitting_does_not_leak(nulls):
    # 100 nulls of 400 samples: the mean accuracy has a standard error of 0.025 / 10.
    crossed = [audit for audit in nulls if audit.evidence.shadow is None]
    for name in QUICK:
        evaluations = [audit.evidence.evaluations[name] for audit in crossed]
        assert np.mean([e.accuracy.value for e in evaluations]) == pytest.approx(0.5, abs=0.0075)
        assert np.mean([e.auc.value for e in evaluations]) == pytest.approx(0.5, abs=0.0085)


def test_a_sample_has_no_say_in_the_fit_that_decides_on_it():
    target = planted(400, 1.0)
    first = fitting.halves(target.membership)
    lied = target.membership.copy()
    lied[first] = ~lied[first]
    lie = pm.Signals(**target.arrays() | {"membership": lied, "sensitivities": None})
    truth = fitting.cross_fitted("conf", target, first, 0)
    other = fitting.cross_fitted("conf", lie, first, 0)

    # The half that is lied about is judged by the other half, which nobody lied about.
    assert np.array_equal(truth.predictions[first], other.predictions[first])
    assert np.array_equal(truth.scores[first], other.scores[first])
    assert not np.array_equal(truth.predictions[~first], other.predictions[~first])


def test_halves_hold_half_of_the_members_and_of_the_others():
    member = np.arange(101) < 41
    first = fitting.halves(member, seed=3)

    assert (first & member).sum() == 20
    assert (first & ~member).sum() == 30
    assert np.array_equal(first, fitting.halves(member, seed=3))
    assert not np.array_equal(first, fitting.halves(member, seed=4))


def test_the_bound_on_epsilon_by_hand():
    # 60 of 100 members and 1 of 100 others, each bound one-sided at 97.5 %, by scipy.
    tpr = stats.binomtest(60, 100, alternative="greater").proportion_ci(0.975, "exact").low
    fpr = stats.binomtest(1, 100, alternative="less").proportion_ci(0.975, "exact").high
    assert epsilon.lower_bound(60, 100, 1, 100, 0.0) == pytest.approx(np.log(tpr / fpr))
    # the other order: members are hardly ever missed
    tpr = stats.binomtest(99, 100, alternative="greater").proportion_ci(0.975, "exact").low
    fpr = stats.binomtest(40, 100, alternative="less").proportion_ci(0.975, "exact").high
    expected = np.log((1 - fpr - 0.01) / (1 - tpr))
    assert epsilon.lower_bound(99, 100, 40, 100, 0.01) == pytest.approx(expected)
    assert epsilon.lower_bound(50, 100, 50, 100, 0.0) == 0
    assert epsilon.lower_bound(0, 100, 100, 100, 0.0) == 0


def test_a_perfect_attack_shows_the_bound_that_is_attainable():
    member = np.arange(200) < 100
    scores = np.where(member, 1.0, 0.0)
    halves = np.arange(0, 200, 2), np.arange(1, 200, 2)
    transfers = tuple((a, scores[a], b, scores[b]) for a, b in (halves, halves[::-1]))
    bound = epsilon.bound({"conf": AttackOutput(scores, member, True, transfers)}, member)

    assert (bound.found, bound.members, bound.alarms, bound.nonmembers) == (50, 50, 0, 50)
    assert bound.epsilon == bound.attainable
    # Clopper-Pearson's end at 0 of 50 is 1 - q^(1/50); q is half of 2.5 %.
    tail = 1 - 0.0125 ** (1 / 50)
    assert bound.epsilon == pytest.approx(np.log((1 - tail - 1e-5) / tail))


def level(low, measure="auc"):
    return evidence.level_of({"conf": {measure: pm.metrics.Estimate(1.0, low, 1.0)}})


@pytest.mark.parametrize(
    ("low", "measure", "word"),
    [
        (0.5, "auc", "no leak found"),
        (0.51, "auc", "a small leak"),
        (0.6, "auc", "a clear leak"),
        (0.75, "auc", "a large leak"),
        (0.01, "tpr@0.01", "no leak found"),
        (0.02, "tpr@0.01", "a small leak"),
        (0.03, "tpr@0.01", "a clear leak"),
        (0.1, "tpr@0.01", "a large leak"),
        (0.6, "accuracy", "a clear leak"),
    ],
)
def test_the_level_follows_its_rule(low, measure, word):
    assert level(low, measure) == word


def test_the_intervals_that_decide_are_those_of_all_figures_at_once():
    audit = audited(400, 1.0)
    # Four attacks that rank, each by AUC and two rates (200 others measure no 0.1 %), and BlindMI.
    assert audit.record["summary"]["figures"] == 13
    assert audit.record["summary"]["confidence_each"] == pytest.approx(1 - 0.05 / 13)
    for row in audit.record["attacks"]:
        for name, wide in row["simultaneous"].items():
            narrow = row["estimates"][name]
            assert wide["value"] == narrow["value"]
            assert wide["low"] <= narrow["low"] <= narrow["high"] <= wide["high"]


def test_the_original_is_compared_on_the_same_samples():
    target, original = planted(2000, 1.0), planted(2000, 0.0)
    for shadow in (None, planted(1000, 1.0, 5)):
        audit = pm.audit.signals(target, shadow, original, attacks=QUICK)
        [paired] = audit.record["paired"]
        crossed = pm.audit.signals(target, attacks=QUICK).evidence.verdicts["conf"]
        other = pm.audit.signals(original, attacks=QUICK).evidence.verdicts["conf"]
        expected = pm.metrics.compare(
            target.membership,
            (crossed.scores, crossed.predictions),
            (other.scores, other.predictions),
        )
        assert paired["fitted_on"] == "cross-fitting"
        assert paired["attacks"][0]["auc"] == expected.auc.to_dict()
        assert paired["attacks"][0]["auc"]["low"] > 0


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (planted(300, 1.0), "original: 300 samples of 5 classes; allowed: 400 of 5"),
        (planted(400, 1.0, seed=9), "row [0-9]+: label differs from target's"),
    ],
)
def test_an_original_that_was_asked_other_samples_is_refused(other, sentence):
    with pytest.raises(UsageError, match=sentence):
        pm.audit.signals(planted(400, 1.0), original=other)


def test_attacks_are_chosen_and_what_is_left_out_is_told():
    audit = pm.audit.signals(planted(400, 1.0), attacks=["conf"])
    assert list(audit.evidence.verdicts) == ["conf"]
    names, left_out = fitting.chosen(None, planted(200, 1.0))
    assert "samia" not in names
    assert left_out["samia"] == "it needs sensitivities, which were not given"
    assert set(left_out) == {"samia", "lira", "rmia"}
    many = planted(31_000, 1.0, classes=2)
    names, left_out = fitting.chosen(None, many)
    assert names == [*QUICK, "blindmi"]
    assert left_out["nn"] == "it would take about 62 s; ask for it by name"
    assert fitting.chosen(["nn"], many) == (["nn"], {})


@pytest.mark.parametrize("name", ["nn", "samia"])
def test_learned_attacks_find_a_planted_leak_by_cross_fitting(name):
    audit = pm.audit.signals(planted(1200, 2.0, sensitivities=True), attacks=[name])
    assert audit.evidence.evaluations[name].auc.low > 0.55


@pytest.mark.parametrize(
    ("target", "options", "sentence"),
    [
        (planted(10, 1.0), {}, "target: 5 members and 5 non-members; allowed: 10 or more"),
        (planted(40, 1.0).observed(), {}, "membership: None"),
        (planted(40, 1.0), {"delta": 1.5}, "delta: 1.5 is not allowed"),
        (planted(40, 1.0), {"attacks": ["lucky"]}, "attack: 'lucky' is not allowed"),
        (planted(40, 1.0), {"attacks": []}, "none is left"),
        (planted(40, 1.0), {"ids": ["a"]}, r"ids: shape \(1,\); allowed: \(40,\)"),
        (planted(40, 1.0), {"shadow": planted(40, 1.0, classes=3)}, "3 classes; allowed: 5"),
    ],
)
def test_refusals(target, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        pm.audit.signals(target, **options)
