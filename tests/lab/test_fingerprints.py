import numpy as np
import pytest

import prunemia as pm
from prunemia import data
from prunemia.lab import fingerprints as facts
from prunemia.store import Store


def unread():
    pytest.fail("the data were read")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_facts_are_the_data_sets_and_are_read_once(store):
    loaded = data.load("digits", 200)
    exp = pm.Experiment(dataset="digits", model="cnn2d", samples=200)
    first = facts.remembered(store, exp, lambda: loaded)

    assert first == facts.Facts(loaded.fingerprint, 200, (1, 8, 8), 10)
    assert first.features == 64
    assert facts.remembered(store, exp, unread) == first
    assert facts.foreseen(store, exp, unread) == first


def test_a_file_that_changed_is_another_data_set(store, tmp_path):
    path = tmp_path / "own.npz"
    found = []
    for value in (0.0, 1.0):
        np.savez(path, features=np.full((400, 3), value), labels=np.arange(400) % 2)
        lab = pm.Lab(store.root, progress=False)
        found.append(lab.facts(pm.Experiment(dataset=str(path), model="columnfc")))
        assert (
            lab.dataset(pm.Experiment(dataset=str(path), model="columnfc")).fingerprint
            == found[-1].fingerprint
        )

    assert found[0].fingerprint != found[1].fingerprint


def test_a_plan_takes_unread_data_from_their_sheet_and_remembers_nothing(store):
    exp = pm.Experiment(dataset="cifar100", model="resnet18")
    foreseen = facts.foreseen(store, exp, unread)

    assert (foreseen.rows, foreseen.shape, foreseen.classes) == (60_000, (3, 32, 32), 100)
    assert list(store.entries()) == []
    assert facts.foreseen(store, exp.replace(dataset="svhn", samples=500), unread).rows == 500


def test_fresh_rows_are_a_data_set_of_their_own_for_each_seed(store):
    lab = pm.Lab(store.root, progress=False)
    same = pm.Experiment(samples=200)
    experiments = [same, *(same.replace(rows="fresh", seed=seed) for seed in (0, 1))]
    found = [lab.facts(exp) for exp in experiments]

    assert len({each.fingerprint for each in found}) == 3
    assert {(each.rows, each.shape, each.classes) for each in found} == {(200, (1, 40), 10)}
    for exp, each in zip(experiments, found, strict=True):
        assert lab.dataset(exp).fingerprint == each.fingerprint
        assert facts.remembered(store, exp, unread) == each
    assert lab.facts(same.replace(seed=1)) == found[0]
    foreseen = [
        facts.foreseen(store, exp.replace(samples=300), unread).fingerprint for exp in experiments
    ]
    assert len(set(foreseen)) == 3
