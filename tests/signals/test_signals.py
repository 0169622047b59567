import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import prunemia as pm


def fields(n=4, classes=3):
    draw = np.random.default_rng(0)
    return {
        "posteriors": draw.dirichlet(np.ones(classes), size=n),
        "sensitivities": draw.random((n, classes)),
        "labels": np.arange(n) % classes,
        "membership": np.arange(n) < n // 2,
        "model": np.zeros(n, dtype=int),
    }


def changed(name, place, value):
    wrong = fields()
    wrong[name] = wrong[name].copy()
    wrong[name][place] = value
    return wrong


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (changed("posteriors", (1, 0), np.nan), "row 1: posterior 0 is 'nan'; allowed: 0 to 1"),
        (
            changed("posteriors", 2, [0.501234, 0.2, 0.2]),
            r"row 2: .* is 0\.901234; .*left out",
        ),
        (changed("posteriors", 0, [1.5, -0.5, 0.0]), r"row 0: .* '1\.5'; allowed: .* \(logits\?\)"),
        (
            changed("sensitivities", (3, 1), np.inf),
            "row 3: sensitivity 1 is 'inf'; allowed: 0 or",
        ),
        (changed("labels", 0, 3), r"labels: row 0: label is '3'; allowed: 0 to 2"),
        (changed("model", 0, -1), "model: row 0: model is '-1'; allowed: 0 or more"),
        (fields() | {"labels": np.zeros(3)}, r"labels: shape \(3,\)"),
        (fields() | {"labels": ["cat", 1, 1, 1]}, "label is 'cat'; .* as classes are numbered"),
        (fields() | {"labels": np.ones((4, 3))}, r"labels: shape \(4, 3\); .*one-hot rows"),
        (fields() | {"labels": np.ma.array([0, 1, 2, 0], mask=[0, 1, 0, 0])}, "row 1: label is"),
        (fields() | {"membership": np.full(4, 0.5)}, "row 0: member is '0.5'; allowed: 0 or 1"),
        (fields() | {"logits": np.ones((4, 2))}, r"logits: shape \(4, 2\), .*allowed: \(4, 3\)"),
        (fields() | {"references": np.ones(4)}, r"references: .* allowed: \(4, k\) of numbers"),
        (fields() | {"trained_on": np.ones((4, 1), bool)}, "allowed: None without references"),
        (fields() | {"posteriors": np.ones((4, 1))}, "make the columns 1 - p and p"),
        (fields(0), "at least 1 row"),
    ],
)
def test_wrong_fields_are_refused_by_name(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        pm.Signals(**wrong)


def test_what_is_observed_holds_no_membership_and_no_array_can_be_changed():
    given_ = fields()
    signals = pm.Signals(**given_)
    given_["labels"][0] = 2
    assert signals.labels[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        signals.labels[0] = 1
    assert signals.arrays().keys() - signals.observed().arrays().keys() == {"membership"}
    with pytest.raises(ValueError, match="membership: None"):
        signals.observed().require_membership()
    with pytest.raises(ValueError, match="allowed: 1 or more of each"):
        signals.subset([0, 1]).require_membership()


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 30), classes=st.integers(2, 12), hidden=st.booleans())
def test_saved_and_loaded_are_the_same(tmp_path_factory, n, classes, hidden):
    path = tmp_path_factory.mktemp("signals") / "s.npz"
    signals = pm.Signals(**fields(n, classes))
    signals = signals.observed() if hidden else signals
    signals.save(path)
    loaded = pm.Signals.load(path)

    assert (len(loaded), loaded.classes) == (n, classes)
    np.testing.assert_equal(loaded.arrays(), signals.arrays())


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (None, "cannot be read: No such file"),
        ({"posteriors": np.ones(3), "extra": np.ones(3)}, "holds extra; allowed: posteriors"),
        ({"posteriors": np.ones(3)}, "misses labels"),
        ({"labels": np.array([{}], dtype=object)}, "'labels' is pickled, which is not read"),
    ],
)
def test_files_that_are_no_signals(tmp_path, arrays, sentence):
    if arrays:
        np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(ValueError, match=sentence):
        pm.Signals.load(tmp_path / "s.npz")


def test_subset_and_concatenate_undo_each_other():
    signals = pm.Signals(**fields(6))
    parts = [signals.subset(np.arange(6) < 4), signals.subset([4, 5])]
    np.testing.assert_equal(pm.Signals.concatenate(parts).arrays(), signals.arrays())
    with pytest.raises(ValueError, match="membership: only one of parts 0 and 1 has it"):
        pm.Signals.concatenate([signals, signals.observed()])
    bare = pm.Signals(**fields(6) | {"sensitivities": None})
    for each in (bare.observed(), bare.subset([0, 3]), pm.Signals.concatenate([bare, bare])):
        assert "sensitivities" not in each.arrays()
    with pytest.raises(ValueError, match="sensitivities: None; allowed here: one number"):
        bare.require_sensitivities()


def test_tensors_are_taken_with_their_gradients_and_in_half_precision():
    given_ = fields()
    weights = torch.tensor(given_["posteriors"], requires_grad=True)
    moved = torch.tensor(given_["sensitivities"]).bfloat16()
    signals = pm.Signals(weights * 1.0, moved, torch.tensor(given_["labels"]))

    assert np.array_equal(signals.posteriors, given_["posteriors"].astype(np.float32))
    assert signals.sensitivities == pytest.approx(given_["sensitivities"], rel=2**-8)


