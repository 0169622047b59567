"""Killed writers leave nothing that is read or that blocks; locks exclude all others."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import filelock
import pytest

from prunemia.store import Store

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


def test_a_writer_killed_in_the_middle_leaves_nothing_that_is_read(store: Store) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from prunemia import store as room
        from prunemia.store import Store

        def stall(handle):
            print("written", flush=True)
            time.sleep(60)

        room.os.fsync = stall
        store = Store(Path(sys.argv[1]))
        with store.lock("train", sys.argv[2]):
            store.put("train", sys.argv[2], {"weights.bin": b"x" * 100_000})
    """
    with start(script, store.root, KEY) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        assert store.verify() == []  # a living writer is no problem
        store.clean()
        assert len(leftovers(store)) == 2  # its folder and its lock
        writer.send_signal(signal.SIGKILL)
    assert store.get("train", KEY) is None
    assert list(store.entries()) == []
    assert ["killed writer" in entry.problem for entry in store.verify()] == [True]
    with store.lock("train", KEY):  # not blocked by the dead
        assert [entry.problem for entry in store.clean()] == ["left over from a killed writer"]
        store.put("train", KEY, FILES)
    assert store.get("train", KEY) == FILES
    store.clean()
    assert not leftovers(store)
    assert not list((store.root / ".locks").glob("*"))


def test_two_processes_compute_a_key_once(store: Store) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from prunemia.store import Store

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
    """clean() sweeps lock files all the while; the sum stays right."""
    script = """
        import sys
        from pathlib import Path
        from prunemia.store import Store

        store, path = Store(Path(sys.argv[1])), Path(sys.argv[2])
        for _ in range(20):
            with store.lock("train", "0123"):
                path.write_text(str(int(path.read_text()) + 1))
    """
    counter = store.root.parent / "counter"
    counter.write_text("0")
    processes = [start(script, store.root, counter) for _ in range(2)]
    while any(process.poll() is None for process in processes):
        store.clean()
        time.sleep(0.01)
    for process in processes:
        process.communicate()
    assert counter.read_text() == "40"


def test_an_artefact_is_busy_while_somebody_holds_its_lock(store):
    assert not store.busy("signals", "aa")
    with store.lock("signals", "aa"):
        assert store.busy("signals", "aa")
    assert not store.busy("signals", "aa")


def test_the_next_writer_sweeps_what_nobody_holds(store: Store) -> None:
    partial = store.root / ".partial"
    for name in ("dead", "alive"):
        (partial / name).mkdir(parents=True)
        (partial / name / "weights.bin").write_bytes(b"x")
        (partial / f"{name}.lock").touch()
    with filelock.FileLock(partial / "alive.lock"):
        store.put("train", KEY, FILES)
        assert {path.name for path in leftovers(store)} == {"alive", "alive.lock"}
    store.put("train", "ffff", FILES)
    assert leftovers(store) == []
    assert store.verify() == []
