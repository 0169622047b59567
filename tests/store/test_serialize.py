"""Equal values give equal bytes and come back as they were; nothing is pickled."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest

from prunemia.store import pack_arrays, pack_json, unpack_arrays, unpack_json


def test_packed_arrays_come_back_and_are_deterministic() -> None:
    arrays = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a": np.array(True),
        "c": np.array(["x", "yy"]),
    }
    data = pack_arrays(arrays)
    back = unpack_arrays(data)
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        np.testing.assert_array_equal(back[name], array)
    assert (
        pack_arrays({"c": arrays["c"], "a": arrays["a"], "b": np.asfortranarray(arrays["b"])})
        == data
    )


def test_objects_are_not_packed() -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        pack_arrays({"a": np.array([{}], dtype=object)})


def test_packed_json_is_canonical() -> None:
    assert pack_json({"b": [1, 2.5], "a": None}) == b'{"a":null,"b":[1,2.5]}'
    assert unpack_json(pack_json({"a": "é"})) == {"a": "é"}
    with pytest.raises(ValueError, match="JSON"):
        pack_json(float("nan"))


def test_arrays_have_no_time_and_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"b": np.arange(3), "a": np.zeros(2)}
    before = pack_arrays(arrays)
    monkeypatch.setattr("time.time", lambda: 2e9)  # the year 2033
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    assert pack_arrays(dict(reversed(arrays.items()))) == before
    with zipfile.ZipFile(io.BytesIO(before)) as archive:
        assert archive.namelist() == ["a.npy", "b.npy"]
        assert {member.date_time[0] for member in archive.infolist()} == {1980}


def test_another_value_dtype_or_shape_gives_other_bytes() -> None:
    variants = [np.zeros(4), np.ones(4), np.zeros(4, np.float32), np.zeros((2, 2)), -np.zeros(4)]
    assert len({pack_arrays({"a": array}) for array in variants}) == len(variants)


def test_pickles_are_not_unpacked() -> None:
    """NumPy writes object arrays as pickles, which run code when they are read."""
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        unpack_arrays(buffer.getvalue())
    with pytest.raises(ValueError, match="pickled"):
        unpack_arrays(pickle.dumps({"a": 1}))


def test_json_is_sorted_at_every_depth() -> None:
    assert pack_json([{"b": {"d": 1, "c": 2}}]) == pack_json([{"b": {"c": 2, "d": 1}}])
    assert pack_json([{"b": {"d": 1, "c": 2}}]) == b'[{"b":{"c":2,"d":1}}]'


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 200_000, b'{"a":' * 200_000])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        unpack_json(data)
