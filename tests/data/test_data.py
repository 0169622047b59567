"""Data sets without a download: generated, built in, and the reader's own; the split."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prunemia import data
from prunemia.data import DataError, Dataset


def made(rows: int, classes: int = 3, seed: int = 0) -> Dataset:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, 4)).astype(np.float32)
    return Dataset("made", features, np.arange(rows) % classes, classes)


def test_sheets_are_complete() -> None:
    sheets = data.sheets()
    assert tuple(sheets.index) == tuple(data.SOURCES)
    assert sheets.loc["location", ["rows", "features", "classes"]].tolist() == [5010, "446", 30]
    texts = sheets[["about", "used for", "source", "license", "citation", "integrity"]]
    assert texts.map(len).min().min() > 2


def test_citations_are_in_the_bibliography() -> None:
    bibliography = (Path(__file__).parents[2] / "book" / "references.bib").read_text(
        encoding="utf-8"
    )
    assert [key for key in data.sheets()["citation"] if f"{{{key}," not in bibliography] == []


def test_mnist1d_is_what_is_published() -> None:
    from mnist1d.data import make_dataset

    dataset = data.load("mnist1d")
    assert (dataset.features.shape, dataset.features.dtype) == ((5000, 1, 40), np.float32)
    assert (dataset.labels.dtype, dataset.classes, dataset.shape) == (np.int64, 10, (1, 40))
    assert np.bincount(dataset.labels).tolist() == [500] * 10
    published = make_dataset()
    np.testing.assert_array_equal(dataset.features[:4000, 0], published["x"].astype(np.float32))
    np.testing.assert_array_equal(dataset.labels[4000:], published["y_test"])


def test_mnist1d_leaves_the_global_generators_alone() -> None:
    def draws() -> tuple[float, ...]:
        return random.random(), float(np.random.random())  # noqa: NPY002

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = draws()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    data.load("mnist1d", samples=100)
    assert draws() == expected


@pytest.mark.parametrize("samples", [100, 1005])
def test_mnist1d_of_any_size_is_the_same_each_time(samples: int) -> None:
    first, second = (data.load("mnist1d", samples=samples) for _ in range(2))
    assert len(first) == samples
    assert first.fingerprint == second.fingerprint


def test_digits() -> None:
    dataset = data.load("digits")
    assert (dataset.features.shape, dataset.classes) == ((1797, 1, 8, 8), 10)
    assert (dataset.features.min(), dataset.features.max()) == (0, 1)


def test_samples_are_fixed_and_nested() -> None:
    large, small = data.load("digits", samples=500), data.load("digits", samples=200)
    np.testing.assert_array_equal(large.features[:200], small.features)
    np.testing.assert_array_equal(large.labels[:200], small.labels)
    assert data.load("digits", samples=1797).fingerprint == data.load("digits").fingerprint
    with pytest.raises(DataError, match="samples: 1798 of data set 'digits', which has 1797 rows"):
        data.load("digits", samples=1798)


def test_an_unknown_name_is_one_sentence() -> None:
    with pytest.raises(DataError, match="'nosuch' is not known; allowed: mnist1d, digits"):
        data.load("nosuch")


def test_the_fingerprint_is_of_the_contents_alone() -> None:
    dataset = made(10)
    renamed = Dataset("other", dataset.features.copy(), dataset.labels.copy(), dataset.classes)
    assert renamed.fingerprint == dataset.fingerprint
    changed = dataset.features.copy()
    changed[3, 1] += 1
    others = [
        Dataset("made", changed, dataset.labels, 3),
        Dataset("made", dataset.features, dataset.labels[::-1].copy(), 3),
        Dataset("made", dataset.features.reshape(10, 2, 2), dataset.labels, 3),
        Dataset("made", dataset.features, dataset.labels, 4),
    ]
    assert len({other.fingerprint for other in [dataset, *others]}) == 5


@pytest.mark.parametrize(
    ("rows", "victim", "shadow"),
    [
        # 5010 → 2505 each; ⌈.45·2505 = 1127.25⌉ = 1128; ⌈.1818·1377 = 250.3⌉ = 251; 2505 - 1128 -
        # 251 = 1126
        (5010, (1126, 251, 1128), (1126, 251, 1128)),
        # 1797 → 898 and 899; ⌈404.1⌉ = 405, ⌈.1818·493 = 89.6⌉ = 90, 403; ⌈404.55⌉ = 405,
        # ⌈.1818·494 = 89.8⌉ = 90, 404
        (1797, (403, 90, 405), (404, 90, 405)),
        # 40 → 20; exactly 9 for testing; ⌈.1818·11 = 1.9998⌉ = 2; 9
        (40, (9, 2, 9), (9, 2, 9)),
    ],
)
def test_parts_have_the_sizes_counted_by_hand(
    rows: int, victim: tuple[int, ...], shadow: tuple[int, ...]
) -> None:
    dataset = made(rows)
    for index, expected in ((0, victim), (1, shadow), (7, shadow)):
        parts = data.split(dataset, 0, index)
        assert (len(parts.train), len(parts.validation), len(parts.test)) == expected


def rows_of(parts: data.Split) -> NDArray[np.int64]:
    return np.concatenate([parts.train, parts.validation, parts.test])


def test_victim_and_adversary_share_no_row_and_use_all() -> None:
    dataset = made(201)
    victim = rows_of(data.split(dataset, 3, 0))
    shadows = [rows_of(data.split(dataset, 3, index)) for index in (1, 2, 9)]
    for shadow in shadows:
        assert sorted(np.concatenate([victim, shadow])) == list(range(201))
    assert not np.array_equal(shadows[0], shadows[1])


def test_a_split_depends_on_data_seed_and_index_alone() -> None:
    def train(dataset: Dataset, seed: int, index: int) -> list[int]:
        return data.split(dataset, seed, index).train.tolist()

    dataset = made(100)
    assert train(dataset, 0, 2) == train(made(100), 0, 2)
    different = [
        train(dataset, 0, 1),
        train(dataset, 0, 2),
        train(dataset, 1, 1),
        train(made(100, seed=1), 0, 1),
    ]
    assert len({tuple(rows) for rows in different}) == 4
    assert train(dataset, 0, 0) != sorted(train(dataset, 0, 0))  # in random order


@pytest.mark.parametrize("rows", [2, 10, 20])
def test_too_few_rows_are_one_sentence(rows: int) -> None:
    with pytest.raises(DataError, match=f"'made': {rows} rows are too few to split"):
        data.split(made(rows), 0, 0)


def test_training_rows_of_one_class_are_one_sentence() -> None:
    dataset = Dataset("made", np.zeros((100, 2), np.float32), np.zeros(100, np.int64), 2)
    with pytest.raises(DataError, match="training rows of network 1 are all of one class"):
        data.split(dataset, 0, 1)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_own_features(tmp_path: Path) -> None:
    features = np.arange(40, dtype=np.float64).reshape(10, 4)
    labels = np.array([7, -1, 3, 7, -1, 3, 7, -1, 3, 3])
    dataset = data.load(saved(tmp_path / "own.npz", features=features, labels=labels))
    np.testing.assert_array_equal(dataset.features, features.astype(np.float32))
    assert dataset.labels.tolist() == [2, 0, 1, 2, 0, 1, 2, 0, 1, 1]
    assert (dataset.classes, dataset.labels.dtype, dataset.features.dtype) == (
        3,
        np.int64,
        np.float32,
    )
    assert len(data.load(str(tmp_path / "own.npz"), samples=5)) == 5


@pytest.mark.parametrize(
    ("field", "shape", "expected"),
    [
        ("images", (6, 8, 9, 3), (3, 8, 9)),  # channels last
        ("images", (6, 3, 8, 9), (3, 8, 9)),
        ("images", (6, 8, 9), (1, 8, 9)),
        ("features", (6, 8, 9, 1), (1, 8, 9)),
        ("features", (6, 2, 9), (2, 9)),
        ("features", (6, 9), (9,)),
    ],
)
def test_own_shapes(
    tmp_path: Path, field: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    dataset = data.load(saved(tmp_path / "own.npz", **{field: values}, labels=np.arange(6)))
    assert dataset.shape == expected
    if len(shape) == 2:
        np.testing.assert_array_equal(dataset.features, values)  # whole numbers, no pixels
    else:
        assert dataset.features.max() == pytest.approx(values.max() / 255)
    if shape == (6, 8, 9, 3):
        np.testing.assert_allclose(dataset.features[4, 2], values[4, :, :, 2] / 255, rtol=1e-6)


GOOD = np.ones((6, 2))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"labels": np.arange(6)}, "field 'features' is missing; its fields are labels"),
        ({"features": GOOD}, "field 'labels' is missing"),
        ({"features": GOOD, "labels": np.arange(5)}, "'labels' has 5 rows and field 'features' 6"),
        (
            {"features": GOOD, "labels": np.ones(6)},
            "'labels' has shape .* type float64; allowed: whole numbers",
        ),
        ({"features": GOOD, "labels": np.ones((6, 1), int)}, r"'labels' has shape \(6, 1\)"),
        (
            {"features": GOOD, "labels": np.ones(6, int)},
            "'labels' has 1 different values; at least 2",
        ),
        (
            {"features": np.full((6, 2), "a"), "labels": np.arange(6)},
            "'features' .* allowed: numbers",
        ),
        (
            {"features": np.ones(6), "labels": np.arange(6)},
            "'features' .* allowed: 2 to 4 dimensions",
        ),
        ({"images": GOOD, "labels": np.arange(6)}, "'images' .* allowed: 2 to 4 dimensions"),
        ({"features": np.ones((6, 0)), "labels": np.arange(6)}, "none of them empty"),
        (
            {"features": np.full((6, 2), np.nan), "labels": np.arange(6)},
            "'features' .* row 0 that is not finite",
        ),
        ({"features": np.full((6, 2), 1e300), "labels": np.arange(6)}, "not finite"),
        (
            {"features": np.array([{}] * 6), "labels": np.arange(6)},
            "'features' is pickled, which is not read",
        ),
    ],
)
def test_what_is_wrong_with_own_arrays_is_one_sentence(
    tmp_path: Path, arrays: Any, sentence: str
) -> None:
    path = saved(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=sentence) as caught:
        data.load(path)
    assert str(caught.value).startswith(str(path))


def test_own_files_that_are_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        data.load(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"is no \.npz archive"):
        data.load(path)
    whole = saved(
        tmp_path / "whole.npz", features=np.ones((600, 20)), labels=np.arange(600)
    ).read_bytes()
    path.write_bytes(whole[:50_000])
    with pytest.raises(DataError, match="truncated"):
        data.load(path)
    flipped = bytearray(whole)
    flipped[1000] ^= 255
    path.write_bytes(flipped)
    with pytest.raises(DataError, match="field 'features' is damaged"):
        data.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("features.npy", b"junk")
    with pytest.raises(DataError, match="field 'features'"):
        data.load(path)
