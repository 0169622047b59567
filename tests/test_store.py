"""What is put is read back whole or is damage; the killed leave nothing; locks exclude others."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import filelock
import pytest

from prunemia import store as rooms
from prunemia.store import DamagedArtefactWarning, Store, StoreError, default_root

KEY = "0123abcd"
FILES = {"weights.bin": bytes(range(256)) * 64, "record.json": b"{}"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def folder(store):
    """Return the folder of an artefact that was put."""
    store.put("train", KEY, FILES, seconds=1.5)
    return store.root / "train" / KEY[:2] / KEY


def leftovers(store):
    return {path.name for path in (store.root / ".partial").glob("*")}


def manifest_with(**changes):
    """Return a manifest by the format's description, written without the package's functions."""
    plain = {"sort_keys": True, "separators": (",", ":")}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    files = {name: {"bytes": len(FILES[name]), "sha256": each} for name, each in digests.items()}
    body = {"format": 1, "stage": "train", "key": KEY, "files": files, "note": {"seconds": 1.5}}
    body |= changes
    digest = hashlib.sha256(json.dumps(body, **plain).encode()).hexdigest()
    return json.dumps(body | {"sha256": digest}, **plain).encode()


def test_what_is_put_is_got(store):
    assert store.get("train", KEY) is None
    assert not store.root.exists()  # looking creates nothing
    store.put("train", KEY, FILES)
    assert (store.has("train", KEY), store.has("train", "ffff0000")) == (True, False)
    store.put("train", KEY, {"other": b"1"})  # what is there stays
    assert store.get("train", KEY) == FILES
    (store.root / "train" / KEY[:2] / KEY / "manifest.json").unlink()
    store.put("train", KEY, FILES)  # writing repairs it
    assert store.get("train", KEY) == FILES
    assert not leftovers(store)


def test_an_artefact_that_goes_between_two_looks_is_none(store, folder, monkeypatch):
    """Another process may remove it at any moment: that is no failure of the store."""
    looked = Path.stat

    def last_look(path, **options):
        status = looked(path, **options)
        if path == folder:
            monkeypatch.undo()
            assert store.clean(stage="train")
        return status

    monkeypatch.setattr(Path, "stat", last_look)
    assert store.get("train", KEY) is None
    assert not folder.exists()


def test_the_format_on_disk_is_what_it_was(folder):
    """Results that were computed with earlier versions stay readable, and equal ones are equal."""
    assert {path.name for path in folder.iterdir()} == {*FILES, "manifest.json"}
    assert (folder / "manifest.json").read_bytes() == manifest_with()
    assert (folder / "weights.bin").read_bytes() == FILES["weights.bin"]


@pytest.mark.parametrize("bad", ["../evil", "a/b", "", ".locks", "A", "x" * 200, "a\n"])
def test_names_that_could_leave_the_folder_are_refused(store, bad):
    for name in ((bad, KEY), ("train", bad)):
        with pytest.raises(ValueError, match="is not allowed"):
            store.put(*name, {"a": b""})
        with pytest.raises(ValueError, match="is not allowed"), store.lock(*name):
            pass


def test_entries_and_clean(store):
    store.put("train", KEY, FILES)
    store.put("attack", "99aa", {"scores": b"123"})
    others = [store.root / "Notes.txt", store.root / "train" / "README", store.root / "x/py/module"]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a person's")
    attack, train = store.entries()
    assert (attack.stage, train.stage, train.key) == ("attack", "train", KEY)
    assert train.bytes > sum(map(len, FILES.values()))
    assert abs(train.created.timestamp() - time.time()) < 60
    assert store.verify() == store.clean() == store.clean(stage="train", older_than_days=1) == []
    for days in (1, 1e300, float("nan")):
        assert store.clean(older_than_days=days) == []
    assert store.clean(stage="train", dry_run=True) == [train]
    assert store.has("train", KEY)
    assert store.clean(stage="train") == [train]
    assert not store.has("train", KEY)
    ago = time.time() - 3 * 86400
    os.utime(store.root / "attack" / "99" / "99aa" / "manifest.json", (ago, ago))
    assert [entry.key for entry in store.clean(older_than_days=2)] == ["99aa"]
    assert store.entries() == []
    assert all(path.exists() for path in others)


def flip(path, place):
    """Flip a bit of a file, so many quarters from its beginning."""
    data = bytearray(path.read_bytes())
    data[place * (len(data) - 1) // 4] ^= 1
    path.write_bytes(data)


CHANGED = "does not agree with its checksum"
HARM = {"unlink": Path.unlink, "truncate": lambda path: os.truncate(path, 100)}
HARM |= {f"flip {place}": partial(flip, place=place) for place in range(5)}


@pytest.mark.parametrize("name", ["weights.bin", "manifest.json"])
@pytest.mark.parametrize("how", HARM)
def test_damage_is_reported_and_repaired(store, folder, name, how):
    message = "is missing" if how == "unlink" else CHANGED
    HARM[how](folder / name)
    (problem,) = store.verify()
    assert str(problem) == f"train/{KEY}: {name} {message}"
    with pytest.warns(DamagedArtefactWarning, match=f"train/{KEY} is damaged .*{name} {message}"):
        assert store.get("train", KEY) is None
    assert not store.has("train", KEY)
    store.put("train", KEY, FILES)
    assert store.get("train", KEY) == FILES
    HARM[how](folder / name)
    assert [entry.key for entry in store.clean()] == [KEY]
    assert store.verify() == []


MANIFESTS = (b"", b"null", b"[]", b"{}", b"\xff", b'{"sha256": 1}', b"9" * 5000)
MANIFESTS += (manifest_with()[:-1], manifest_with().replace(b"1.5", b"2.5"))
MANIFESTS += (manifest_with(stage="attack"), manifest_with(key="0123abce"), manifest_with(format=2))


@pytest.mark.parametrize("data", MANIFESTS, ids=range(12))
def test_a_manifest_that_is_none_is_damage(store, folder, data):
    (folder / "manifest.json").write_bytes(data)
    assert [entry.problem for entry in store.verify()] == [f"manifest.json {CHANGED}"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(store, full_disk, monkeypatch):  # noqa: ARG001
    store.put("train", KEY, {"small": b"1"})
    said = f"the store {store.root} cannot be used: .*: train/ffff$"
    with pytest.raises(StoreError, match=said):
        store.put("train", "ffff", {"large": bytes(1_000_000)})
    with monkeypatch.context() as patched:
        patched.setattr(rooms.os, "fsync", Mock(side_effect=OSError(errno.ENOSPC, "full")))
        with pytest.raises(StoreError, match=said):
            store.put("train", "ffff", {"small": b"1"})
    assert not leftovers(store)
    assert [entry.key for entry in store.entries()] == [KEY]
    assert store.verify() == []
    store.put("train", "ffff", {"small": b"2"})
    assert store.get("train", "ffff") == {"small": b"2"}


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("a person's")
    for store in (Store(tmp_path / "file" / "store"), Store(tmp_path / "file")):
        assert store.get("train", KEY) is None
        with pytest.raises(StoreError, match="cannot be used: Not a directory"):
            store.put("train", KEY, FILES)
        with pytest.raises(StoreError, match="cannot be used"), store.lock("train", KEY):
            pass
    assert (tmp_path / "file").read_text() == "a person's"
    lock = Store(tmp_path / "store").lock("train", KEY)
    with pytest.raises(FileNotFoundError, match="mine"), lock:  # the caller's own passes through
        raise FileNotFoundError("mine")


@pytest.mark.parametrize("method", ["stat", "iterdir"])
def test_a_folder_that_may_not_be_looked_at_is_no_damage(store, folder, monkeypatch, method):
    usual, looks = getattr(Path, method), [store.entries, store.verify]
    if method == "stat":
        looks = [lambda: store.get("train", KEY), lambda: store.has("train", KEY)]

    def guarded(path, **options):
        if path in (folder.parent, folder, folder / "manifest.json"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return usual(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, method, guarded)
        for look in looks:
            with pytest.raises(StoreError, match=r"Permission denied: .*/train/01"):
                look()
    assert store.get("train", KEY) == FILES


def start(script, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_writer_killed_in_the_middle_leaves_nothing_that_is_read(store):
    script = """
        import sys, time
        from pathlib import Path
        from prunemia import store as room

        def stall(handle):
            print("written", flush=True)
            time.sleep(60)

        room.os.fsync = stall
        store = room.Store(Path(sys.argv[1]))
        with store.lock("train", sys.argv[2]):
            store.put("train", sys.argv[2], {"weights.bin": b"x" * 100_000})
    """
    with start(script, store.root, KEY) as writer:
        assert writer.stdout.readline() == "written\n"
        assert store.clean() == []
        assert len(leftovers(store)) == 2  # a living writer's folder and its lock
        writer.send_signal(signal.SIGKILL)
    assert store.get("train", KEY) is None
    assert store.entries() == []
    with store.lock("train", KEY):  # not blocked by the dead
        store.put("train", KEY, FILES)
    assert store.get("train", KEY) == FILES
    store.clean()
    assert not leftovers(store)
    assert not list((store.root / ".locks").glob("*"))


def test_processes_compute_a_key_once_also_while_locks_are_removed(store):
    """clean() sweeps lock files all the while; the sum stays right."""
    script = """
        import sys
        from pathlib import Path
        from prunemia.store import Store

        store, counter = Store(Path(sys.argv[1])), Path(sys.argv[2])
        for number in range(10):
            key = f"{number:04}"
            with store.lock("train", "0123"):
                counter.write_text(str(int(counter.read_text()) + 1))
            with store.lock("train", key, on_wait=lambda: print("waited")):
                if store.get("train", key) is None:
                    store.put("train", key, {"a": b"1"})
                    print("computed")
    """
    counter = store.root.parent / "counter"
    counter.write_text("0")
    processes = [start(script, store.root, counter) for _ in range(2)]
    while any(process.poll() is None for process in processes):
        store.clean()
        time.sleep(0.02)
    said = "".join(process.communicate()[0] for process in processes)
    assert (counter.read_text(), said.count("computed")) == ("20", 10)


def test_the_next_writer_sweeps_what_nobody_holds(store):
    partial = store.root / ".partial"
    for name in ("dead", "alive"):
        (partial / name).mkdir(parents=True)
        (partial / name / "weights.bin").write_bytes(b"x")
        (partial / f"{name}.lock").touch()
    with filelock.FileLock(partial / "alive.lock"):
        store.put("train", KEY, FILES)
        assert leftovers(store) == {"alive", "alive.lock"}
    store.put("train", "ffff", FILES)
    assert not leftovers(store)


def test_the_stores_folder_is_named_or_the_books_or_the_users(tmp_path, monkeypatch):
    monkeypatch.delenv("PRUNEMIA_STORE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    repository = tmp_path / "book"
    (repository / "notebooks" / "attacks").mkdir(parents=True)
    monkeypatch.chdir(repository / "notebooks" / "attacks")
    (repository / "_config.yml").write_text("")
    assert default_root() == tmp_path / "cache" / "prunemia" / "store"
    for name, found in (("another", False), ("prunemia", True)):
        (repository / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
        assert (default_root() == repository / ".prunemia") is found
    monkeypatch.setenv("PRUNEMIA_STORE", str(tmp_path / "named"))
    assert default_root() == tmp_path / "named"
