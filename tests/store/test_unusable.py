"""A store that cannot be used says so in one sentence, before or while it is written."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from prunemia.store import Store, StoreError, artefact

KEY = "0123abcd"
FILES = {"weights.bin": bytes(range(256)) * 64, "record.json": b"{}"}


def leftovers(store: Store) -> list[Path]:
    return list((store.root / ".partial").glob("*"))


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(artefact.os, "fsync", full)
        with pytest.raises(
            StoreError,
            match=f"{store.root} cannot be used: No space left on device: train/{KEY}/weights.bin$",
        ) as caught:
            store.put("train", KEY, FILES)
    assert caught.value.errno == errno.ENOSPC
    assert store.get("train", KEY) is None
    assert not leftovers(store)
    store.put("train", KEY, FILES)
    assert store.get("train", KEY) == FILES


def test_a_really_full_disk(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    store.put("train", KEY, {"small": b"1"})
    with pytest.raises(StoreError, match=r"No space left on device: train/ffff/large$"):
        store.put("train", "ffff", {"large": bytes(1_000_000)})
    assert not leftovers(store)
    assert [entry.key for entry in store.entries()] == [KEY]
    assert store.verify() == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = Store(tmp_path / "file" / "store")
    assert store.get("train", KEY) is None
    with pytest.raises(StoreError, match="cannot be used: Not a directory"):
        store.put("train", KEY, FILES)
    with pytest.raises(StoreError, match="cannot be used"), store.lock("train", KEY):
        pass


def test_errors_of_the_caller_pass_through_the_lock(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="mine"), store.lock("train", KEY):
        raise FileNotFoundError("mine")


def test_a_usable_store_stays_as_it_was(store: Store) -> None:
    store.require_usable()
    assert leftovers(store) == []
    store.put("train", KEY, FILES)
    store.require_usable()
    assert [entry.key for entry in store.entries()] == [KEY]
    assert store.verify() == []
    assert leftovers(store) == []


def test_a_store_that_is_a_file_is_refused_and_the_file_kept(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.write_text("a person's")
    with pytest.raises(StoreError, match=f"the store {path} cannot be used: Not a directory"):
        Store(path).require_usable()
    assert path.read_text() == "a person's"


def test_a_store_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nothing")
    for name in ("loop", "dangling"):
        with pytest.raises(StoreError, match=f"the store {tmp_path / name} cannot be used"):
            Store(tmp_path / name).require_usable()
        assert (tmp_path / name).is_symlink()


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
    monkeypatch.setattr("prunemia.store.store.os.access", lambda *_: False)
    with pytest.raises(StoreError, match=r"cannot be used: Permission denied: .*\.locks$"):
        store.require_usable()


def test_a_read_only_store_is_refused_and_can_be_read(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    store.put("train", KEY, {"small": b"1"})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match=f"the store {store.root} cannot be used: Read-only"):
        store.require_usable()
    assert store.get("train", KEY) == {"small": b"1"}


def test_a_folder_that_may_not_be_looked_at_is_not_taken_for_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("train", KEY, FILES)
    usual = Path.stat

    def forbidden(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == "train" and follow_symlinks:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return usual(path, follow_symlinks=follow_symlinks)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", forbidden)
        with pytest.raises(StoreError, match="Permission denied"):
            store.get("train", KEY)
    assert store.get("train", KEY) == FILES


def test_a_folder_that_may_not_be_listed_does_not_pass_for_sound(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("train", KEY, FILES)
    usual = Path.iterdir

    def forbidden(path: Path) -> Iterator[Path]:
        if path.name == "01":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return usual(path)

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(StoreError, match=r"Permission denied: .*/train/01$"):
        store.verify()
    with pytest.raises(StoreError, match=r"Permission denied: .*/train/01$"):
        list(store.entries())
