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
    first = facts.remembered(store, "digits", 200, lambda: loaded)

    assert first == facts.Facts(loaded.fingerprint, 200, (1, 8, 8), 10)
    assert first.features == 64
    assert facts.remembered(store, "digits", 200, unread) == first
    assert facts.foreseen(store, "digits", 200, unread) == first


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
    foreseen = facts.foreseen(store, "cifar100", None, unread)

    assert (foreseen.rows, foreseen.shape, foreseen.classes) == (60_000, (3, 32, 32), 100)
    assert list(store.entries()) == []
    assert facts.foreseen(store, "svhn", 500, unread).rows == 500