CLASSES = fields()["labels"]
LABELS = {
    "half": CLASSES.astype(np.float16),
    "uint8": CLASSES.astype(np.uint8),
    "one-hot": np.eye(3)[CLASSES],
    "a column": CLASSES[:, None],
    "text": CLASSES.astype(str),
    "bfloat16": torch.tensor(CLASSES).bfloat16(),
    "nullable": pd.Series(CLASSES, dtype="Int64"),
    "categories": pd.Series(CLASSES.astype(str), dtype="category"),
}
FIRST = fields()["membership"]
MEMBERS = {
    "floats": FIRST.astype(float),
    "a column": FIRST[:, None],
    "nullable": pd.Series(FIRST, dtype="boolean"),
    "words": np.where(FIRST, "train", "test"),
    "other words": np.where(FIRST, "Member", "non member"),
    "truth": pd.Series(np.where(FIRST, "TRUE", "FALSE")),
    "a tensor": torch.tensor(FIRST).half(),
}


@pytest.mark.parametrize("name", LABELS | MEMBERS)
def test_one_coercion_for_labels_and_for_membership(name):
    given_ = {"labels": LABELS.get(name, CLASSES), "membership": MEMBERS.get(name, FIRST)}
    signals = pm.Signals(**fields() | given_)
    assert signals.labels.tolist() == CLASSES.tolist()
    assert signals.membership.tolist() == FIRST.tolist()


def test_labels_that_are_one_too_high_and_logits_that_are_probabilities_are_told():
    with pytest.warns(pm.signals.SignalWarning, match="run from 1 to 3 for 3 classes"):
        signals = pm.Signals(**fields() | {"labels": CLASSES + 1})
    assert signals.labels.tolist() == CLASSES.tolist()
    with pytest.warns(pm.signals.SignalWarning, match="logits: its logits are probabilities"):
        pm.Signals.from_logits(fields()["posteriors"], None, CLASSES)


EXACT = np.random.default_rng(0).dirichlet(np.ones(30), size=50)


@pytest.mark.parametrize(
    ("rounded", "exact", "said"),
    [
        (EXACT.round(2), EXACT, "rounded to 2 decimals; each row was divided"),
        (torch.tensor(0.983 * EXACT).bfloat16(), EXACT, "rounded to bfloat16; each row"),
        (EXACT.astype(np.float16) * np.float16(0.996), EXACT, "rounded to float16; each row"),
        # 1.1 and 0.9, but for rounding: one decimal may move a sum up as far as down
        ([[0.4, 0.3, 0.2, 0.2], [0.4, 0.3, 0.1, 0.1]], None, r"rows sum to 0\.900 to 1\.100"),
    ],
    ids=["2 decimals", "bfloat16", "float16", "1 decimal"],
)
def test_rounded_posteriors_are_divided_by_their_sums(rounded, exact, said):
    with pytest.warns(pm.signals.SignalWarning, match=said):
        signals = pm.Signals(rounded, None, np.zeros(len(rounded)))
    assert signals.posteriors.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert exact is None or signals.posteriors == pytest.approx(exact, abs=0.01)


def confident(n=500):
    """Members' log-odds are N(26, 4), others' N(20, 4): float32 rounds nearly all to 1."""
    member = np.arange(n) % 2 == 0
    logits = np.random.default_rng(0).normal(20 + 6 * member, 4)[:, None] * [1, 0, 0, 0]
    return logits, pm.Signals.from_logits(logits, None, np.zeros(n), membership=member)


def test_logits_keep_apart_what_single_precision_rounds_to_one():
    logits, kept = confident()
    bare, member = kept.without_logits(), kept.membership
    # the oracle: log-odds of the true class rank as the logit does, for one class
    oracle = roc_auc_score(member, logits[:, 0])
    for name in ("conf", "mentr", "top1conf"):
        attack = pm.attacks.get(name)()
        full, rounded = (attack.fit(each).decision_function(each) for each in (kept, bare))
        assert roc_auc_score(member, full) == pytest.approx(oracle)
        # mentr: the other classes' posteriors keep their digits
        assert name == "mentr" or roc_auc_score(member, rounded) < oracle - 0.1
    one = pm.attacks.get("conf")().fit(bare)  # what a fit without logits knows, it applies
    assert np.array_equal(one.decision_function(kept) >= 0, one.decision_function(bare) >= 0)
    assert pm.Signals.from_logits(logits / 9, None, np.zeros(500)).logits is None


def test_from_logits_is_a_stable_softmax_and_logits_stay(tmp_path):
    # softmax(1000, 1000 + ln 3) = (1/4, 3/4): a naive exponential overflows.
    stable = pm.Signals.from_logits([[1000, 1000 + np.log(3)]], [[0.0, 0.0]], [1])
    assert stable.posteriors[0].tolist() == pytest.approx([0.25, 0.75])
    logits, signals = confident(20)
    signals.save(tmp_path / "s.npz")
    again = pm.Signals.concatenate([pm.Signals.load(tmp_path / "s.npz").subset([0, 3]), signals])
    assert np.array_equal(again.logits, np.concatenate([logits[[0, 3]], logits]))
    assert pm.Signals.concatenate([signals, signals.without_logits()]).logits is None
