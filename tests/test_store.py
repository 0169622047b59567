"""What is put is read back whole or is damage; what is selected is removed; refusals."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from prunemia import store as rooms
from prunemia.store import DamagedArtefactWarning, Store, StoreError, default_root

KEY = "0123abcd"
FILES = {"weights.bin": bytes(range(256)) * 64, "record.json": b"{}"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def folder(store: Store) -> Path:
    """Return the folder of an artefact that was put."""
    store.put("train", KEY, FILES, {"seconds": 1.5})
    return store.root / "train" / KEY[:2] / KEY


def leftovers(store: Store) -> list[Path]:
    return list((store.root / ".partial").glob("*"))


def manifest_with(**changes: Any) -> bytes:
    """Return a manifest by the format's description, written without the package's functions."""
    records = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in FILES.items()
    }
    body = {"format": 1, "stage": "train", "key": KEY, "files": records, "note": {"seconds": 1.5}}
    body |= changes
    plain = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(plain).hexdigest()
    return json.dumps(body | {"sha256": digest}, sort_keys=True, separators=(",", ":")).encode()


def test_what_is_put_is_got(store: Store) -> None:
    assert store.get("train", KEY) is None
    assert not store.root.exists()  # looking creates nothing
    store.put("train", KEY, FILES, note={"seconds": 1.5})
    assert store.has("train", KEY)
    assert store.get("train", KEY) == FILES
    assert store.get("train", KEY, only=["record.json"]) == {"record.json": b"{}"}
    assert not store.has("train", "ffff0000")
    store.put("train", KEY, {"other": b"1"})  # what is there stays
    assert store.get("train", KEY) == FILES
    assert not leftovers(store)


def test_an_artefact_that_goes_between_two_looks_is_none(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may remove it at any moment: that is no failure of the store."""
    looked = Path.stat
    seen: list[Path] = []

    def last_look(path: Path, **options: Any) -> os.stat_result:
        status = looked(path, **options)
        if path == folder and not seen:
            seen.append(path)
            assert store.clean(stage="train")
        return status

    monkeypatch.setattr(Path, "stat", last_look)
    assert store.get("train", KEY) is None
    assert seen == [folder]


def test_the_format_on_disk_is_what_it_was(folder: Path) -> None:
    """Results that were computed with earlier versions stay readable, and equal ones are equal."""
    assert {path.name for path in folder.iterdir()} == {*FILES, "manifest.json"}
    assert (folder / "manifest.json").read_bytes() == manifest_with()
    assert (folder / "weights.bin").read_bytes() == FILES["weights.bin"]


@pytest.mark.parametrize("bad", ["../evil", "a/b", "", ".locks", "A", "x" * 200, "a\n"])
def test_names_that_could_leave_the_folder_are_refused(store: Store, bad: str) -> None:
    for stage, key in ((bad, KEY), ("train", bad)):
        with pytest.raises(ValueError, match="is not allowed"):
            store.put(stage, key, {"a": b""})
        with pytest.raises(ValueError, match="is not allowed"), store.lock(stage, key):
            pass


def test_entries_and_clean(store: Store) -> None:
    store.put("train", KEY, FILES, note={"seconds": 2})
    store.put("attack", "99aa", {"scores": b"123"})
    entries = {entry.stage: entry for entry in store.entries()}
    assert list(entries) == ["attack", "train"]
    assert entries["train"].note == {"seconds": 2}
    assert entries["train"].bytes > sum(map(len, FILES.values()))
    assert abs(entries["train"].created.timestamp() - time.time()) < 60
    assert store.clean() == []
    assert store.clean(older_than_days=1) == []
    assert store.clean(stage="train", older_than_days=1) == []
    assert [entry.stage for entry in store.clean(stage="train", dry_run=True)] == ["train"]
    assert store.has("train", KEY)
    assert [entry.stage for entry in store.clean(stage="train")] == ["train"]
    assert not store.has("train", KEY)
    ago = time.time() - 3 * 86400
    os.utime(store.root / "attack" / "99" / "99aa" / "manifest.json", (ago, ago))
    assert [entry.key for entry in store.clean(older_than_days=2)] == ["99aa"]
    assert list(store.entries()) == []


