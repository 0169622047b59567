"""Computing once: who computes, who reads, what is noted."""

import threading
import time

import pytest

from prunemia.lab.once import Computing
from prunemia.store import Store


def test_what_is_stored_is_not_computed_again(tmp_path):
    computing = Computing(Store(tmp_path), progress=False)
    calls = []

    def compute():
        calls.append(1)
        return {"a.bin": b"x"}

    first = computing.once("stage", "key0", "t", compute, lambda: {"work": 3.0})
    second = computing.once("stage", "key0", "t", compute, lambda: {"work": 9.0})

    assert first == second == {"a.bin": b"x"}
    assert calls == [1]
    (entry,) = Store(tmp_path).entries()
    assert entry.note["work"] == 3.0
    assert entry.note["what"] == "t"


def test_the_seconds_of_an_inner_artefact_are_its_own(tmp_path):
    computing = Computing(Store(tmp_path), progress=False)

    def inner():
        time.sleep(0.2)
        return {"i.bin": b""}

    def outer():
        computing.once("stage", "inner", "i", inner, dict)
        time.sleep(0.05)
        return {"o.bin": b""}

    computing.once("stage", "outer", "o", outer, dict)
    seconds = {e.key: e.note["seconds"] for e in Store(tmp_path).entries()}

    assert seconds["inner"] >= 0.2
    assert 0.05 <= seconds["outer"] < 0.2


def test_a_failure_stores_nothing_and_lets_go_of_the_lock(tmp_path):
    computing = Computing(Store(tmp_path), progress=False)
    with pytest.raises(KeyError):
        computing.once("stage", "key0", "t", lambda: {}["missing"], dict)

    assert list(Store(tmp_path).entries()) == []
    assert computing.once("stage", "key0", "t", lambda: {"a": b"1"}, dict) == {"a": b"1"}


def test_two_threads_compute_it_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        time.sleep(0.1)
        return {"a.bin": b"x"}

    def work():
        Computing(Store(tmp_path), progress=False).once("stage", "key0", "t", compute, dict)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert calls == [1]


def test_progress_goes_to_stderr_and_moves_by_epochs(tmp_path, capsys):
    with Computing(Store(tmp_path), progress=True).bar("training", 2) as report:
        report("loss 1")
        report("loss 0.5")
    printed = capsys.readouterr()

    assert printed.out == ""
    assert "training" in printed.err
    assert "2/2" in printed.err
