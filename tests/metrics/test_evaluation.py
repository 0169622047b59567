"""One attack on one target, class by class; one against another; families of p-values."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from prunemia import metrics
from prunemia.metrics import intervals

Z = 1.959963984540054
NO_ROC = "the attack decides on a set and ranks nothing"
SHOWN = ["accuracy", "auc", "tpr@0.001", "tpr@0.01", "tpr@0.05"]


def flags(text):
    return np.array([c == "1" for c in text])


def limits(estimate):
    return estimate.value, estimate.low, estimate.high


def drawn(n=300, shift=1.0, seed=0):
    """Membership, and scores N(shift, 1) of the members, N(0, 1) of the others."""
    member = np.arange(n) % 2 == 0
    return member, np.random.default_rng(seed).normal(shift * member)


def test_the_rates_by_hand():
    # 4 members, 3 found; 5 others, 1 called a member: TPR 3/4, FPR 1/5, accuracy (3/4 + 4/5) / 2.
    result = metrics.evaluate(flags("111100000"), np.arange(9)[::-1], flags("111010000"))
    assert (result.members, result.nonmembers) == (4, 5)
    for estimate, (k, n) in ((result.members_found, (3, 4)), (result.false_alarms, (1, 5))):
        assert limits(estimate) == pytest.approx((k / n, *stats.binomtest(k, n).proportion_ci()))
    assert result.accuracy == intervals.mean_of_rates([(3, 4), (4, 5)])
    assert result.accuracy.value == pytest.approx(0.775)
    # Scores 8, 7, 6, 5 against 4 … 0: all pairs won. Five others resolve none of the three FPRs.
    assert result.auc.value == 1
    unmeasured = dict.fromkeys((0.001, 0.01, 0.05), "not measurable with 5 non-members")
    assert {fpr: str(e) for fpr, e in result.tpr.items()} == unmeasured
    said = "right for 78% of the samples (on the original: 78%; guessing: 50 %)"
    assert result.said(result) == said  # of few: nothing


@settings(max_examples=12, deadline=None)
@given(n=st.integers(2, 60), seed=st.integers(0, 999))
def test_accuracy_and_auc_are_sklearns(n, seed):
    draw = np.random.default_rng(seed)
    member = draw.permutation(np.arange(n) < 1 + seed % (n - 1))
    scores, found = draw.integers(0, 9, n), draw.random(n) < 0.5
    result = metrics.evaluate(member, scores, found)
    assert result.accuracy.value == pytest.approx(balanced_accuracy_score(member, found))
    assert result.auc.value == pytest.approx(roc_auc_score(member, scores))
    order = draw.permutation(n)
    shuffled = metrics.evaluate(member[order], scores[order], found[order])
    assert shuffled.row() == pytest.approx(result.row(), nan_ok=True)


def test_what_the_sample_resolves_is_measured_and_the_rest_is_said():
    # 150 others: 1 % allows one false alarm and 5 % seven; 0.1 % would take 1,000.
    member, scores = drawn()
    result = metrics.evaluate(member, scores, scores >= 0.5)
    ranked = np.sort(scores[~member])[::-1]
    assert str(result.tpr[0.001]) == "not measurable with 150 non-members"
    assert result.tpr[0.01].value == (scores[member] > ranked[1]).mean()
    assert result.tpr[0.05].value == (scores[member] > ranked[7]).mean()
    assert result.auc == intervals.auc(scores[member], scores[~member])

    decided = metrics.evaluate(member, np.sign(scores), scores >= 0, ranks=False)
    found = metrics.table({"conf": result, "blindmi": decided})
    assert (list(found.columns), list(found.index)) == (SHOWN, ["conf", "blindmi"])
    assert found.loc["conf"].tolist()[1:3] == [str(result.auc), str(result.tpr[0.001])]
    assert found.loc["blindmi"].tolist() == [str(decided.accuracy)] + 4 * [NO_ROC]
    # what nobody says is seen: 1 and -1 as decided rank nothing
    signs = np.where(scores >= 0, 1.0, -1.0)
    assert repr(metrics.evaluate(member, signs, scores >= 0)) == repr(decided)


@pytest.mark.parametrize("ranks", [True, False])
def test_the_row_names_every_number_and_all_survives_json(ranks):
    member, scores = drawn()
    result = metrics.evaluate(member, scores, scores >= 0.5, ranks=ranks)
    found = metrics.Evaluation.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False)))
    row = result.row()
    assert repr(found) == repr(result)
    names = [*SHOWN, "members_found", "false_alarms"]
    assert list(row) == [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    assert (row["accuracy"], row["accuracy_low"], row["accuracy_high"]) == limits(result.accuracy)
    assert math.isnan(row["tpr@0.001"])
    assert math.isnan(row["auc"]) == (not ranks)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("membership", flags("1111"), "4 members and 0 non-members; allowed: 1 or more of each"),
        ("membership", np.array([1, 1, 0, 0]), r"dtype int64; allowed: \(n,\) of bool"),
        ("scores", np.array([0, np.nan, 1, 2]), r"allowed: \(4,\) of finite numbers"),
        ("predictions", flags("110"), r"shape \(3,\), dtype bool; allowed: \(4,\) of bool"),
    ],
)
def test_bad_input_is_refused_by_name(name, value, sentence):
    good = {"membership": flags("1100"), "scores": np.arange(4.0), "predictions": flags("1010")}
    bad = good | {name: value}
    pair = [(each["scores"], each["predictions"]) for each in (good, bad)]
    with pytest.raises(ValueError, match=f"{name}: .*{sentence}"):
        metrics.evaluate(**bad)
    with pytest.raises(ValueError, match=f"{name}: .*{sentence}"):
        metrics.compare(bad["membership"], *pair)


def test_accuracy_class_by_class():
    # Class 2: 2 of 3 members found, 1 of 2 others cleared: (2/3 + 1/2) / 2 = 7/12. Class 5: all
    # right. Class 7: members alone. No row of another class.
    labels = np.array([2, 2, 2, 2, 2, 5, 5, 7])
    member, found = flags("11100101"), flags("11001101")
    table = metrics.by_class(member, found, labels)
    assert table.index.tolist() == [2, 5, 7]
    assert table[["members", "nonmembers"]].to_numpy().tolist() == [[3, 2], [1, 1], [1, 0]]
    assert table["accuracy"].tolist()[:2] == pytest.approx([7 / 12, 1])
    expected = intervals.mean_of_rates([(2, 3), (1, 2)])
    assert tuple(table.loc[2, ["accuracy", "low", "high"]]) == pytest.approx(limits(expected))
    assert table.loc[7, ["accuracy", "low", "high"]].isna().all()
    with pytest.raises(ValueError, match=r"labels: shape .*; allowed: \(8,\) of integers"):
        metrics.by_class(member, found, labels / 2)


# -- one attack against another


def test_mcnemar_by_hand():
    # Only the first decides 1 row right, only the second 6. P(at most 1 of 7 heads) = (1 + 7) /
    # 128; twice: 1/8. Balanced accuracies: (1/5 + 3/5) / 2 = 0.4 and (4/5 + 1) / 2 = 0.9.
    member, first, second = (flags(t) for t in ("1111100000", "1000011000", "0111100000"))
    found = metrics.compare(member, (np.arange(10), first), (np.arange(10), second))
    assert found.accuracy_p == pytest.approx(1 / 8)
    # Agresti & Min: ½ more in each cell, n + 2 rows. Members b = 1, c = 4: -3/7, variance (6 - 9/7)
    # / 49; others b = 0, c = 2: -2/7, variance (3 - 4/7) / 49. The mean of the two: -5/14, and a
    # quarter of the variances.
    width = Z * math.sqrt((6 - 9 / 7 + 3 - 4 / 7) / 49 / 4)
    assert limits(found.accuracy) == pytest.approx((-0.5, -5 / 14 - width, -5 / 14 + width))


def test_equal_attacks_do_not_differ_and_a_better_one_does():
    member, noise = drawn(600, shift=0)
    strong, weak = noise + 2 * member, noise[::-1] + 0.2 * member
    same = metrics.compare(member, (2 * weak + 1, weak > 0.1), (weak, weak > 0.1))  # rescaled
    better = metrics.compare(member, (strong, strong > 1), (weak, weak > 0.1))
    assert better.told("it") == f"is right {better.accuracy.points} more often than it"
    assert same.told("it").startswith("is not shown to differ in accuracy from it (+0.0")
    assert (same.accuracy.value, same.accuracy_p) == (0, 1)
    assert same.accuracy.low == -same.accuracy.high < 0
    assert (limits(same.auc), same.auc_p) == ((0, 0, 0), 1)
    assert (better.auc.low > 0.2, better.accuracy.low > 0.15) == (True, True)
    assert max(better.auc_p, better.accuracy_p) < 1e-6
    # of one row on a side the AUC has no variance
    attack, one = (np.arange(4.0), flags("1010")), flags("1000")
    with pytest.raises(ValueError, match="membership: one row on a side; allowed: 2 or more"):
        metrics.compare(one, attack, attack)
    assert metrics.compare(one, attack, attack, ranks=False).accuracy.value == 0


@settings(max_examples=15, deadline=None)
@given(n=st.integers(6, 30), seed=st.integers(0, 999))
def test_the_auc_difference_has_the_jackknifes_variance(n, seed):
    # Leaving one row of a side out in turn: (m - 1) / m · Σ (A₋ᵢ - mean)² is DeLong's term of that
    # side, exactly.
    draw = np.random.default_rng(seed)
    member = draw.permutation(np.arange(n) < 3 + seed % (n - 5))
    scores = [draw.integers(0, 6, n), draw.integers(0, 6, n) + 2 * member]
    one, other = ((s, s > 3) for s in scores)

    def area(s, rows):  # the share of pairs won, ties counting half
        gap = s[rows][member[rows]][:, None] - s[rows][~member[rows]]
        return ((gap > 0) + (gap == 0) / 2).mean()

    def difference(rows):
        return area(scores[0], rows) - area(scores[1], rows)

    every, variance = np.arange(n), 0.0
    for side in (np.flatnonzero(member), np.flatnonzero(~member)):
        left = np.array([difference(np.delete(every, i)) for i in side])
        variance += (len(side) - 1) / len(side) * ((left - left.mean()) ** 2).sum()
    value, error = difference(every), math.sqrt(variance)

    found, swapped = metrics.compare(member, one, other), metrics.compare(member, other, one)

    assert found.auc.value == pytest.approx(value, abs=1e-12)
    if error > 1e-9:
        assert found.auc_p == pytest.approx(2 * stats.norm.sf(abs(value) / error), abs=1e-9)
        expected = max(-1, value - Z * error), min(1, value + Z * error)
        assert limits(found.auc)[1:] == pytest.approx(expected, abs=1e-9)
    for mine, theirs in ((found.auc, swapped.auc), (found.accuracy, swapped.accuracy)):
        assert limits(theirs) == pytest.approx((-mine.value, -mine.high, -mine.low))
        assert mine.low <= mine.value <= mine.high
    assert (swapped.auc_p, swapped.accuracy_p) == pytest.approx((found.auc_p, found.accuracy_p))


def test_both_tests_reject_a_true_null_at_their_level():
    # Two attacks, each the truth plus noise of its own: alike in law. Of 400 samples 5 % are
    # rejected, ± 4 standard errors of √(0.05 · 0.95 / 400) = 0.011; McNemar's exact test rejects no
    # more than that. Their intervals agree.
    draw = np.random.default_rng(3)
    member = np.arange(120) < 60
    found = []
    for _ in range(400):
        truth = draw.normal(member)
        one, other = (truth + draw.normal(0, 1, 120) for _ in range(2))
        found.append(metrics.compare(member, (one, one > 0.5), (other, other > 0.5)))

    assert np.mean([c.auc_p < 0.05 for c in found]) == pytest.approx(0.05, abs=0.044)
    assert np.mean([c.accuracy_p < 0.05 for c in found]) < 0.05 + 0.044
    assert all((c.auc_p < 0.05) == (not c.auc.low <= 0 <= c.auc.high) for c in found)
    missed = np.mean([not c.accuracy.low <= 0 <= c.accuracy.high for c in found])
    assert missed == pytest.approx(0.05, abs=0.044)


def test_pairs_corrects_each_family():
    member, noise = drawn(400, shift=0)
    draw = np.random.default_rng(5)

    def result(shift, ranks=True):
        scores = noise + shift * member + draw.normal(0, 0.5, 400)
        fields = {"membership": member, "scores": scores, "predictions": scores > shift / 2}
        return SimpleNamespace(**fields, evaluation=metrics.evaluate(**fields, ranks=ranks))

    first, conf, xent, blindmi = result(0.6), result(0.4), result(0.5), result(0.3, ranks=False)
    table = metrics.pairs(first, {"conf": conf, "xent": xent, "blindmi": blindmi})
    of = [(r.scores, r.predictions) for r in (first, conf, xent, blindmi)]
    single = [metrics.compare(member, of[0], each, ranks=each is not of[3]) for each in of[1:]]
    p = [f"{x:.3f}" for x in metrics.holm([c.accuracy_p for c in single])]
    p_auc = [f"{x:.3f}" for x in metrics.holm([c.auc_p for c in single[:2]])]  # two, not three

    assert table.index.tolist() == ["conf", "xent", "blindmi"]
    expected = [[str(c.accuracy) for c in single], p, [*(str(c.auc) for c in single[:2]), "–"],
                [*p_auc, "–"]]  # fmt: skip
    assert table.T.to_numpy().tolist() == expected
    # Where the first ranks nothing, no AUC is compared.
    assert (str(single[2].auc), math.isnan(single[2].auc_p)) == (NO_ROC, True)
    blind = metrics.pairs(blindmi, {"conf": conf})
    assert blind.loc["conf", ["AUC difference", "DeLong p (Holm)"]].tolist() == ["–", "–"]


def test_holm_by_hand_and_as_the_running_maximum():
    # Ascending 0.01, 0.03, 0.04 times 3, 2, 1: 0.03, 0.06, 0.04; never below the one before: 0.03,
    # 0.06, 0.06.
    assert metrics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert metrics.holm([0.2]) == pytest.approx([0.2])
    p = np.random.default_rng(12).random(12).round(1) ** 2  # some tie
    # at each p: the largest, over those below it, of q times how many are as large as q
    expected = [max(min(1, q * (p >= q).sum()) for q in p if q <= own) for own in p]
    assert metrics.holm(p) == pytest.approx(expected)
    for wrong in ([], [[0.1]], [0.5, 1.1], [math.nan, 0.5]):
        with pytest.raises(ValueError, match="pvalues: allowed: one or more numbers from 0 to 1"):
            metrics.holm(wrong)
