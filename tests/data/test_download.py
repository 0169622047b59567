"""Downloads end whole and verified, or in one sentence with nothing left behind."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from served import kept, tar_gz

from prunemia import data
from prunemia.data import DataError

FILE = "dataset_location.tgz"
GENERATOR = np.random.default_rng(0)
ROWS = np.column_stack([np.arange(60) % 30 + 1, GENERATOR.integers(0, 2, (60, 446))])
TEXT = "".join(f'"{row[0]}",' + ",".join(map(str, row[1:])) + "\n" for row in ROWS).encode()
ARCHIVE = tar_gz({"bangkok": TEXT})


def test_the_published_format_is_downloaded_verified_and_kept(publish, server, data_folder, capfd):
    publish("location", {FILE: ARCHIVE}, rows=60)
    dataset = data.load("location")
    assert "100%" in capfd.readouterr().err
    np.testing.assert_array_equal(dataset.features, ROWS[:, 1:])
    np.testing.assert_array_equal(dataset.labels, ROWS[:, 0] - 1)
    assert (dataset.features.dtype, dataset.shape, dataset.classes) == (np.float32, (446,), 30)
    assert kept(data_folder) == [FILE]
    assert data.load("location", progress=False).fingerprint == dataset.fingerprint
    assert server.requests == [f"/{FILE}"]  # once
    assert data.fetch("location") == [data_folder / FILE]
    assert data.fetch("digits") == []


def test_a_named_folder_that_cannot_be_made_is_passed_over(publish, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRUNEMIA_DATA", str(tmp_path / "file" / "data"))
    publish("location", {FILE: ARCHIVE}, rows=60)
    (path,) = data.fetch("location", progress=False)
    assert path == tmp_path / "cache" / "prunemia" / "data" / FILE
    monkeypatch.setenv("PRUNEMIA_DATA", str(tmp_path / "elsewhere"))
    assert data.fetch("location") == [path]  # still found
    monkeypatch.setenv("PRUNEMIA_DATA", str(tmp_path / "file" / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"no data can be downloaded: .* cannot be written"):
        data.fetch("location")


def test_a_copy_of_the_readers_is_used_and_never_changed(publish, server, data_folder):
    publish("location", {FILE: ARCHIVE}, rows=60)
    data_folder.mkdir()
    (data_folder / FILE).write_bytes(ARCHIVE)
    assert len(data.load("location")) == 60
    (data_folder / FILE).write_bytes(ARCHIVE[:-20])
    with pytest.raises(DataError, match=f"{FILE} cannot be used: its sha256 checksum .* remove it"):
        data.load("location")
    assert (data_folder / FILE).read_bytes() == ARCHIVE[:-20]
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("cut", 100, "the connection broke before the file was complete"),
        ("status", 503, "the server answered 503 Service Unavailable"),
        ("url", "http://127.0.0.1:1", r"no connection to 127\.0\.0\.1"),  # nobody listens
    ],
)
def test_a_download_that_fails_leaves_nothing(publish, server, data_folder, name, value, reason):
    setattr(server, name, value)
    publish("location", {FILE: ARCHIVE}, rows=60)
    sentence = f"cannot be downloaded: {reason}; a copy of {FILE} in .PRUNEMIA_DATA is used as well"
    with pytest.raises(DataError, match=sentence):
        data.load("location", progress=False)
    assert kept(data_folder) == []


def test_two_threads_download_once(publish, server, data_folder):
    publish("location", {FILE: ARCHIVE}, rows=60)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(data.fetch, ["location"] * 4, [False] * 4))
    assert server.requests == [f"/{FILE}"]
    assert kept(data_folder) == [FILE]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (ARCHIVE[:-200], "cannot be read as what was published: "),
        (tar_gz({"bangkok": b'"1",0,x\n'}), "cannot be read as what was published: "),
        (tar_gz({"../../evil": TEXT[:100]}), "cannot be read|as published"),
        (tar_gz({"bangkok": TEXT.replace(b'"30"', b'"29"')}), "labels 0 to 28, not 0 to 29"),
    ],
)
def test_bad_archives_with_the_right_checksum(publish, tmp_path, content, sentence):
    publish("location", {FILE: content}, rows=60)
    with pytest.raises(DataError, match=sentence):
        data.load("location", progress=False)
    assert kept(tmp_path) == [f"data/{FILE}"]  # nothing was unpacked anywhere


def test_only_the_published_checksum_vouches_for_an_archive(publish, data_folder):
    blob = hashlib.sha1(b"blob %d\0" % len(ARCHIVE) + ARCHIVE).hexdigest()
    publish("location", {FILE: ARCHIVE}, checksum=f"gitblob:{blob}", rows=60)
    assert len(data.load("location", progress=False)) == 60
    assert kept(data_folder) == [FILE]
    (data_folder / FILE).write_bytes(ARCHIVE + b"x")
    with pytest.raises(DataError, match="its gitblob checksum"):
        data.load("location")


def test_the_real_archive_where_there_is_one():
    if not any((place / FILE).is_file() for place in data.folders()):
        pytest.skip(f"no {FILE} in $PRUNEMIA_DATA or the cache")
    dataset = data.load("location")
    assert (len(dataset), dataset.shape, dataset.classes) == (5010, (446,), 30)
    assert np.bincount(dataset.labels).min() == 97
    assert set(np.unique(dataset.features)) == {0, 1}
