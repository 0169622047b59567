"""A folder is what its manifest says, byte for byte, or it is damaged."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from prunemia.store import artefact

STAGE = "train"
KEY = "0123abcd"
FILES = {"weights.bin": b"weights", "record.json": b"{}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / STAGE / KEY[:2] / KEY
    path.mkdir(parents=True)
    artefact.fill(path, STAGE, KEY, FILES, {"seconds": 1.5})
    return path


def manifest_with(**changes: Any) -> bytes:
    """Return a manifest by the format's description, written without the package's functions."""
    records = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in FILES.items()
    }
    body = {"format": 1, "stage": STAGE, "key": KEY, "files": records, "note": {"seconds": 1.5}}
    body |= changes
    plain = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(plain).hexdigest()
    return json.dumps(body | {"sha256": digest}, sort_keys=True, separators=(",", ":")).encode()


def test_the_format_on_disk_is_what_it_was(folder: Path) -> None:
    """Results that were computed with earlier versions stay readable."""
    assert {path.name for path in folder.iterdir()} == {*FILES, "manifest.json"}
    assert (folder / "manifest.json").read_bytes() == manifest_with()
    assert (folder / "weights.bin").read_bytes() == b"weights"


def test_files_are_read_whole_or_those_that_are_named(folder: Path) -> None:
    assert artefact.read(folder) == FILES
    assert artefact.read(folder, only=["record.json"]) == {"record.json": b"{}"}
    assert artefact.damage(folder) == ""


def test_equal_files_give_equal_bytes_in_any_order(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    reverse = dict(reversed(FILES.items()))
    artefact.fill(other, STAGE, KEY, reverse, {"seconds": 1.5})
    for name in (*FILES, "manifest.json"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "a b", "a\n", "x" * 129, "é"])
def test_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        artefact.fill(tmp_path, STAGE, KEY, {"good": b"", name: b""}, {})
    assert list(tmp_path.iterdir()) == []  # refused before anything is written


def test_the_manifests_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"manifest\.json.* is not allowed"):
        artefact.fill(tmp_path, STAGE, KEY, {"manifest.json": b""}, {})


def test_a_changed_byte_is_damage_only_to_who_reads_it(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"weighty")  # of the same length
    assert artefact.damage(folder) == "weights.bin does not agree with its checksum"
    assert artefact.read(folder, only=["record.json"]) == {"record.json": b"{}"}


def test_a_record_of_the_wrong_size_is_damage(folder: Path) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    files = {"weights.bin": {"bytes": 8, "sha256": digest}}
    (folder / "manifest.json").write_bytes(manifest_with(files=files))
    assert artefact.damage(folder) == "weights.bin does not agree with its checksum"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"sha256": 1}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"9" * 5000,
        manifest_with()[:-1],
        manifest_with(stage="attack"),
        manifest_with(key="0123abce"),
        manifest_with().replace(b"1.5", b"2.5"),
    ],
    ids=range(13),
)
def test_a_manifest_that_is_none_is_damage(folder: Path, data: bytes) -> None:
    (folder / "manifest.json").write_bytes(data)
    message = "manifest.json does not agree with its checksum or its place"
    assert artefact.damage(folder) == message


def test_another_format_is_damage(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(manifest_with(format=2))
    assert artefact.damage(folder) == "manifest.json has format 2, not 1"


def test_what_is_no_file_is_damage(folder: Path) -> None:
    path = folder / "weights.bin"
    path.unlink()
    assert artefact.damage(folder) == "weights.bin is missing"
    path.mkdir()
    assert artefact.damage(folder) == "weights.bin is not a file"
    path.rmdir()
    path.symlink_to(path.name)
    assert artefact.damage(folder) == "weights.bin is not a file"
    path.unlink()
    os.mkfifo(path)  # reading it would wait for ever
    assert artefact.damage(folder) == "weights.bin is not a file"


def test_a_file_in_the_folders_place_is_damage(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert artefact.damage(tmp_path / "file") == "something else is in its folder's place"
