"""Files are written whole; YAML is read, or refused; equal values give equal bytes."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from prunemia import files
from prunemia.errors import RunError, UsageError
from prunemia.files import load_yaml, pack_arrays, pack_json, read_yaml, unpack_arrays, write_text


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "deep" / ("x" * 240)
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")

    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]
    with files.atomic_write(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    with pytest.raises(RunError, match="x: cannot be written: No space"), files.atomic_write(path):
        raise OSError(28, "No space left on device")


def test_a_full_disk_names_the_file_and_is_refused_beforehand(tmp_path, full_disk):  # noqa: ARG001
    with pytest.raises(RunError, match=r"new/page\.ipynb: cannot be written: File too large"):
        write_text(tmp_path / "new" / "page.ipynb", "x" * 100_000)
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(UsageError, match="the store: cannot be written: File too large"):
        files.require_folder(tmp_path / "store", "the store")


def test_a_file_that_cannot_be_written_is_refused_and_trying_leaves_nothing_behind(tmp_path):
    files.require_file(tmp_path / "deep" / "er" / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for name, message in {
        "": "is a folder; name another file to write",
        "x" * 300: "cannot be written: File name too long",
        "file/out": "cannot be written: Not a directory",
        "/dev/null": "is no ordinary file",
        "/proc/none/out": "cannot be written: ",
    }.items():
        with pytest.raises(UsageError, match=f"--html .*: {message}"):
            files.require_file(tmp_path / name, "--html")


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("a: [", "while parsing"),
        ("[" * 1_500, ""),
        ("seed: 2024-99-99", "month must be in"),
        ("!!bool maybe", "'maybe'"),
        ("seed: " + "9" * 5_000, ""),
        ("{seed: 0, seed: 1}", "seed: given twice .*line 1"),
        ("grids: [{&a b: 1, b: 2}]", "b: given twice"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ],
)
def test_a_refusal_is_one_sentence_that_names_the_source(text, refusal):
    with pytest.raises(UsageError, match=f"^mine: is not YAML: {refusal}") as caught:
        load_yaml(text, "mine")

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@settings(max_examples=100, deadline=None)
@given(st.text("[]{}:,-&*a1.!<|#'\" \n\t%?é", max_size=30))
def test_any_text_is_read_as_pyyaml_reads_it_or_refused_in_one_sentence(text):
    try:
        assert repr(load_yaml(text, "mine")) == repr(yaml.safe_load(text))
    except UsageError as refusal:
        said = str(refusal)
        assert (said[:19], "\n" in said) == ("mine: is not YAML: ", False)


def test_a_file_is_read_or_refused(tmp_path):
    merged = "a: &a {x: 1}\nb: [{k: &b {<<: *a, x: 2}}, {<<: *b}]"  # no key is given twice
    for text in ("", "sparsity: [0.5, 0.7]  # é\n", merged):
        (tmp_path / "a.yml").write_text(text, encoding="utf-8")
        assert read_yaml(tmp_path / "a.yml") == yaml.safe_load(text)
    (tmp_path / "latin.yml").write_bytes(b"a: \xff")
    for path, refusal in [
        (tmp_path / "none.yml", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "latin.yml", "is not YAML: byte 3 is not UTF-8"),
    ]:
        with pytest.raises(UsageError, match=refusal):
            read_yaml(path)


ARRAYS = {"b": np.float32([[0, 1, 2], [3, 4, 5]]), "a": np.array(True), "c": np.array(["x", "yy"])}


def test_packed_arrays_come_back_and_another_value_dtype_or_shape_gives_other_bytes():
    back = unpack_arrays(pack_arrays(ARRAYS))
    assert set(back) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name], array, strict=True)
    variants = [np.zeros(4), np.ones(4), np.zeros(4, np.float32), np.zeros((2, 2)), -np.zeros(4)]
    assert len({pack_arrays({"a": array}) for array in variants}) == len(variants)


def test_packed_arrays_have_no_time_and_no_order(monkeypatch):
    before = pack_arrays(ARRAYS)
    monkeypatch.setattr("time.time", lambda: 2e9)  # the year 2033
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    others = dict(reversed(ARRAYS.items())) | {"b": np.asfortranarray(ARRAYS["b"])}
    assert pack_arrays(others) == before
    with zipfile.ZipFile(io.BytesIO(before)) as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}


def test_objects_are_neither_packed_nor_unpacked():
    """NumPy writes object arrays as pickles, which run code when they are read."""
    objects = np.array([{}], dtype=object)
    with pytest.raises(ValueError, match="Object arrays"):
        pack_arrays({"a": objects})
    np.savez(buffer := io.BytesIO(), a=objects)
    for content in (buffer.getvalue(), pickle.dumps({"a": 1})):
        with pytest.raises(ValueError, match="pickle"):
            unpack_arrays(content)


def test_packed_json_is_canonical():
    assert pack_json([{"b": {"d": 1, "c": 2.5}, "a": None}]) == b'[{"a":null,"b":{"c":2.5,"d":1}}]'
    assert files.unpack_json(pack_json({"a": "é"})) == {"a": "é"}
    with pytest.raises(ValueError, match="JSON"):
        pack_json(float("nan"))
