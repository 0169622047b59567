"""Answers that would mislead: turned flags, ties, copies, rounding; 200 tables of all kinds."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from answers import frame, planted
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

import prunemia as pm
from prunemia.audit import evidence, fitting, read
from prunemia.audit.evidence import guessing, level_of
from prunemia.errors import UsageError

QUICK = ["conf", "xent", "mentr", "top1conf"]


def changed(signals, **fields):
    return pm.Signals.from_arrays({**signals.arrays(), **fields})


def audited(signals, **options):
    return pm.audit.signals(signals, **{"attacks": QUICK, **options})


def inverted(signals):
    return changed(signals, membership=~signals.membership)


# F: below chance


def test_inverted_flags_are_a_finding_and_no_gate_passes():
    right = planted(1000, 2.0)
    audit = audited(inverted(right), shadow=planted(1000, 2.0, 7))

    assert audit.level == "a large leak"
    assert "lies below chance level: members score lower than non-members" in audit.sentence
    assert audit.sentence.endswith("Are the membership flags and the labels right?")
    strongest = audit.record["summary"]["strongest"]
    assert strongest["high"] < 0.5
    assert f"Turned round, it is {1 - strongest['value']:.3f}." in audit.sentence
    [warning] = audit.warnings
    assert "members score below chance level (" in warning
    assert "are the membership flags right" in warning
    assert audit.record["warnings"] == audit.warnings
    assert audit.record["summary"]["below_guessing"] == audit.below != []
    assert audit.record["summary"]["above_guessing"] == []
    assert warning in audit.to_html().replace("&#34;", '"')
    assert audit.record["epsilon"]["attack"].endswith(", turned round")
    assert audit.record["epsilon"]["epsilon"] > 0.5
    assert audit.record["exposed"]["members_among_highest"] >= 18
    for limit in (pm.audit.Limit("auc", 0.6, excluded=True), "auc=0.6", "tpr@0.05=0.06"):
        [sentence] = audit.exceeded([limit])
        assert "turned round because members score low" in sentence


def test_a_decision_on_a_set_below_chance_is_one_too():
    signals = planted(1000, 3.0)
    blind = audited(inverted(signals), attacks=["blindmi"])
    assert blind.level != "no leak found"
    assert "a balanced accuracy of 0." in blind.sentence
    assert "lies below chance level" in blind.sentence
    assert len(blind.exceeded(["accuracy=0.55"])) == 1


def test_wrong_labels_below_chance_are_found():
    """Labels permuted: members' true class is elsewhere, so p_y is lower for who is surer."""
    signals = planted(2000, 4.0, classes=3)
    audit = audited(changed(signals, labels=(signals.labels + 1) % 3), attacks=["conf"])
    assert audit.family["conf"]["auc"].high < 0.5
    assert audit.level != "no leak found"
    assert audit.warnings


