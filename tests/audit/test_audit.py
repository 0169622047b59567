"""What an audit says: against other libraries' numbers, over nulls, and of a planted leak."""

import numpy as np
import pytest
from answers import planted
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

import prunemia as pm
from prunemia.audit import evidence, fitting
from prunemia.errors import UsageError

QUICK = ["conf", "xent", "mentr", "top1conf"]


def audited(n, shift, seed=0, *, shadow=False, **options):
    known = planted(n, shift, seed + 10_000) if shadow else None
    return pm.audit.signals(
        planted(n, shift, seed), known, **{"attacks": [*QUICK, "blindmi"], **options}
    )


@pytest.mark.parametrize("shadow", [False, True], ids=["cross-fitted", "shadow"])
@pytest.mark.parametrize(("n", "shift"), [(400, 2.0), (4000, 0.5)])
def test_the_reports_numbers_are_those_of_other_libraries(n, shift, shadow):
    audit = audited(n, shift, shadow=shadow, attacks=QUICK)
    member = audit.membership
    for row in audit.record["attacks"]:
        verdict = audit.verdicts[row["attack"]]
        scores, hits = verdict.scores, int(verdict.predictions[member].sum())
        auc = roc_auc_score(member, scores)
        assert row["estimates"]["auc"]["value"] == pytest.approx(auc)
        exact = stats.binomtest(hits, n // 2).proportion_ci(method="exact")
        found = row["estimates"]["members_found"]
        assert (found["low"], found["high"]) == pytest.approx(tuple(exact))
        assert len(row["points"]) == (3 if n == 4000 else 2)
        for name, point in row["points"].items():
            above = scores > point["threshold"]
            assert point["found"] == (above & member).sum()
            assert point["alarms"] == (above & ~member).sum()
            assert point["fpr"] == point["alarms"] / (n // 2) <= float(name[4:])
            assert row["estimates"][name]["value"] == point["found"] / (n // 2)


@pytest.mark.parametrize("seed", range(5))
def test_a_point_is_one_of_scikit_learns_roc(seed):
    draw = np.random.default_rng(seed)
    member = draw.random(600) < 0.4
    scores = (draw.normal(size=600) + member).round(1)
    rates, hits, _ = roc_curve(member, scores, drop_intermediate=False)
    for fpr in (0.01, 0.05):
        found = evidence.point(scores, member, fpr)
        best = np.flatnonzero(rates <= fpr + 1e-12)[-1]  # ties: theirs may not stop within a tie
        assert found.found / member.sum() == pytest.approx(hits[best])
        assert found.fpr == pytest.approx(rates[best])


def test_a_planted_leak_is_found_and_named():
    audit = audited(2000, 2.0)
    strongest = audit.record["summary"]["strongest"]

    assert audit.level in ("a clear leak", "a large leak")
    assert audit.sentence.startswith(f"The strongest attack ({strongest['attack']}) identifies ")
    assert " of 1,000 members at a false-positive rate of 1 %: " in audit.sentence
    assert strongest["low"] > 0.01
    assert audit.record["epsilon"]["epsilon"] > 0.5
    assert audit.record["exposed"]["members_among_highest"] >= 18


@pytest.fixture(scope="module")
def nulls():
    return [audited(400, 0.0, seed, shadow=each) for seed in range(100) for each in (False, True)]


def test_over_nulls_intervals_cover_and_no_leak_is_found(nulls):
    evaluations = [each for audit in nulls for each in audit.evaluations.values()]
    for name in ("accuracy", "auc", "tpr@0.01", "tpr@0.05"):
        found, chance = [each.estimates()[name] for each in evaluations], evidence.guessing(name)
        assert np.mean([e.low <= chance <= e.high for e in found if e.resolved]) >= 0.93, name
    assert np.mean([audit.level == "no leak found" for audit in nulls]) >= 0.95
    assert np.mean([audit.record["epsilon"]["epsilon"] > 0 for audit in nulls]) <= 0.05
    for audit in nulls:
        if audit.level == "no leak found":
            assert " accuses " in audit.sentence
            high = audit.record["summary"]["strongest"]["high"]
            assert f", and rates up to {100 * high:.1f} %: that single members" in audit.sentence
            assert audit.sentence.endswith(" is neither shown nor excluded.")


def test_cross_fitting_does_not_leak(nulls):
    # 100 nulls of 400 samples: the mean accuracy has a standard error of 0.025 / 10.
    crossed = [audit for audit in nulls if audit.shadow is None]
    for name in QUICK:
        evaluations = [audit.evaluations[name] for audit in crossed]
        assert np.mean([e.accuracy.value for e in evaluations]) == pytest.approx(0.5, abs=0.0075)
        assert np.mean([e.auc.value for e in evaluations]) == pytest.approx(0.5, abs=0.0085)


def test_a_sample_has_no_say_in_the_fit_that_decides_on_it():
    target = planted(400, 1.0)
    first = fitting.halves(target.membership, np.arange(400))
    lied = target.membership.copy()
    lied[first] = ~lied[first]
    lie = pm.Signals(**target.arrays() | {"membership": lied, "sensitivities": None})
    truth = fitting.attacked("conf", target, None, first)
    other = fitting.attacked("conf", lie, None, first)

    # The half that is lied about is judged by the other half, which nobody lied about.
    assert np.array_equal(truth.predictions[first], other.predictions[first])
    assert np.array_equal(truth.scores[first], other.scores[first])
    assert not np.array_equal(truth.predictions[~first], other.predictions[~first])


def test_halves_hold_half_of_the_members_and_of_the_others():
    member = np.arange(101) < 41
    first, again, other = (fitting.halves(member, np.arange(101), seed) for seed in (3, 3, 4))

    assert ((first & member).sum(), (first & ~member).sum()) == (20, 30)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("measure", ["auc", "accuracy", "tpr@0.01"])
def test_the_level_follows_its_rule(measure):
    lows = [0.01, 0.02, 0.03, 0.1] if "tpr" in measure else [0.5, 0.51, 0.6, 0.75]
    families = [{("conf", measure): pm.metrics.Estimate(1.0, low, 1.0)} for low in lows]
    levels = ["no leak found", "a small leak", "a clear leak", "a large leak"]
    assert list(map(evidence.level_of, families)) == levels


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


@pytest.mark.parametrize("shadow", [None, planted(1000, 1.0, 5)], ids=["cross-fitted", "shadow"])
def test_the_original_is_compared_on_the_same_samples(shadow):
    target, original = planted(1000, 1.0), planted(1000, 0.0)
    [paired] = pm.audit.signals(target, shadow, original, attacks=QUICK).record["paired"]
    each = [pm.audit.signals(one, attacks=["conf"]).verdicts["conf"] for one in (target, original)]
    pairs = [(output.scores, output.predictions) for output in each]
    expected = pm.metrics.compare(target.membership, *pairs).auc.to_dict()

    assert paired["fitted_on"] == "cross-fitting"
    assert paired["attacks"][0]["auc"] == expected
    assert expected["low"] > 0


def test_attacks_are_chosen_and_what_is_left_out_is_told():
    few, moved = planted(200, 1.0), planted(200, 1.0, sensitivities=True)
    many = planted(31_000, 1.0, classes=2)
    assert fitting.chosen(["conf", "conf"], few) == (["conf"], {})
    assert fitting.chosen(["nn"], many) == (["nn"], {})
    _, left_out = fitting.chosen(None, few)
    assert left_out["samia"] == "it needs sensitivities, which were not given"
    assert set(left_out) == {"samia", "lira", "rmia"}
    assert "samia" in fitting.chosen(None, moved)[0]
    assert "shadow networks' answers lack" in fitting.chosen(None, moved, planted(9, 1))[1]["samia"]
    names, left_out = fitting.chosen(None, many)
    assert names == [*QUICK, "blindmi"]
    assert left_out["nn"] == "it would take more than a minute; ask for it by name"


def test_learned_attacks_find_a_planted_leak_by_cross_fitting():
    audit = pm.audit.signals(planted(600, 2.0, sensitivities=True), attacks=["nn", "samia"])
    assert all(found.auc.low > 0.55 for found in audit.evaluations.values())


@pytest.mark.parametrize(
    ("target", "options", "sentence"),
    [
        (planted(10, 1.0), {}, "target: 5 members and 5 non-members, .*allowed: 10"),
        (planted(40, 1.0).observed(), {}, "membership: None"),
        (planted(40, 1.0), {"delta": 1.5}, "delta: 1.5 is not allowed"),
        (planted(40, 1.0), {"attacks": []}, "none is left"),
        (planted(40, 1.0), {"shadow": planted(40, 1.0, classes=3)}, "3 classes; allowed: 5"),
        (planted(40, 1.0), {"original": planted(30, 1.0)}, "30 samples of 5 classes; allowed: 40"),
        (planted(40, 1.0), {"original": planted(40, 1.0, 9)}, "row [0-9]+: label differs from"),
    ],
)
def test_refusals(target, options, sentence):
    with pytest.raises(UsageError if "membership" not in sentence else ValueError, match=sentence):
        pm.audit.signals(target, **options)