@pytest.mark.parametrize(("age", "removed"), [(1e300, []), (float("nan"), []), (0, [KEY])])
def test_an_age_beyond_all_calendars_selects_nothing(
    store: Store, age: float, removed: list[str]
) -> None:
    store.put("train", KEY, FILES)
    assert [entry.key for entry in store.clean(older_than_days=age)] == removed


def test_files_that_no_store_wrote_are_left_alone(store: Store) -> None:
    store.put("train", KEY, FILES)
    (store.root / "x" / "py").mkdir(parents=True)
    others = [store.root / "Notes.txt", store.root / "train" / "README", store.root / "x/py/module"]
    for path in others:
        path.write_text("a person's")
    assert store.verify() == []
    assert store.clean() == []
    assert all(path.exists() for path in others)


@pytest.mark.parametrize("name", ["weights.bin", "manifest.json"])
def test_a_flipped_byte_is_reported_and_the_artefact_removed(store: Store, name: str) -> None:
    store.put("train", KEY, FILES)
    path = store.root / "train" / KEY[:2] / KEY / name
    for position in range(0, path.stat().st_size, max(1, path.stat().st_size // 10)):
        data = bytearray(path.read_bytes())
        data[position] ^= 1
        path.write_bytes(data)
        assert [entry.key for entry in store.verify()] == [KEY]
        if name == "weights.bin":  # damage only to who reads it
            assert store.get("train", KEY, only=["record.json"]) == {"record.json": b"{}"}
        with pytest.warns(
            DamagedArtefactWarning, match=f"train/{KEY} is damaged .*{name}.*computed again"
        ):
            assert store.get("train", KEY) is None
        assert not store.has("train", KEY)
        store.put("train", KEY, FILES)
        assert store.get("train", KEY) == FILES
        assert store.verify() == []


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: os.truncate(folder / "weights.bin", 100), r"weights\.bin does not agree"),
        (lambda folder: (folder / "record.json").unlink(), r"record\.json is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), r"manifest\.json is missing"),
    ],
)
def test_damage_is_reported_and_repaired(
    store: Store, folder: Path, harm: Any, message: str
) -> None:
    harm(folder)
    (problem,) = store.verify()
    assert str(problem).startswith(f"train/{KEY}: ")
    with pytest.warns(DamagedArtefactWarning, match=message):
        assert store.get("train", KEY) is None
    store.put("train", KEY, FILES)
    assert store.get("train", KEY) == FILES
    harm(folder)
    if not store.has("train", KEY):
        store.put("train", KEY, FILES)  # writing repairs it, too
        assert store.get("train", KEY) == FILES
        harm(folder)
    assert [entry.key for entry in store.clean()] == [KEY]
    assert store.verify() == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        *(
            (data, "manifest.json does not agree with its checksum or its place")
            for data in (
                *(b"", b"null", b"[]", b"{}", b"\xff", b'{"sha256": 1}', b"9" * 5000),
                manifest_with()[:-1],
                manifest_with(stage="attack"),
                manifest_with(key="0123abce"),
                manifest_with().replace(b"1.5", b"2.5"),
            )
        ),
        (manifest_with(format=2), "manifest.json has format 2, not 1"),
        (
            manifest_with(files={"record.json": {"bytes": 3, "sha256": "0"}}),
            "record.json does not agree with its checksum",
        ),
    ],
    ids=range(13),
)
def test_a_manifest_that_is_none_is_damage(
    store: Store, folder: Path, data: bytes, message: str
) -> None:
    (folder / "manifest.json").write_bytes(data)
    assert [entry.problem for entry in store.verify()] == [message]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(rooms.os, "fsync", full)
        with pytest.raises(
            StoreError, match=f"{store.root} cannot be used: No space left on device: train/{KEY}$"
        ):
            store.put("train", KEY, FILES)
    assert store.get("train", KEY) is None
    assert not leftovers(store)
    store.put("train", KEY, FILES)
    assert store.get("train", KEY) == FILES


