"""Files are written whole; YAML is read, or refused; equal values give equal bytes."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from prunemia.errors import RunError, UsageError
from prunemia.files import (
    atomic_write,
    load_yaml,
    pack_arrays,
    pack_json,
    read_yaml,
    require_file,
    require_folder,
    unpack_arrays,
    unpack_json,
    write_text,
)


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "deep" / ("x" * 240)
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")

    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]
    with atomic_write(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_file_gets_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").touch()
    write_text(tmp_path / "file", "")

    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_full_disk_names_the_file_and_leaves_no_half_of_it(small_disk):
    path = small_disk / "page.ipynb"

    with pytest.raises(RunError, match=r"disk/page\.ipynb: cannot be written: No space left"):
        write_text(path, "x" * 100_000)
    assert list(small_disk.iterdir()) == []


def test_an_error_names_the_file_that_was_to_be(tmp_path):
    with (
        pytest.raises(RunError, match=r"/table: cannot be written: No space"),
        atomic_write(tmp_path / "table"),
    ):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is a folder; name another file to write"),
        ("x" * 300, "cannot be written: File name too long"),
        ("file/out", "cannot be written: Not a directory"),
        ("/dev/null", "is no ordinary file"),
        ("/proc/none/out", "cannot be written: "),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path, name, message):
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=f"--html .*: {message}"):
        require_file(tmp_path / name, "--html")


def test_trying_leaves_nothing_behind(tmp_path):
    require_file(tmp_path / "deep" / "er" / "out")
    require_folder(tmp_path / "deep", "the folder")

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_refused_beforehand(small_disk):
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filler").write_bytes(b"x" * 100_000)

    with pytest.raises(UsageError, match="the store: cannot be written: No space"):
        require_folder(small_disk / "store", "the store")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("0.5", 0.5),
        ("[1, two, {three: null}]", [1, "two", {"three": None}]),
        ("base: &base {a: 1}\nb: {<<: *base, a: 2}", {"base": {"a": 1}, "b": {"a": 2}}),
    ],
)
def test_ordinary_yaml_is_read(text, value):
    assert load_yaml(text, "grid.yml") == value


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("a: [", "is not YAML: while parsing"),
        ("[" * 90_000, "is not YAML: "),
        ("seed: 2024-99-99", "is not YAML: month must be in"),
        ("!!bool maybe", "is not YAML: 'maybe'"),
        ("!!timestamp noon", "is not YAML: "),
        ("!!int x", "is not YAML: "),
        ("seed: " + "9" * 5_000, "is not YAML: "),
        ("{seed: 0, seed: 1}", "seed: given twice"),
        ("grids: [{&a b: 1, b: 2}]", "b: given twice"),
        ("{[1]: 2}", "is not YAML: .* unhashable key"),
        ("a: 1\n--- \nb: 2", "is not YAML: expected a single document"),
        ("!!python/object/apply:os.system [ls]", "is not YAML: could not determine a constructor"),
        ("\0", "is not YAML"),
    ],
)
def test_a_refusal_is_one_sentence_that_names_the_source(text, refusal):
    with pytest.raises(UsageError, match=f"^mine: .*{refusal}") as caught:
        load_yaml(text, "mine")

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@settings(max_examples=200, deadline=None)
@given(st.text("[]{}:,-&*a1.!<|#'\" \n\t%?é", max_size=30))
def test_any_text_is_read_as_pyyaml_reads_it_or_refused_in_one_sentence(text):
    try:
        value = load_yaml(text, "mine")
    except UsageError as refusal:
        message = str(refusal)
    else:
        message = f"mine: {value!r}"
        assert repr(value) == repr(yaml.safe_load(text))

    assert message.startswith("mine: ")
    assert "\n" not in message


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.yml").write_bytes(b"a: \xff")
    for path, refusal in [
        (tmp_path / "none.yml", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "latin.yml", "is not YAML: byte 3 is not UTF-8"),
    ]:
        with pytest.raises(UsageError, match=refusal):
            read_yaml(path)


def test_a_file_is_read(tmp_path):
    (tmp_path / "a.yml").write_text("sparsity: [0.5, 0.7]  # é\n", encoding="utf-8")

    assert read_yaml(tmp_path / "a.yml") == {"sparsity": [0.5, 0.7]}


def test_packed_arrays_come_back_and_are_deterministic():
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


def test_objects_are_not_packed():
    with pytest.raises(ValueError, match="Object arrays"):
        pack_arrays({"a": np.array([{}], dtype=object)})


def test_packed_json_is_canonical():
    assert pack_json({"b": [1, 2.5], "a": None}) == b'{"a":null,"b":[1,2.5]}'
    assert unpack_json(pack_json({"a": "é"})) == {"a": "é"}
    with pytest.raises(ValueError, match="JSON"):
        pack_json(float("nan"))


def test_arrays_have_no_time_and_no_order(monkeypatch):
    arrays = {"b": np.arange(3), "a": np.zeros(2)}
    before = pack_arrays(arrays)
    monkeypatch.setattr("time.time", lambda: 2e9)  # the year 2033
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    assert pack_arrays(dict(reversed(arrays.items()))) == before
    with zipfile.ZipFile(io.BytesIO(before)) as archive:
        assert archive.namelist() == ["a.npy", "b.npy"]
        assert {member.date_time[0] for member in archive.infolist()} == {1980}


def test_another_value_dtype_or_shape_gives_other_bytes():
    variants = [np.zeros(4), np.ones(4), np.zeros(4, np.float32), np.zeros((2, 2)), -np.zeros(4)]
    assert len({pack_arrays({"a": array}) for array in variants}) == len(variants)


def test_pickles_are_not_unpacked():
    """NumPy writes object arrays as pickles, which run code when they are read."""
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        unpack_arrays(buffer.getvalue())
    with pytest.raises(ValueError, match="pickled"):
        unpack_arrays(pickle.dumps({"a": 1}))


def test_json_is_sorted_at_every_depth():
    assert pack_json([{"b": {"d": 1, "c": 2}}]) == pack_json([{"b": {"c": 2, "d": 1}}])
    assert pack_json([{"b": {"d": 1, "c": 2}}]) == b'[{"b":{"c":2,"d":1}}]'
