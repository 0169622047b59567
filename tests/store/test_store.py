"""What is put is read back whole, is listed, and is removed where it is selected."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from prunemia.store import Store

KEY = "0123abcd"
FILES = {"weights.bin": bytes(range(256)) * 64, "record.json": b"{}"}


def leftovers(store: Store) -> list[Path]:
    return list((store.root / ".partial").glob("*"))


def test_what_is_put_is_got(store: Store) -> None:
    assert store.get("train", KEY) is None
    assert not store.root.exists()  # looking creates nothing
    store.put("train", KEY, FILES, note={"seconds": 1.5})
    assert store.has("train", KEY)
    assert store.get("train", KEY) == FILES
    assert not store.has("train", "ffff0000")
    assert not leftovers(store)


def test_what_is_there_stays(store: Store) -> None:
    store.put("train", KEY, FILES)
    store.put("train", KEY, {"other": b"1"})
    assert store.get("train", KEY) == FILES
    assert not leftovers(store)


def test_equal_content_gives_equal_bytes_on_disk(tmp_path: Path) -> None:
    manifests = []
    for name in ("one", "two"):
        Store(tmp_path / name).put("train", KEY, FILES, note={"b": 1, "a": 2})
        manifests.append((tmp_path / name / "train" / KEY[:2] / KEY / "manifest.json").read_bytes())
    assert manifests[0] == manifests[1]


@pytest.mark.parametrize("bad", ["../evil", "a/b", "", ".locks", "A", "x" * 200, "a\n"])
def test_names_that_could_leave_the_folder_are_refused(store: Store, bad: str) -> None:
    for stage, key, name in (
        (bad, KEY, "a"),
        ("train", bad, "a"),
        ("train", KEY, f"{bad}/x" if bad else ""),
    ):
        with pytest.raises(ValueError, match="is not allowed"):
            store.put(stage, key, {name: b""})
    assert store.get("train", KEY) is None


def test_the_manifest_cannot_be_overwritten(store: Store) -> None:
    with pytest.raises(ValueError, match="manifest"):
        store.put("train", KEY, {"manifest.json": b""})


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


def test_the_former_name_of_clean_goes_on_working(store: Store) -> None:
    store.put("train", KEY, FILES)
    assert [entry.key for entry in store.prune(stage="train")] == [KEY]
    assert not store.has("train", KEY)


def test_an_age_beyond_all_calendars_selects_nothing(store: Store) -> None:
    store.put("train", KEY, FILES)
    assert store.clean(older_than_days=1e300) == []
    assert store.clean(older_than_days=float("nan")) == []
    assert [entry.key for entry in store.clean(older_than_days=0)] == [KEY]