def test_a_really_full_disk(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    store.put("train", KEY, {"small": b"1"})
    with pytest.raises(StoreError, match=r"No space left on device: train/ffff$"):
        store.put("train", "ffff", {"large": bytes(1_000_000)})
    assert not leftovers(store)
    assert [entry.key for entry in store.entries()] == [KEY]
    assert store.verify() == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a person's")
    for store in (Store(tmp_path / "file" / "store"), Store(tmp_path / "file")):
        assert store.get("train", KEY) is None
        for use in (store.require_usable, lambda: store.put("train", KEY, FILES)):  # noqa: B023
            with pytest.raises(StoreError, match="cannot be used: Not a directory"):
                use()
        with pytest.raises(StoreError, match="cannot be used"), store.lock("train", KEY):
            pass
    assert (tmp_path / "file").read_text() == "a person's"


def test_errors_of_the_caller_pass_through_the_lock(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="mine"), store.lock("train", KEY):
        raise FileNotFoundError("mine")


def test_a_usable_store_stays_as_it_was(store: Store) -> None:
    store.require_usable()
    assert leftovers(store) == []
    store.put("train", KEY, FILES)
    store.require_usable()
    assert [entry.key for entry in store.entries()] == [KEY]
    assert leftovers(store) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
@pytest.mark.parametrize("forbidden", [".", ".partial", ".locks"])
def test_a_store_without_permission_is_refused(store: Store, forbidden: str) -> None:
    store.root.mkdir()
    if forbidden != ".":
        store.require_usable()
    (store.root / forbidden).chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot be used: Permission denied"):
            store.require_usable()
    finally:
        (store.root / forbidden).chmod(0o700)


def test_a_forbidden_lock_folder_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as above for root, to whom the system forbids nothing."""

    def forbidden(lock: filelock.FileLock, **_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), lock.lock_file)

    monkeypatch.setattr(filelock.FileLock, "acquire", forbidden)
    with pytest.raises(StoreError, match=r"cannot be used: Permission denied: .*\.locks/"):
        store.require_usable()


def test_a_read_only_store_is_refused_and_can_be_read(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    store.put("train", KEY, {"small": b"1"})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match=f"the store {store.root} cannot be used: Read-only"):
        store.require_usable()
    assert store.get("train", KEY) == {"small": b"1"}


def test_a_folder_that_may_not_be_looked_at_is_not_taken_for_damage(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, usual_listing = Path.stat, Path.iterdir

    def forbidden(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path == folder and follow_symlinks:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return usual(path, follow_symlinks=follow_symlinks)

    def unlisted(path: Path) -> Iterator[Path]:
        if path.name == "01":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return usual_listing(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", forbidden)
        with pytest.raises(StoreError, match="Permission denied"):
            store.get("train", KEY)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", unlisted)
        for read in (store.verify, lambda: list(store.entries())):
            with pytest.raises(StoreError, match=r"Permission denied: .*/train/01$"):
                read()
    assert store.get("train", KEY) == FILES


def test_the_stores_folder_is_named_or_the_books_or_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRUNEMIA_STORE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    repository = tmp_path / "book"
    (repository / "notebooks" / "attacks").mkdir(parents=True)
    (repository / "_config.yml").write_text("")
    assert default_root(repository) != repository / ".prunemia"
    (repository / "pyproject.toml").write_text('[project]\nname = "another"\n')
    assert default_root(repository) != repository / ".prunemia"
    (repository / "pyproject.toml").write_text('[project]\nname = "prunemia"\n')
    assert default_root(repository / "notebooks" / "attacks") == repository / ".prunemia"
    monkeypatch.chdir(repository / "notebooks")
    assert default_root() == repository / ".prunemia"
    assert default_root(tmp_path).name == "store"
    monkeypatch.setenv("PRUNEMIA_STORE", str(tmp_path / "named"))
    assert default_root(repository) == tmp_path / "named"
