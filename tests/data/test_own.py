"""The reader's own arrays: what is loaded, and what is refused in one sentence."""

import io
import re
import zipfile

import numpy as np
import pytest

import prunemia as pm
from prunemia import data
from prunemia.data import DataError, LayoutWarning, ScaleWarning, standardized
from prunemia.data.own import FIRST, GREY, LAST, SERIES, SERIES_LAST


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves arrays as an .npz, and returns its path."""

    def save(**arrays):
        np.savez(tmp_path / "own.npz", **arrays)
        return tmp_path / "own.npz"

    return save


@pytest.mark.parametrize(
    "labels", [[7, -1, 3, 7], np.array([[2.0], [0], [1], [2]]), np.eye(3, dtype=bool)[[2, 0, 1, 2]]]
)
def test_features_and_labels_of_any_form_are_float32_and_classes_from_0(saved, labels):
    features = np.arange(16, dtype=np.float64).reshape(4, 4)
    dataset = data.load(saved(features=features, labels=labels))
    np.testing.assert_array_equal(dataset.features, features.astype(np.float32), strict=True)
    np.testing.assert_array_equal(dataset.labels, np.array([2, 0, 1, 2]), strict=True)
    assert (dataset.classes, len(dataset.sample(2))) == (3, 2)


@pytest.mark.parametrize(
    ("field", "shape", "expected"),
    [
        ("images", (8, 9, 3), (3, 8, 9)),  # channels last
        ("images", (3, 8, 9), (3, 8, 9)),
        ("images", (3, 9), (1, 3, 9)),
        ("features", (8, 9, 1), (1, 8, 9)),
        ("features", (1, 4, 4), (1, 4, 4)),
        ("features", (3, 9), (3, 9)),  # a series of three channels
        ("features", (1, 3), (1, 3)),
        ("features", (8, 8), (1, 8, 8)),  # eight is no number of channels
        ("features", (9,), (9,)),
    ],
)
def test_own_shapes(saved, field, shape, expected):
    values = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    dataset = data.load(saved(**{field: values}, labels=np.arange(6)))
    placed = np.moveaxis(values, -1, 1) if shape == (8, 9, 3) else values
    scale = 255 if len(shape) > 1 else 1  # pixels, and whole numbers
    whole = placed.reshape(6, *expected) / scale
    np.testing.assert_allclose(dataset.features, whole.astype(np.float32), rtol=1e-6, strict=True)


@pytest.mark.parametrize(
    ("shape", "read", "expected", "layout", "otherwise"),
    [
        ((40, 1), SERIES_LAST, (1, 40), SERIES, (40, 1)),
        ((2, 3), SERIES, (2, 3), SERIES_LAST, (3, 2)),
        ((12, 100), GREY, (1, 12, 100), SERIES, (12, 100)),
        ((100, 12), GREY, (1, 100, 12), SERIES_LAST, (12, 100)),
        ((28, 20, 2), FIRST, (28, 20, 2), LAST, (2, 28, 20)),
        ((3, 50, 3), FIRST, (3, 50, 3), LAST, (3, 3, 50)),
    ],
)
def test_a_shape_of_several_readings_is_told_unless_the_file_says_which(
    saved, shape, read, expected, layout, otherwise
):
    features = np.random.default_rng(0).normal(size=(80, *shape)).astype(np.float32)
    arrays = {"features": features, "labels": np.arange(80) % 2}
    path = saved(**arrays)
    with pytest.warns(LayoutWarning) as caught:
        guessed = data.load(path)
    (text,) = [str(warning.message) for warning in caught]
    said = f"{path}: features: shape {features.shape}, which is read as ({read}) and may as well be"
    assert text.startswith(said)
    assert f"({layout})" in text
    np.testing.assert_array_equal(guessed.features, arranged(features, read))
    for says, becomes in ((read, expected), (layout, otherwise)):
        dataset = data.load(saved(**arrays, layout=says))
        assert dataset.shape == becomes
        np.testing.assert_array_equal(dataset.features, arranged(features, says))


def arranged(features, layout):
    if layout == GREY:
        return features[:, np.newaxis]
    return np.moveaxis(features, -1, 1) if layout.endswith("channels") else features


def npy(array):
    np.lib.format.write_array(buffer := io.BytesIO(), np.asarray(array))
    return buffer.getvalue()


def archive(**members):
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as packed:
        for name, content in members.items():
            packed.writestr(name.replace("_npy", ".npy"), content)
    return buffer.getvalue()


GOOD, SIX = np.ones((6, 2)), np.arange(6)
WHOLE = archive(features_npy=npy(np.ones((600, 20))), labels_npy=npy(np.arange(600)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"features": None}, "field 'features' is missing; its fields are labels"),
        ({"labels": SIX[:5]}, r"labels: shape \(5,\), .*allowed: \(6,\)"),
        ({"labels": SIX / 2}, "labels: row 1: label is '0.5'; allowed: a whole"),
        ({"labels": SIX * 0}, "labels: all alike; allowed: 2 or more classes"),
        ({"features": np.full((6, 2), "a")}, "features: .* allowed: numbers of 2 to 4 dimensions"),
        ({"features": None, "images": GOOD}, r"images: .* 2 to 4 dimensions \(images 3 or 4\)"),
        ({"features": np.ones((6, 0))}, "none of them empty"),
        ({"features": GOOD * 1e300}, "row 0: value 0 is 'inf'; allowed: finite numbers"),
        ({"features": np.array([{}] * 6)}, "'features' is pickled, which is not"),
        ({"layout": SERIES}, r"layout: 'channels, length' with shape .*allowed: 'features'$"),
        (npy(GOOD), r"is no \.npz archive, or is truncated"),
        (WHOLE[:50_000], "truncated"),
        (archive(readme=b"text"), "field 'readme' is damaged"),
        (archive(features_npy=npy(GOOD) + b"more"), "damaged: 4 bytes more than its header"),
        (archive(labels_npy=npy(GOOD), labels=npy(GOOD)), "field 'labels' .* it is there twice"),
        (WHOLE[:1000] + b"x" + WHOLE[1001:], "field 'features' is damaged: Bad CRC-32"),
    ],
)
def test_what_is_wrong_with_an_own_file_is_one_sentence(saved, content, sentence):
    changes = content if isinstance(content, dict) else {}
    given = {"features": GOOD, "labels": SIX} | changes
    path = saved(**{name: array for name, array in given.items() if array is not None})
    if not changes:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: .*{sentence}") as caught:
        data.load(path)
    assert "\n" not in str(caught.value)


def test_a_file_damaged_anywhere_raises_nothing_but_data_errors(tmp_path):
    path, refused = tmp_path / "own.npz", 0
    with pytest.raises(DataError, match="cannot be read: No such file"):
        data.load(path)
    features = np.random.default_rng(0).normal(size=(20, 3))
    np.savez_compressed(path, features=features, labels=np.arange(20))
    whole = path.read_bytes()
    for place in range(0, len(whole), 8):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            data.load(path)
        except DataError:
            refused += 1
    assert refused > len(whole) / 16  # of an eighth as many places


def test_standardized_by_the_training_samples_counted_by_hand():
    # Training samples 0 and 2: means 2 and 7, deviations 1 and 0.
    features = np.array([[1, 7], [5, 9], [3, 7]], np.float32)
    scaled = standardized(features, [0, 2])
    assert scaled.tolist() == [[-1, 0], [3, 2], [1, 0]]
    assert scaled.dtype == np.float32


def test_features_that_are_not_on_one_scale_bring_one_warning_unless_standardized(saved):
    path = saved(features=np.tile([[0, 5, 3], [1, 5, 104]], (40, 1)), labels=np.arange(80))
    # The ranges are 1, 0 (constant, not counted) and 101.
    with pytest.warns(ScaleWarning, match="set standardize=True in the Experiment") as caught:
        data.load(path)
    assert len(caught) == 1
    lab = pm.Lab(path.parent / "store", progress=False)
    exp = pm.Experiment(dataset=str(path), model="columnfc", standardize=True)
    assert len(lab.dataset(exp)) == 80  # pytest makes an error of a warning


def test_features_on_one_scale_bring_none(saved):
    for features in (
        np.array([[0, 3], [1, 103], [0.5, 3]]),  # a ratio of 100
        np.eye(20_000, 2),  # rare binary features
        np.ones((3, 2)),  # all constant
        np.array([[-3e38, 0], [3e38, 6e38 / 10]]),  # beyond float32
    ):
        data.load(saved(features=features, labels=np.arange(len(features))))
