"""The reader's own arrays: what is loaded, and what is refused in one sentence."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prunemia as pm
from prunemia import data
from prunemia.data import DataError


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
        ("features", (6, 3, 9), (3, 9)),  # a series of three channels
        ("features", (6, 1, 9), (1, 9)),
        ("features", (6, 2, 9), (2, 9)),  # two sensors, no image of two lines
        ("features", (6, 9, 2), (9, 2)),
        ("features", (6, 5, 5), (1, 5, 5)),
        ("features", (6, 8, 8), (1, 8, 8)),  # eight is no number of channels
        ("images", (6, 3, 9), (1, 3, 9)),
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
        (
            {"features": GOOD, "labels": np.arange(5)},
            "'labels' has 5 samples and field 'features' 6",
        ),
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
            "'features' .* sample 0 that is not finite",
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
    with pytest.raises(DataError, match=sentence):
        data.check_own(path)


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


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array))
    return buffer.getvalue()


def declaring(shape: tuple[int, ...], content: bytes, dtype: str = "<f8") -> bytes:
    """Return a .npy whose header declares a shape that need not be that of its content."""
    buffer = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + content


def version_1(text: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (declaring((6, 10**12), bytes(96)), "its header declares shape .* holds 96 bytes"),
        (declaring((6, -2), bytes(96)), "its header declares shape"),
        (declaring((6, 2), bytes(10**6)), "its header declares shape .* holds 1,000,000 bytes"),
        (npy(np.zeros((10**5, 40))), "'labels' has 6 samples and field 'features' 100000"),
        (declaring((6, 2), bytes(96), "<c8"), "allowed: numbers"),
        (version_1(b"(" * 9000), "header is malformed|is damaged"),
        (version_1(b" " * 60_000), "header is malformed"),
        (b"\x93NUMPY\x09\x00", "version"),
    ],
)
def test_headers_that_disagree_are_refused_before_anything_is_unpacked(
    tmp_path: Path, features: bytes, sentence: str
) -> None:
    path = zipped(tmp_path / "own.npz", features=features, labels=npy(np.arange(6)))
    tracemalloc.start()
    with pytest.raises(DataError, match=sentence) as caught:
        data.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "allow_pickle" not in str(caught.value)
    assert peak < 5_000_000


def test_arrays_that_unpack_to_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "own.npz", features=np.zeros((6, 100)), labels=np.arange(6))
    monkeypatch.setattr("prunemia.data.npz.LARGEST", 4847)  # 6·100·8 + 6·8 = 4848
    with pytest.raises(DataError, match="unpacks to 4,848 bytes; at most 4,847 are read"):
        data.load(path)


def encrypted(path: Path) -> None:
    """Set the flag of encryption in each local header and in the directory."""
    content = bytearray(saved(path, features=GOOD, labels=np.arange(6)).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(signature)
        while place >= 0:
            content[place + offset] |= 1
            place = content.find(signature, place + 1)
    path.write_bytes(content)


def foreign(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "text")


def compressed_otherwise(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("features.npy", npy(GOOD))


def single_array(path: Path) -> None:
    path.write_bytes(npy(GOOD))


def device(path: Path) -> None:
    path.symlink_to("/dev/null")  # /dev/zero or a pipe would be read without end


BAD_FILES = [
    (device, "it is a pipe or a device, not a file"),
    (Path.mkdir, "cannot be read: Is a directory"),
    (Path.touch, r"is no \.npz archive"),
    (encrypted, "encrypted archives are not read"),
    (foreign, "holds 'readme.txt', which is no .npy array"),
    (compressed_otherwise, "compresses field 'features' in a way"),
    (single_array, r"is no \.npz archive"),
]


@pytest.mark.parametrize(("write", "sentence"), BAD_FILES)
def test_bad_files_are_one_sentence_for_own_data_and_signals(
    tmp_path: Path, write: Callable[[Path], None], sentence: str
) -> None:
    path = tmp_path / "bad.npz"
    write(path)
    for load, error in ((data.load, DataError), (pm.Signals.load, ValueError)):
        with pytest.raises(error, match=sentence) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_file_damaged_anywhere_raises_nothing_but_data_errors(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    features = np.random.default_rng(0).normal(size=(20, 3))
    np.savez_compressed(path, features=features, labels=np.arange(20))
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 2):
        flipped = bytearray(whole)
        flipped[place] ^= 255
        path.write_bytes(flipped)
        try:
            data.load(path)
        except DataError:
            refused += 1
    assert refused > len(whole) / 4  # of half as many places


def test_what_cannot_be_split_is_refused_by_the_check_alone(tmp_path: Path) -> None:
    path = saved(tmp_path / "own.npz", features=GOOD, labels=np.arange(6))
    data.load(path)
    with pytest.raises(DataError, match="6 samples are too few to split"):
        data.check_own(path)
    wine = saved(path, features=np.ones((178, 2)), labels=np.arange(178) % 3)
    data.check_own(wine)
    with pytest.raises(DataError, match=r"samples: 179 of .*; allowed: 1 to 178"):
        data.check_own(wine, samples=179)
    with pytest.raises(DataError, match="5 samples are too few to split"):
        data.check_own(wine, samples=5)