def test_ties_below_chance_are_told_as_ties():
    """A tree: whole leaves share the highest score, so that nobody can be accused at 1 %."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(2000, 4)), draw.integers(0, 2, 2000)
    member = np.arange(2000) % 2 == 0
    tree = DecisionTreeClassifier(min_samples_leaf=40, random_state=0).fit(x[member], y[member])
    signals = pm.Signals(tree.predict_proba(x), None, y, member)
    audit = audited(signals, attacks=["top1conf"])
    low = evidence.Estimate(0.0, 0.0, 0.004)
    audit.family["top1conf"]["tpr@0.01"] = low
    sentence = pm.audit.audit.report.sentence(audit, "top1conf", "tpr@0.01")

    assert audit.tied("top1conf", "tpr@0.01")
    assert "0.0 % [0.0, 0.4]. This interval lies below chance level, 1 %, because tied" in sentence
    assert any("the answers take few values" in text for text in audit.warnings)


def test_members_rare_among_the_highest_scores_are_said():
    member = np.arange(2000) % 2 == 0
    draw = np.random.default_rng(0)
    top = draw.random(2000) < np.where(member, 0.0, 0.2)
    p = np.where(top, 0.9 + draw.random(2000) / 20, 0.5 + draw.random(2000) / 10)
    signals = pm.Signals(np.stack([p, 1 - p], axis=1), None, np.zeros(2000), member)
    audit = audited(signals, attacks=["top1conf"])

    assert not audit.tied("top1conf", "tpr@0.05")
    assert audit.family["top1conf"]["tpr@0.05"].high < 0.05
    assert audit.below
    assert audit.level != "no leak found"
    said = pm.audit.audit.report.sentence(audit, "top1conf", "tpr@0.05")
    assert "lies below chance level, 5 %: members are rarer among the highest" in said


def test_a_gate_on_accuracy_beside_no_leak_says_why():
    quiet = audited(planted(200, 0.3, 2))
    assert quiet.level == "no leak found"
    [sentence] = quiet.exceeded(["accuracy=0.5"])
    assert sentence.endswith(
        "its lower end lies above 0.5; this limit looks at accuracies alone, and the level says no "
        "leak found because its rule judges 12 figures at once, AUCs and true-positive rates where "
        "an attack ranks"
    )
    [sentence] = audited(planted(400, 2.0)).exceeded(["accuracy=0.5"])
    assert "level" not in sentence


# I: labels that are one off, where no class shows it


def one_off(shift):
    """Answers of six classes to samples of the four in the middle, labels counted otherwise."""
    rows = planted(3000, 1.0, classes=6)
    middle = rows.subset((rows.labels > 0) & (rows.labels < 5))
    return changed(middle, labels=middle.labels + shift)


@pytest.mark.parametrize(("shift", "words"), [(1, "lower"), (-1, "higher")])
def test_labels_that_are_one_off_are_told_of_target_and_shadow(shift, words):
    wrong = one_off(shift)
    for audit in (
        audited(wrong, attacks=["conf"]),
        audited(one_off(0), shadow=wrong, attacks=["conf"]),
    ):
        [text] = [each for each in audit.warnings if "agrees with" in each]
        assert f"if each is one {words}" in text
        assert "give 0 to 5" in text
    assert not any("agrees" in text for text in audited(one_off(0), attacks=["conf"]).warnings)


def test_labels_that_a_network_does_not_know_are_not_called_one_off():
    for seed in range(40):
        draw = np.random.default_rng(seed)
        p = draw.dirichlet(np.ones(5), 40)
        signals = pm.Signals(p, None, draw.integers(1, 4, 40), np.arange(40) % 2 == 0)
        audit = audited(signals, attacks=["conf"])
        assert not any("agrees" in text for text in audit.warnings)


# G: rows that are not independent


@pytest.mark.parametrize("repeat", [np.tile, np.repeat], ids=["tile", "repeat"])
@pytest.mark.parametrize("attacks", [["conf", "mentr"], ["nn"]])
def test_copies_are_counted_once(repeat, attacks):
    once = planted(400, 0.0, 3)
    rows = repeat(np.arange(400), 4)
    audit = audited(once.subset(rows), attacks=attacks)

    assert audit.record["setting"]["target"]["samples"] == 400
    read_as = pm.audit.Answers.of(once.subset(rows), "target").content  # all that was read
    assert [each["sha256"] for each in audit.record["made"]["inputs"]] == [read_as]
    assert "1,200 of 1,600 rows repeat another row's label" in audit.warnings[0]
    assert audit.level == "no leak found"
    first = np.sort(np.unique(rows, return_index=True)[1])
    again = audited(once.subset(rows[first]), attacks=attacks)
    assert audit.record["attacks"] == again.record["attacks"]


def test_an_original_of_copies_is_counted_alike():
    rows = np.tile(np.arange(300), 2)
    target, original = planted(300, 1.0).subset(rows), planted(300, 0.5).subset(rows)
    audit = audited(target, original=original)
    assert len(audit.others[0].answers.ids) == 300


def test_samples_on_both_sides_stay_and_saturated_rows_are_no_copies():
    signals = planted(300, 1.0)
    both = pm.Signals.concatenate([signals, inverted(signals)])
    assert not fitting.copies(both)[0].any()
    assert fitting.copies(both)[1] == 600
    sure = np.eye(5)[signals.labels]
    assert not fitting.copies(changed(signals, posteriors=sure))[0].any()
    assert not fitting.copies(signals)[0].any()


def test_coarse_answers_coincide_by_chance_and_are_told():
    coarse = changed(planted(3000, 1.0, classes=2), posteriors=planted_round(3000))
    audit = audited(coarse)
    assert audit.record["setting"]["target"]["samples"] == 3000
    assert "the answers take few values" in audit.warnings[0]


def planted_round(n):
    p = planted(n, 1.0, classes=2).posteriors.astype(float).round(2)
    p[:, 1] = 1 - p[:, 0]
    return p


def test_ids_that_repeat_are_refused_and_counted(tmp_path):
    ids = np.repeat(np.arange(20), 2)
    sentence = "id is '0' again, and 40 rows share an id with another; allowed: each id once"
    with pytest.raises(UsageError, match=sentence):
        audited(planted(40, 1.0), ids=ids)
    frame(planted(40, 1.0), ids).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(UsageError, match=sentence):
        read(tmp_path / "a.csv")


def test_halves_keep_a_samples_rows_together():
    samples = np.tile(np.arange(100), 3)
    member = np.tile(np.arange(100) < 40, 3)
    first = fitting.halves(member, samples)
    assert first.sum() == 150
    assert np.array_equal(first[:100], first[100:200])
    assert (first & member).sum() == 60


def test_several_networks_answers_to_a_sample_stay_in_one_half():
    one, other = planted(400, 1.0, 1), planted(400, 1.0, 2)
    other = changed(other, labels=one.labels, model=np.ones(400, int))
    answers = pm.audit.Answers.of(
        pm.Signals.concatenate([one, other]), "two", np.tile(np.arange(400), 2)
    )
    found = pm.audit.signals(answers, attacks=["conf"])
    transfer = found.verdicts["conf"].transfers[0]
    known, judged = (set(found.target.ids[rows]) for rows in (transfer[0], transfer[2]))
    assert known.isdisjoint(judged)


# E: saturation


def saturated(n=2000, seed=0):
    draw = np.random.default_rng(seed)
    member = np.arange(n) % 2 == 0
    labels = draw.integers(0, 3, n)
    logits = draw.normal(size=(n, 3))
    logits[np.arange(n), labels] += draw.normal(21, 2, n) + 5 * member
    return logits, labels, member


def test_rounded_posteriors_are_told_and_logits_find_the_leak(tmp_path):
    logits, labels, member = saturated()
    kept = pm.Signals.from_logits(logits, None, labels, membership=member)
    bare = audited(kept.without_logits(), attacks=["conf"])
    [warning] = bare.warnings
    assert re.search(r"9\d % of the largest posteriors are exactly 1, .*at least what is", warning)
    full = audited(kept, attacks=["conf"])
    assert full.warnings == []
    assert full.evaluations["conf"].auc.value > 0.9
    assert bare.evaluations["conf"].auc.value < 0.6
    table = frame(kept)[["label", "member"]].assign(**{f"logit{c}": logits[:, c] for c in range(3)})
    table.to_csv(tmp_path / "a.csv", index=False)
    again = pm.audit.signals(read(tmp_path / "a.csv"), attacks=["conf"])
    assert again.record["attacks"] == full.record["attacks"]


def test_a_tenth_of_saturated_rows_is_enough_to_tell():
    signals = planted(1000, 1.0)
    sure = signals.posteriors.copy()
    sure[:100] = np.eye(5)[signals.labels[:100]]
    assert any(
        "10 % of the largest" in t for t in audited(changed(signals, posteriors=sure)).warnings
    )
    sure[:50] = signals.posteriors[:50]
    assert audited(changed(signals, posteriors=sure)).warnings == []


# on the command line


def test_warnings_stand_in_the_report_the_record_and_on_stderr(tmp_path):
    frame(inverted(planted(400, 2.0))).to_csv(tmp_path / "ANSWERS.CSV", index=False)
    arguments = ["ANSWERS.CSV", "--attacks", "conf", "--json", "o.json", "--html", "o.html"]
    call = [sys.executable, "-m", "prunemia.cli", "audit", *arguments]
    gate = ["--require-below", "auc=0.6"]
    result = subprocess.run(
        [*call, *gate], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert result.returncode == 3
    [warning] = json.loads((tmp_path / "o.json").read_text())["warnings"]
    assert f"prunemia: warning: {warning}" in result.stderr.splitlines()
    assert "Read this first" in (tmp_path / "o.html").read_text()
    assert "No leak found" not in result.stdout


# 200 tables


def half(signals, dtype):
    p = signals.posteriors.astype(dtype).astype(float)
    return changed(signals, posteriors=p / p.sum(axis=1, keepdims=True))


CHANGES = {
    "right": lambda s, _: s,
    "permuted": lambda s, d: changed(s, membership=d.permutation(s.membership)),
    "inverted": lambda s, _: inverted(s),
    "shifted": lambda s, _: changed(s, labels=(s.labels + 1) % s.classes),
    "duplicated": lambda s, _: s.subset(np.tile(np.arange(len(s)), 3)),
    "rounded": lambda s, _: changed(s, posteriors=rounded(s)),
    "saturated": lambda s, _: changed(s, posteriors=sharpened(s)),
    "half precision": lambda s, _: half(s, np.float16),
}  # fmt: skip


def rounded(signals):
    p = signals.posteriors.astype(float).round(1) + 1e-3
    return p / p.sum(axis=1, keepdims=True)


def sharpened(signals):
    logits = 25 * np.log(signals.posteriors.astype(float))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def contradictions(audit):
    """Return what a report says that its numbers deny."""
    found, record = audit, audit.record
    summary, sentence = record["summary"], audit.sentence
    strongest = summary["strongest"]
    measure, low, high = (strongest[key] for key in ("measure", "low", "high"))
    chance = guessing(measure)
    tpr = measure.startswith("tpr@")
    side = "above" if low > chance else "below" if high < chance else "around"
    wrong = []
    if ("lies below chance" in sentence) != (side == "below"):
        wrong.append("below")
    if tpr and ("identifies" in sentence) != (side == "above"):
        wrong.append("identifies")
    if tpr and ("includes chance level" in sentence) != (side == "around"):
        wrong.append("around")
    for family in (found.family, found.turned):
        if level_of(family) != "no leak found" and audit.level == "no leak found":
            wrong.append("no leak found")
    if (audit.level == "no leak found") != (not found.above and not found.below):
        wrong.append("level")
    if bool(found.below) != any("below chance level" in text for text in audit.warnings):
        wrong.append("warning")
    if audit.level == "no leak found" and audit.exceeded(["auc=0.5"]):
        wrong.append("gate")
    return wrong


@pytest.mark.parametrize("name", CHANGES)
def test_no_report_contradicts_its_numbers(name):
    levels = []
    for seed in range(25):
        draw = np.random.default_rng(seed)
        n, classes = int(draw.choice([60, 200, 600])), int(draw.choice([2, 3, 10]))
        signals = planted(n, float(draw.choice([0.0, 0.5, 2.0])), seed, classes)
        audit = audited(CHANGES[name](signals, draw), seed=seed)
        assert contradictions(audit) == [], (name, seed, repr(audit))
        levels.append(audit.level)
    if name == "permuted":
        assert levels.count("no leak found") >= 23


# What was right from the start


def test_one_member_in_a_hundred_is_found_as_one_in_two_is():
    whole = planted(10_000, 2.0)
    members = np.flatnonzero(whole.membership)[:50]
    rare = whole.subset(np.sort([*members, *np.flatnonzero(~whole.membership)]))
    audit = audited(rare, shadow=planted(4000, 2.0, 7))

    assert contradictions(audit) == []
    assert audit.level != "no leak found"
    assert audit.record["summary"]["strongest"]["low"] > guessing(
        audit.record["summary"]["strongest"]["measure"]
    )


def test_a_thousand_classes_of_which_most_never_occur():
    audit = audited(planted(600, 3.0, classes=1000), shadow=planted(600, 3.0, 7, classes=1000))

    assert contradictions(audit) == []
    assert audit.level != "no leak found"


def test_a_random_forest_leaks_by_the_votes_of_trees_that_saw_the_sample():
    draw = np.random.default_rng(0)
    features, labels = draw.normal(size=(800, 5)), draw.integers(0, 3, 800)
    member = np.arange(800) % 2 == 0
    forest = RandomForestClassifier(20, random_state=0).fit(features[member], labels[member])
    audit = audited(pm.Signals(forest.predict_proba(features), None, labels, member))

    assert contradictions(audit) == []
    assert audit.level == "a large leak"
