from datetime import UTC, datetime

import pytest

import prunemia as pm
from prunemia import data
from prunemia.data.dataset import sizes
from prunemia.lab import work as costs
from prunemia.lab.fingerprints import Facts
from prunemia.store import Entry

LOCATION = Facts("x", 5010, (446,), 30)
COLUMN = pm.Experiment(dataset="location", model="columnfc", epochs=10, finetune_epochs=4, draws=3)
FORWARD = 2 * (446 * 256 + 256 * 128 + 128 * 30)  # a product and a sum each


def test_a_forward_pass_of_columnfc_is_its_three_products():
    assert costs.forward("columnfc", None, (446,), 30) == FORWARD


def test_resnet18_costs_what_its_convolutions_do():
    # Stem 27·64·1024; stage 1: four 576·64·1024; each later stage halves the places (a quarter) and
    # doubles both channels (four times), but its first convolution reads half the channels; plus
    # three 1×1 shortcuts.
    same = 576 * 64 * 1024
    macs = 27 * 64 * 1024 + 4 * same + 3 * (3.5 * same) + 3 * (64 * 128 * 256) + 512 * 10
    assert costs.forward("resnet18", None, (3, 32, 32), 10) == 2 * macs


def test_an_epoch_costs_three_passes_of_training_rows_and_one_of_validation_rows():
    # Half of 5,010 is 2,505; 45 % of it, rounded up, 1,128 test rows; 18.18 % of 1,377, rounded up,
    # 251; 1,126 remain.
    assert sizes(5010) == (1126, 251, 1128)
    assert (
        costs.of_network(COLUMN, "original", LOCATION, 2).amount
        == 2 * 10 * (3 * 1126 + 251) * FORWARD
    )
    assert costs.of_network(COLUMN, "pruned", LOCATION, 1).amount == 4 * (3 * 1126 + 251) * FORWARD
    assert costs.of_query(COLUMN, LOCATION, 1).amount == (1126 + 1128) * (1 + 3) * FORWARD
    assert costs.of_fit(COLUMN, "conf", LOCATION).amount == 5 * (1126 + 1128)
    assert costs.of_attack("conf", LOCATION).amount == 1126 + 1128


@pytest.mark.parametrize("rows", [100, 101, 1797, 5010])
def test_sizes_are_those_of_the_split(rows):
    parts = data.split(
        data.load("digits", rows) if rows <= 1797 else data.load("mnist1d", rows), 0, 0
    )
    assert sizes(rows) == (len(parts.train), len(parts.validation), len(parts.test))


def test_rates_are_all_work_over_all_time_of_one_kind_and_device():
    def entry(work, cpu, wall, device="cpu", kind="original cnn1d"):
        note = {"kind": kind, "work": work, "cpu_seconds": cpu, "seconds": wall, "device": device}
        return Entry("original", "aa", 1, datetime.now(UTC), note)

    entries = [
        entry(100, 1, 9),
        entry(200, 2, 9),
        entry(50, 3, 5, "cuda"),
        entry(8, 2, 2, kind="attack conf"),
    ]
    entries.append(Entry("data", "bb", 1, datetime.now(UTC), {"what": "no work"}))

    assert costs.measured(entries, "cpu") == {"original cnn1d": 100.0, "attack conf": 4.0}
    assert costs.measured(entries, "cuda") == {"original cnn1d": 10.0}


def test_assumed_rates():
    assert costs.assumed("original vgg16", "cuda") == costs.RATES["cuda"]
    assert costs.assumed("fit conf", "cpu") > costs.assumed("fit samia", "cpu")
