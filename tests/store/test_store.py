"""The store keeps whole artefacts, notices damage, and survives killed writers."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from prunemia.store import (
    DamagedArtefactWarning,
    Store,
    StoreError,
    artefact,
    default_root,
    pack_arrays,
    pack_json,
    unpack_arrays,
    unpack_json,
)

KEY = "0123abcd"
FILES = {"weights.bin": bytes(range(256)) * 64, "record.json": b"{}"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


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


def test_a_writer_killed_in_the_middle_leaves_nothing_that_is_read(store: Store) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from prunemia.store import artefact
        from prunemia.store.store import Store

        def stall(folder):
            print("written", flush=True)
            time.sleep(60)

        artefact.sync = stall
        store = Store(Path(sys.argv[1]))
        with store.lock("train", sys.argv[2]):
            store.put("train", sys.argv[2], {"weights.bin": b"x" * 100_000})
    """
    with start(script, store.root, KEY) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        assert store.verify() == []  # a living writer is no problem
        store.prune()
        assert len(leftovers(store)) == 2  # its folder and its lock
        writer.send_signal(signal.SIGKILL)
    assert store.get("train", KEY) is None
    assert list(store.entries()) == []
    assert ["killed writer" in problem.message for problem in store.verify()] == [True]
    with store.lock("train", KEY):  # not blocked by the dead
        store.put("train", KEY, FILES)
    assert store.get("train", KEY) == FILES
    assert [entry.problem for entry in store.prune()] == ["left over from a killed writer"]
    assert not leftovers(store)
    assert not list((store.root / ".locks").glob("*"))


def test_two_processes_compute_a_key_once(store: Store) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from prunemia.store.store import Store

        store, key = Store(Path(sys.argv[1])), sys.argv[2]
        with store.lock("train", key, on_wait=lambda: print("waited")):
            if store.get("train", key) is None:
                time.sleep(0.5)
                store.put("train", key, {"a": b"1"})
                print("computed")
    """
    processes = [start(script, store.root, KEY) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sum("computed" in output for output in outputs) == 1


def test_locks_removed_while_in_use_still_exclude(store: Store) -> None:
    """Prune sweeps lock files all the while; the sum stays right."""
    script = """
        import sys
        from pathlib import Path
        from prunemia.store.store import Store

        store, path = Store(Path(sys.argv[1])), Path(sys.argv[2])
        for _ in range(20):
            with store.lock("train", "0123"):
                path.write_text(str(int(path.read_text()) + 1))
    """
    counter = store.root.parent / "counter"
    counter.write_text("0")
    processes = [start(script, store.root, counter) for _ in range(2)]
    while any(process.poll() is None for process in processes):
        store.prune()
        time.sleep(0.01)
    for process in processes:
        process.communicate()
    assert counter.read_text() == "40"


def test_entries_and_prune(store: Store) -> None:
    store.put("train", KEY, FILES, note={"seconds": 2})
    store.put("attack", "99aa", {"scores": b"123"})
    entries = {entry.stage: entry for entry in store.entries()}
    assert list(entries) == ["attack", "train"]
    assert entries["train"].note == {"seconds": 2}
    assert entries["train"].bytes > sum(map(len, FILES.values()))
    assert abs(entries["train"].created.timestamp() - time.time()) < 60
    assert store.prune() == []
    assert store.prune(older_than_days=1) == []
    assert store.prune(stage="train", older_than_days=1) == []
    assert [entry.stage for entry in store.prune(stage="train", dry_run=True)] == ["train"]
    assert store.has("train", KEY)
    assert [entry.stage for entry in store.prune(stage="train")] == ["train"]
    assert not store.has("train", KEY)
    ago = time.time() - 3 * 86400
    os.utime(store.root / "attack" / "99" / "99aa" / "manifest.json", (ago, ago))
    assert [entry.key for entry in store.prune(older_than_days=2)] == ["99aa"]
    assert list(store.entries()) == []


def test_prune_removes_the_damaged(store: Store) -> None:
    store.put("train", KEY, FILES)
    (store.root / "train" / KEY[:2] / KEY / "record.json").write_bytes(b"[]")
    assert [entry.problem for entry in store.prune()] == [
        "record.json does not agree with its checksum"
    ]
    assert not store.has("train", KEY)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(artefact.os, "fsync", full)
        with pytest.raises(
            StoreError, match=f"{store.root} cannot be used: No space left on device"
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
    with pytest.raises(StoreError, match="No space left on device"):
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


def test_default_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_artefact_is_busy_while_somebody_holds_its_lock(store):
    assert not store.busy("signals", "aa")
    with store.lock("signals", "aa"):
        assert store.busy("signals", "aa")
    assert not store.busy("signals", "aa")
