"""Computing once: who computes, who reads; and the data that keys depend on."""

import hashlib
import json
import threading
import time

import numpy as np
import pytest

import prunemia as pm
from prunemia import data
from prunemia.experiment import content_key
from prunemia.files import pack_json
from prunemia.lab.context import Context, Facts, Stage
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Step

EXP = pm.Experiment(dataset="digits", model="columnfc", samples=300, shadows=2)
STEP = Step("toy", EXP)


class Toy(Stage):
    """A stage that counts how often it is computed."""

    says = "playing"

    def __init__(self):
        self.calls = 0

    def needs(self, _):
        return []

    def compute(self, *_):
        self.calls += 1
        time.sleep(0.05)
        return {"calls.bin": str(self.calls).encode()}

    def load(self, files, *_):
        return int(files["calls.bin"])


def unread(*_, **__):
    pytest.fail("the data were read")


def test_what_is_stored_is_not_computed_again(tmp_path):
    toy = Toy()
    values = [Context({"toy": toy}, tmp_path, progress=False).value(STEP) for _ in range(2)]

    assert values == [1, 1]
    (manifest,) = tmp_path.glob("toy/*/*/manifest.json")
    note = json.loads(manifest.read_bytes())["note"]
    assert note == {"what": "playing, digits/columnfc, l1unstructured 0.7, seed 0"}


def test_a_failure_stores_nothing_and_lets_go_of_the_lock(tmp_path, monkeypatch):
    context = Context({"toy": Toy()}, tmp_path, progress=False)
    monkeypatch.setattr(Toy, "compute", lambda *_: {}["missing"])
    with pytest.raises(KeyError):
        context.value(STEP)
    monkeypatch.undo()

    assert list(context.store.entries()) == []
    assert context.value(STEP) == 1


def test_threads_compute_it_once_and_say_that_they_wait(tmp_path, capsys):
    toy = Toy()
    contexts = [Context({"toy": toy}, tmp_path) for _ in range(4)]
    threads = [threading.Thread(target=context.value, args=[STEP]) for context in contexts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert toy.calls == 1
    assert "waiting for another process: playing" in capsys.readouterr().err


def test_progress_goes_to_stderr_and_moves_by_epochs(tmp_path, capsys):
    with Context({"toy": Toy()}, tmp_path).bar(STEP, 2) as report:
        report("loss 1")
        report("loss 0.5")
    printed = capsys.readouterr()

    assert printed.out == ""
    assert "playing, digits" in printed.err
    assert "2/2" in printed.err


def test_a_data_set_is_read_once_and_its_fingerprint_kept(tmp_path, monkeypatch):
    loaded = data.load("digits", 300)
    context = Context(STAGES, tmp_path)
    assert context.facts(EXP) == Facts(loaded.fingerprint, 10)

    monkeypatch.setattr(Context, "dataset", unread)
    assert Context(STAGES, tmp_path).facts(EXP) == context.facts(EXP)
    assert Context(STAGES, tmp_path, foresees=True).facts(EXP) == context.facts(EXP)


def test_a_plan_takes_unread_data_from_their_sheet_and_remembers_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", unread)
    context = Context(STAGES, tmp_path, foresees=True)
    exp = pm.Experiment(dataset="cifar100", model="resnet18")
    changes = [{}, {"samples": 500}, {"rows": "fresh", "samples": 500}]
    found = [context.facts(exp.replace(**change)) for change in changes]

    assert {facts.classes for facts in found} == {100}
    assert len({facts.fingerprint for facts in found}) == 3
    assert list(context.store.entries()) == []


def test_a_file_that_changed_is_another_data_set(tmp_path):
    path = tmp_path / "own.npz"
    found = []
    for value in (0.0, 1.0):
        np.savez(path, features=np.full((400, 3), value), labels=np.arange(400) % 2)
        context = Context(STAGES, tmp_path / "store")
        exp = pm.Experiment(dataset=str(path), model="columnfc")
        found.append(context.facts(exp).fingerprint)
        assert context.dataset(exp).fingerprint == found[-1]

    assert found[0] != found[1]


def test_what_an_earlier_reader_kept_of_a_file_is_not_believed(tmp_path):
    """It took (n, 40, 3) for 40 channels; two files of other arrays would share their keys."""
    path = tmp_path / "own.npz"
    features = np.random.default_rng(0).normal(size=(80, 40, 3)).astype(np.float32)
    labels = np.arange(80) % 2
    np.savez(path, features=features, labels=labels)
    exp = pm.Experiment(dataset=str(path))
    earlier = content_key([1, hashlib.sha256(path.read_bytes()).hexdigest(), None])
    kept = data.Dataset(str(path), features, labels, 2).fingerprint
    record = {"fingerprint": kept, "rows": 80, "shape": [40, 3], "classes": 2}
    context = Context(STAGES, tmp_path / "store")
    context.store.put("data", earlier, {"facts.json": pack_json(record)})

    with pytest.warns(data.LayoutWarning):
        found = context.facts(exp).fingerprint
    assert found == context.dataset(exp).fingerprint != kept


def test_fresh_rows_are_a_data_set_of_their_own_for_each_seed(tmp_path):
    context = Context(STAGES, tmp_path)
    same = pm.Experiment(samples=200)
    experiments = [same, *(same.replace(rows="fresh", seed=seed) for seed in (0, 1))]
    found = [context.facts(exp) for exp in experiments]

    assert len({facts.fingerprint for facts in found}) == 3
    assert context.facts(same.replace(seed=1)) == found[0]
    for exp, facts in zip(experiments, found, strict=True):
        assert context.dataset(exp).fingerprint == facts.fingerprint
