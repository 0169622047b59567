"""Answers that would mislead: turned flags, ties, copies, rounding; many tables of all kinds."""

import re

import numpy as np
import pytest
from answers import planted
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

import prunemia as pm
from prunemia.audit.evidence import Estimate, copies, guessing, level_of, saturation, shifted_labels
from prunemia.audit.report import sentence
from prunemia.errors import UsageError

QUICK = ["conf", "xent", "mentr", "top1conf"]


def changed(signals, **fields):
    return pm.Signals.from_arrays({**signals.arrays(), **fields})


def audited(signals, **options):
    return pm.audit.signals(signals, **{"attacks": QUICK, **options})


def inverted(signals):
    return changed(signals, membership=~signals.membership)


def grown(model, n, features, classes):
    """Answers of trees that saw half of the samples, whose labels follow from nothing."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(n, features)), draw.integers(0, classes, n)
    member = np.arange(n) % 2 == 0
    return pm.Signals(model.fit(x[member], y[member]).predict_proba(x), None, y, member)


def test_inverted_flags_are_a_finding_and_no_gate_passes():
    audit = audited(inverted(planted(1000, 2.0)), shadow=planted(1000, 2.0, 7))

    summary, epsilon = audit.record["summary"], audit.record["epsilon"]
    assert audit.level == "a large leak"
    assert "lies below chance level: members score lower than non-members" in audit.sentence
    assert f"Turned round, it is {1 - summary['strongest']['value']:.3f}." in audit.sentence
    assert summary["strongest"]["high"] < 0.5
    [warning] = audit.record["warnings"]
    assert "are the membership flags right" in warning
    assert (summary["above_guessing"], summary["below_guessing"]) == ([], audit.below)
    assert epsilon["attack"].endswith(", turned round")
    assert epsilon["epsilon"] > 0.5
    assert audit.record["exposed"]["members_among_highest"] >= 18
    for limit in (pm.audit.Limit("auc", 0.6, excluded=True), "auc=0.6", "tpr@0.05=0.06"):
        [said] = audit.exceeded([limit])
        assert "turned round because members score low" in said


def test_a_decision_on_a_set_and_wrong_labels_below_chance_are_findings_too():
    blind = audited(inverted(planted(1000, 3.0)), attacks=["blindmi"])
    assert "a balanced accuracy of 0." in blind.sentence
    assert "lies below chance level" in blind.sentence
    assert len(blind.exceeded(["accuracy=0.55"])) == 1
    # Labels permuted: members' true class is elsewhere, so p_y is lower for who is surer.
    signals = planted(2000, 4.0, classes=3)
    wrong = audited(changed(signals, labels=(signals.labels + 1) % 3), attacks=["conf"])
    assert wrong.family["conf", "auc"].high < 0.5
    assert "no leak found" not in (blind.level, wrong.level)


def test_ties_below_chance_are_told_as_ties():
    """A tree: whole leaves share the highest score, so that nobody can be accused at 1 %."""
    tree = DecisionTreeClassifier(min_samples_leaf=40, random_state=0)
    audit = audited(grown(tree, 2000, 4, 2), attacks=["top1conf"])
    audit.family["top1conf", "tpr@0.01"] = Estimate(0.0, 0.0, 0.004)
    said = sentence(audit, "top1conf", "tpr@0.01")

    assert "0.0 % [0.0, 0.4]. This interval lies below chance level, 1 %, because tied" in said
    assert any("the answers take few values" in text for text in audit.warnings)


def test_members_rare_among_the_highest_scores_are_said():
    member = np.arange(2000) % 2 == 0
    draw = np.random.default_rng(0)
    top = draw.random(2000) < np.where(member, 0.0, 0.2)
    p = np.where(top, 0.9 + draw.random(2000) / 20, 0.5 + draw.random(2000) / 10)
    signals = pm.Signals(np.stack([p, 1 - p], axis=1), None, np.zeros(2000), member)
    audit = audited(signals, attacks=["top1conf"])

    assert audit.family["top1conf", "tpr@0.05"].high < 0.05
    assert audit.level != "no leak found"
    said = sentence(audit, "top1conf", "tpr@0.05")
    assert "lies below chance level, 5 %: members are rarer among the highest" in said


def test_a_gate_on_accuracy_beside_no_leak_says_why():
    [quiet] = audited(planted(200, 0.3, 2)).exceeded(["accuracy=0.5"])
    why = "alone, and the level says no leak found because its rule judges 12 figures at once"
    assert why in quiet
    [loud] = audited(planted(400, 2.0)).exceeded(["accuracy=0.5"])
    assert "level" not in loud


def one_off(shift):
    """Answers of six classes to samples of the four in the middle, labels counted otherwise."""
    rows = planted(1500, 1.0, classes=6)
    middle = rows.subset((rows.labels > 0) & (rows.labels < 5))
    return changed(middle, labels=middle.labels + shift)


@pytest.mark.parametrize(("shift", "words"), [(1, "lower"), (-1, "higher")])
def test_labels_that_are_one_off_are_told_of_target_and_shadow(shift, words):
    wrong, right = one_off(shift), one_off(0)
    for audit in (audited(wrong, attacks=["conf"]), audited(right, shadow=wrong, attacks=["conf"])):
        [text] = [each for each in audit.warnings if "agrees with" in each]
        assert f"if each is one {words}" in text
        assert "give 0 to 5" in text
    assert not any("agrees" in text for text in audited(right, attacks=["conf"]).warnings)


def test_labels_that_a_network_does_not_know_are_not_called_one_off():
    for seed in range(10):
        draw = np.random.default_rng(seed)
        signals = pm.Signals(draw.dirichlet(np.ones(5), 40), None, draw.integers(1, 4, 40))
        assert shifted_labels(pm.audit.Answers.of(signals, "t")) == []


@pytest.mark.parametrize("repeat", [np.tile, np.repeat], ids=["tile", "repeat"])
def test_copies_are_counted_once(repeat):
    once, original = planted(400, 0.0, 3), planted(400, 0.5, 3)
    rows = repeat(np.arange(400), 4)
    audit = audited(once.subset(rows), original=original.subset(rows), attacks=["conf", "mentr"])

    assert len(audit.others[0].answers.ids) == 400
    read_as = pm.audit.Answers.of(once.subset(rows), "target").content  # all that was read
    assert audit.record["made"]["inputs"][0]["sha256"] == read_as
    assert "1,200 of 1,600 rows repeat another row's label" in audit.warnings[0]
    assert audit.level == "no leak found"
    again = audited(once, attacks=["conf", "mentr"])
    assert audit.record["attacks"] == again.record["attacks"]


def test_samples_on_both_sides_stay_and_saturated_or_coarse_rows_are_no_copies():
    signals, binary = planted(300, 1.0), planted(3000, 1.0, classes=2)
    p = binary.posteriors[:, 0].astype(float).round(2)
    for rows, identical in (
        (signals, []),
        (pm.Signals.concatenate([signals, inverted(signals)]), ["t: 600 of 600 rows"]),
        (changed(signals, posteriors=np.eye(5)[signals.labels]), ["t: 300 of 300 rows"]),
        (changed(binary, posteriors=np.stack([p, 1 - p], axis=1)), ["t: 2,991 of 3,000 "]),
    ):
        repeated, told = copies(pm.audit.Answers.of(rows, "t"))
        assert not repeated.any()
        assert [text[:18] for text in told if "the answers take few values" in text] == identical


def test_ids_that_repeat_are_refused_and_counted():
    said = "id is '0' again, and 40 rows share an id with another; allowed: each id once"
    with pytest.raises(UsageError, match=said):
        audited(planted(40, 1.0), ids=np.repeat(np.arange(20), 2))


def test_several_networks_answers_to_a_sample_stay_in_one_half():
    one, other = planted(400, 1.0, 1), planted(400, 1.0, 2)
    other = changed(other, labels=one.labels, model=np.ones(400, int))
    both = pm.Signals.concatenate([one, other])
    answers = pm.audit.Answers.of(both, "two", np.tile(np.arange(400), 2))
    found = pm.audit.signals(answers, attacks=["conf"])
    first, _, second, _ = found.verdicts["conf"].transfers[0]
    assert [found.membership[half].sum() for half in (first, second)] == [200, 200]
    assert set(found.target.ids[first]).isdisjoint(found.target.ids[second])


def test_rounded_posteriors_are_told_and_logits_find_the_leak():
    draw = np.random.default_rng(0)
    member, labels = np.arange(2000) % 2 == 0, draw.integers(0, 3, 2000)
    logits = draw.normal(size=(2000, 3))
    logits[np.arange(2000), labels] += draw.normal(21, 2, 2000) + 5 * member
    kept = pm.Signals.from_logits(logits, None, labels, membership=member)
    bare = audited(kept.without_logits(), attacks=["conf"])
    [warning] = bare.warnings
    assert re.search(r"9\d % of the largest posteriors are exactly 1, .*at least what is", warning)
    full = audited(kept, attacks=["conf"])
    assert full.warnings == []
    assert full.evaluations["conf"].auc.value > 0.9
    assert bare.evaluations["conf"].auc.value < 0.6


def test_a_tenth_of_saturated_rows_is_enough_to_tell():
    signals = planted(1000, 1.0)
    for sure, told in ((100, ["t: 10 % of the largest"]), (50, [])):
        p = signals.posteriors.copy()
        p[:sure] = np.eye(5)[signals.labels[:sure]]
        answers = pm.audit.Answers.of(changed(signals, posteriors=p), "t")
        assert [text[:22] for text in saturation(answers)] == told


def answering(signals, change):
    p = change(signals.posteriors.astype(float))
    return changed(signals, posteriors=p / p.sum(axis=1, keepdims=True))


CHANGES = {
    "right": lambda s, _: s,
    "permuted": lambda s, draw: changed(s, membership=draw.permutation(s.membership)),
    "inverted": lambda s, _: inverted(s),
    "shifted": lambda s, _: changed(s, labels=(s.labels + 1) % s.classes),
    "duplicated": lambda s, _: s.subset(np.tile(np.arange(len(s)), 3)),
    "rounded": lambda s, _: answering(s, lambda p: p.round(1) + 1e-3),
    "saturated": lambda s, _: answering(s, lambda p: (p / p.max(axis=1, keepdims=True)) ** 25),
    "half precision": lambda s, _: answering(s, lambda p: p.astype(np.float16).astype(float)),
}


def contradictions(audit):
    """Return what a report says that its numbers deny."""
    said, strongest = audit.sentence, audit.record["summary"]["strongest"]
    measure, low, high = (strongest[key] for key in ("measure", "low", "high"))
    tpr, chance = measure.startswith("tpr@"), guessing(measure)
    side = "above" if low > chance else "below" if high < chance else "around"
    quiet = audit.level == "no leak found"
    families = [level_of(family) for family in (audit.family, audit.turned)]
    denied = {
        "below": ("lies below chance" in said) != (side == "below"),
        "identifies": tpr and ("identifies" in said) != (side == "above"),
        "around": tpr and ("includes chance level" in said) != (side == "around"),
        "no leak found": quiet and families != ["no leak found"] * 2,
        "level": quiet != (not audit.above and not audit.below),
        "warning": bool(audit.below) != any("below chance level" in t for t in audit.warnings),
        "gate": quiet and bool(audit.exceeded(["auc=0.5"])),
    }
    return [name for name, wrong in denied.items() if wrong]


@pytest.mark.parametrize("name", CHANGES)
def test_no_report_contradicts_its_numbers(name):
    levels = []
    for seed in range(6):
        draw = np.random.default_rng(seed)
        n, classes = int(draw.choice([60, 200, 600])), int(draw.choice([2, 3, 10]))
        signals = planted(n, float(draw.choice([0.0, 0.5, 2.0])), seed, classes)
        audit = audited(CHANGES[name](signals, draw), seed=seed, attacks=["conf", "top1conf"])
        assert contradictions(audit) == [], (name, seed, repr(audit))
        levels.append(audit.level)
    if name == "permuted":
        assert levels.count("no leak found") >= 5


def test_unusual_tables_leak_like_others():
    whole = planted(4000, 2.0)
    rare = whole.subset(~whole.membership | (np.arange(4000) < 40))  # 20 members, 2,000 others
    classes = planted(600, 3.0, 7, classes=1000)  # of which most never occur
    forest = grown(RandomForestClassifier(20, random_state=0), 800, 5, 3)
    for target, shadow, levels in (
        (rare, planted(1000, 2.0, 7), ["a small leak", "a clear leak", "a large leak"]),
        (planted(600, 3.0, classes=1000), classes, ["a clear leak", "a large leak"]),
        (forest, None, ["a large leak"]),
    ):
        audit = audited(target, shadow=shadow)
        assert contradictions(audit) == []
        assert audit.level in levels
