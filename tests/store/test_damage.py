"""Whatever has happened to an artefact is reported by verify and repaired by reading."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from prunemia.store import DamagedArtefactWarning, Store

KEY = "0123abcd"
FILES = {"weights.bin": bytes(range(256)) * 64, "record.json": b"{}"}


@pytest.mark.parametrize("name", ["weights.bin", "manifest.json"])
def test_a_flipped_byte_is_reported_and_the_artefact_removed(store: Store, name: str) -> None:
    store.put("train", KEY, FILES)
    path = store.root / "train" / KEY[:2] / KEY / name
    for position in range(0, path.stat().st_size, max(1, path.stat().st_size // 10)):
        data = bytearray(path.read_bytes())
        data[position] ^= 1
        path.write_bytes(data)
        assert [problem.key for problem in store.verify()] == [KEY]
        with pytest.warns(
            DamagedArtefactWarning, match=f"train/{KEY} is damaged .*{name}.*computed again"
        ):
            assert store.get("train", KEY) is None
        assert not store.has("train", KEY)
        store.put("train", KEY, FILES)
        assert store.get("train", KEY) == FILES
        assert store.verify() == []


def test_a_missing_or_shortened_file_is_damage(store: Store) -> None:
    store.put("train", KEY, FILES)
    folder = store.root / "train" / KEY[:2] / KEY
    os.truncate(folder / "weights.bin", 100)
    with pytest.warns(DamagedArtefactWarning, match=r"weights\.bin"):
        assert store.get("train", KEY) is None
    store.put("train", KEY, FILES)
    (folder / "record.json").unlink()
    with pytest.warns(DamagedArtefactWarning, match=r"record\.json is missing"):
        assert store.get("train", KEY) is None


def test_an_artefact_without_manifest_is_replaced(store: Store) -> None:
    store.put("train", KEY, FILES)
    (store.root / "train" / KEY[:2] / KEY / "manifest.json").unlink()
    assert not store.has("train", KEY)
    store.put("train", KEY, FILES)
    assert store.get("train", KEY) == FILES


def test_an_artefact_in_the_wrong_place_is_damage(store: Store) -> None:
    store.put("train", KEY, FILES)
    folder = store.root / "train" / KEY[:2]
    (folder / KEY).rename(folder / "01ffffff")
    with pytest.warns(DamagedArtefactWarning, match="place"):
        assert store.get("train", "01ffffff") is None


def test_clean_removes_the_damaged(store: Store) -> None:
    store.put("train", KEY, FILES)
    (store.root / "train" / KEY[:2] / KEY / "record.json").write_bytes(b"[]")
    assert [entry.problem for entry in store.clean()] == [
        "record.json does not agree with its checksum"
    ]
    assert not store.has("train", KEY)


def loop(path: Path) -> None:
    """Make a symbolic link that leads to itself."""
    path.symlink_to(path.name)


def file(path: Path) -> None:
    path.write_bytes(b"not what belongs here")


def folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)


def brackets(path: Path) -> None:
    """Write JSON that no parser without a bound on its depth reads."""
    path.write_bytes(b"[" * 200_000)


def socket_file(path: Path) -> None:
    """Leave a socket that nobody listens to, by a relative address: 107 bytes are the most."""
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


HOSTILE = [
    (place, make)
    for place, makers in {
        f"train/01/{KEY}/manifest.json": (brackets, loop, folder, os.mkfifo),
        f"train/01/{KEY}/weights.bin": (loop, folder, os.mkfifo),
        f"train/01/{KEY}": (loop, file),
        "train/01": (loop, file),
        "train": (loop, file),
    }.items()
    for make in makers
]


@pytest.fixture(params=HOSTILE, ids=lambda pair: f"{pair[1].__name__}-{pair[0]}")
def damaged(request: pytest.FixtureRequest, store: Store) -> Store:
    place, make = request.param
    store.put("train", KEY, FILES)
    store.put("attack", KEY, FILES)
    remove(store.root / place)
    make(store.root / place)
    return store


def test_what_is_in_the_wrong_place_is_reported_and_repaired_by_reading(damaged: Store) -> None:
    (problem,) = damaged.verify()
    assert str(problem).startswith("train")
    list(damaged.entries())  # lists what it can, and raises nothing
    with pytest.warns(DamagedArtefactWarning, match=f"train/{KEY} is damaged"):
        assert damaged.get("train", KEY) is None
    assert damaged.verify() == []
    damaged.put("train", KEY, FILES)
    assert damaged.get("train", KEY) == FILES
    assert damaged.get("attack", KEY) == FILES
    assert list((damaged.root / ".partial").glob("*")) == []


def test_writing_over_what_is_in_the_wrong_place_repairs_it(damaged: Store) -> None:
    if not damaged.has("train", KEY):  # else it is reading that repairs
        damaged.put("train", KEY, FILES)
        assert damaged.get("train", KEY) == FILES


def test_clean_removes_what_verify_reports_except_in_the_place_of_a_stage(damaged: Store) -> None:
    (problem,) = damaged.verify()
    removed = damaged.clean()
    if problem.key:
        assert [(entry.stage, entry.key) for entry in removed] == [("train", problem.key)]
        assert damaged.verify() == []
    else:  # it may be a person's file, in a folder that is a store by mistake only
        assert removed == []
        assert damaged.verify() == [problem]
        assert (
            str(problem) == "train: something else is in a folder's place; its next use replaces it"
        )


@pytest.mark.parametrize("name", [".partial", ".locks"])
@pytest.mark.parametrize("make", [loop, file])
def test_service_folders_are_repaired(
    store: Store, name: str, make: Callable[[Path], None]
) -> None:
    store.root.mkdir()
    make(store.root / name)
    assert [problem.stage for problem in store.verify()] == [name]
    assert not store.busy("train", KEY)
    with store.lock("train", KEY):
        store.put("train", KEY, FILES)
    assert store.get("train", KEY) == FILES
    assert store.verify() == []


@pytest.mark.parametrize("make", [loop, folder, socket_file])
def test_what_is_in_a_lock_files_place_does_not_block(
    store: Store, make: Callable[[Path], None]
) -> None:
    (store.root / ".locks").mkdir(parents=True)
    make(store.root / ".locks" / f"train.{KEY}")
    assert not store.busy("train", KEY)
    with store.lock("train", KEY):
        assert store.busy("train", KEY)
    make(store.root / ".locks" / "train.ffff")
    store.clean()
    assert list((store.root / ".locks").glob("*")) == []


@pytest.mark.parametrize("name", [".partial", ".locks"])
def test_nothing_is_swept_from_a_folder_that_a_service_folder_links_to(
    store: Store, tmp_path: Path, name: str
) -> None:
    mine = tmp_path / "mine"
    (mine / "folder").mkdir(parents=True)
    (mine / "notes.txt").write_text("a person's")
    store.root.mkdir()
    (store.root / name).symlink_to(mine)
    assert store.verify() == []
    store.put("train", KEY, FILES)  # the first writer sweeps what killed writers left
    assert store.clean() == []
    assert store.get("train", KEY) == FILES
    assert sorted(path.name for path in mine.iterdir()) == ["folder", "notes.txt"]


def test_files_that_no_store_wrote_are_left_alone(store: Store) -> None:
    store.put("train", KEY, FILES)
    others = [store.root / "Notes.txt", store.root / "train" / "README", store.root / "x" / "py"]
    others[2].mkdir(parents=True)
    others = [*others[:2], others[2] / "module"]
    for path in others:
        path.write_text("a person's")
    assert store.verify() == []
    assert store.clean() == []
    assert all(path.exists() for path in others)


def test_an_artefact_moved_below_other_keys_is_reported(store: Store) -> None:
    store.put("train", KEY, FILES)
    (store.root / "train" / "ff").mkdir()
    (store.root / "train" / "01" / KEY).rename(store.root / "train" / "ff" / KEY)
    assert ["place" in problem.message for problem in store.verify()] == [True]
