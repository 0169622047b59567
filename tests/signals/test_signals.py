import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import prunemia as pm


def fields(n=4, classes=3):
    draw = np.random.default_rng(0)
    posteriors = draw.dirichlet(np.ones(classes), size=n)
    return {
        "posteriors": posteriors,
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
        (changed("posteriors", (1, 0), np.nan), "posteriors: row 1 holds NaN"),
        (changed("posteriors", 2, [0.5, 0.2, 0.2]), r"posteriors: row 2 sums to 0\.9"),
        (changed("posteriors", 0, [1.5, -0.5, 0.0]), r"posteriors: -0\.5 to 1\.5; allowed: 0 to 1"),
        (changed("sensitivities", (0, 0), -1), "sensitivities: smallest value -1"),
        (changed("sensitivities", (3, 1), np.inf), "sensitivities: row 3 holds NaN or infinity"),
        (changed("labels", 0, 3), "labels: 0 to 3; allowed: 0 to 2"),
        (changed("model", 0, -1), "model: smallest value -1"),
        (fields() | {"labels": np.zeros(3, dtype=int)}, r"labels: shape \(3,\)"),
        (fields() | {"labels": np.zeros(4)}, "dtype float64; allowed"),
        (fields() | {"membership": np.zeros(4)}, r"membership: shape \(4,\), dtype float64"),
        (
            fields() | {"sensitivities": np.zeros((4, 2))},
            r"sensitivities: shape \(4, 2\); allowed: \(4, 3\)",
        ),
        (fields() | {"posteriors": np.ones((4, 1))}, "at least 1 row and 2 classes"),
        (fields() | {"posteriors": np.array([["a", "b"]])}, "of numbers"),
        (fields(0), "at least 1 row"),
    ],
)
def test_wrong_fields_are_refused_by_name(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        pm.Signals(**wrong)


def test_what_is_observed_holds_no_membership():
    signals = pm.Signals(**fields())
    seen = signals.observed()

    assert seen.membership is None
    assert "membership" not in seen.arrays()
    assert np.array_equal(seen.posteriors, signals.posteriors)
    with pytest.raises(ValueError, match="membership: None"):
        seen.require_membership()


@pytest.mark.parametrize("value", [True, False])
def test_members_alone_or_non_members_alone_are_refused_where_both_are_needed(value):
    with pytest.raises(ValueError, match="allowed: 1 or more of each"):
        pm.Signals(**fields() | {"membership": np.full(4, value)}).require_membership()


def test_arrays_cannot_be_changed_from_outside():
    given_ = fields()
    signals = pm.Signals(**given_)
    given_["labels"][0] = 2

    assert signals.labels[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        signals.labels[0] = 1


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 30), classes=st.integers(2, 12), hidden=st.booleans())
def test_saved_and_loaded_are_the_same(tmp_path_factory, n, classes, hidden):
    path = tmp_path_factory.mktemp("signals") / "s.npz"
    signals = pm.Signals(**fields(n, classes))
    signals = signals.observed() if hidden else signals
    signals.save(path)
    loaded = pm.Signals.load(path)

    assert len(loaded) == n
    assert loaded.classes == classes
    assert loaded.arrays().keys() == signals.arrays().keys()
    assert all(np.array_equal(a, loaded.arrays()[name]) for name, a in signals.arrays().items())


def test_files_that_are_no_signals(tmp_path):
    path = tmp_path / "s.npz"
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        pm.Signals.load(path)
    path.write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(ValueError, match=r"is no \.npz archive"):
        pm.Signals.load(path)
    np.savez(path, posteriors=np.ones(3), extra=np.ones(3))
    with pytest.raises(ValueError, match=r"missing \['labels'\], unknown \['extra'\]"):
        pm.Signals.load(path)
    np.savez(path, **fields() | {"labels": np.array([{}, 1, 2, 3], dtype=object)})
    with pytest.raises(ValueError, match="field 'labels' is pickled, which is not read"):
        pm.Signals.load(path)


def test_fields_that_disagree_are_refused_before_they_are_unpacked(tmp_path):
    path = tmp_path / "s.npz"
    np.savez_compressed(path, **fields() | {"model": np.zeros(10**7, dtype=int)})
    tracemalloc.start()
    with pytest.raises(ValueError, match="model: 10000000 rows; allowed: 4, as posteriors have"):
        pm.Signals.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000


def test_from_logits_is_a_stable_softmax():
    # softmax(1000, 1000 + ln 3) = (1/4, 3/4): a naive exponential overflows.
    signals = pm.Signals.from_logits([[1000, 1000 + np.log(3)]], [[0.0, 0.0]], [1])
    assert signals.posteriors[0].tolist() == pytest.approx([0.25, 0.75])


def test_subset_and_concatenate_undo_each_other():
    signals = pm.Signals(**fields(6))
    parts = [signals.subset(np.arange(6) < 4), signals.subset([4, 5])]
    again = pm.Signals.concatenate(parts)

    assert [len(p) for p in parts] == [4, 2]
    assert all(np.array_equal(a, again.arrays()[name]) for name, a in signals.arrays().items())


def without_sensitivities(n=6):
    return pm.Signals(**fields(n) | {"sensitivities": None})


def test_signals_without_sensitivities_are_kept_and_cut_like_others(tmp_path):
    signals = without_sensitivities()
    signals.save(tmp_path / "s.npz")

    for each in (
        signals.observed(),
        signals.subset([0, 3]),
        pm.Signals.concatenate([signals, signals]),
        pm.Signals.load(tmp_path / "s.npz"),
        pm.Signals.from_logits([[0.0, 1.0]], None, [1]),
    ):
        assert each.sensitivities is None
        assert "sensitivities" not in each.arrays()
    with pytest.raises(ValueError, match="sensitivities: None; allowed here: one number"):
        signals.require_sensitivities()


def test_what_only_some_parts_have_cannot_be_put_together():
    signals, bare = pm.Signals(**fields(6)), without_sensitivities()
    for parts, name in ([signals, bare], "sensitivities"), ([bare, bare.observed()], "membership"):
        with pytest.raises(ValueError, match=f"{name}: only one of parts 0 and 1 has it"):
            pm.Signals.concatenate(parts)


def test_tensors_are_taken_with_their_gradients_and_in_half_precision():
    given_ = fields()
    weights = torch.tensor(given_["posteriors"], requires_grad=True)
    signals = pm.Signals(
        weights * 1.0,
        torch.tensor(given_["sensitivities"]).bfloat16(),
        torch.tensor(given_["labels"]),
        torch.tensor(given_["membership"]),
    )

    assert np.array_equal(signals.posteriors, given_["posteriors"].astype(np.float32))
    assert signals.sensitivities == pytest.approx(given_["sensitivities"], rel=2**-8)
    assert np.array_equal(signals.membership, given_["membership"])
