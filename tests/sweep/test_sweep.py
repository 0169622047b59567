"""Sweeps as a whole: what is computed, what is known, what fails; one table from two processes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import prunemia as pm
from prunemia.lab import on_dask as cluster
from prunemia.lab.map import SweepError
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.plan import plan
from prunemia.sweep.run import write

QUICK = pm.Experiment(
    dataset="digits", model="columnfc", samples=300, epochs=2, finetune_epochs=2, shadows=2, draws=2
)
ATTACKS = ("conf", "mentr")
EXPERIMENTS = [QUICK.replace(sparsity=s, seed=k) for s in (0.5, 0.7) for k in (0, 1)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The sweep of EXPERIMENTS in one process: its lab and its table."""
    lab = pm.Lab(tmp_path_factory.mktemp("done"), progress=False)
    return lab, lab.map(EXPERIMENTS, ATTACKS)


def test_the_table_has_one_row_an_experiment_and_attack(done):
    lab, table = done

    assert list(table["attack"]) == list(ATTACKS) * 4
    assert list(table["sparsity"]) == [0.5] * 4 + [0.7] * 4
    assert table["key"][0] == EXPERIMENTS[0].key
    assert table["auc"][3] == lab.attack(EXPERIMENTS[1], "mentr").evaluation.auc.value
    assert table.attrs["failures"] == []


def test_a_sweep_that_is_done_computes_nothing_again(done, monkeypatch):
    lab, table = done
    again = pm.Lab(lab.store.root, progress=False)
    monkeypatch.setattr(pm.data, "load", lambda *_: pytest.fail("the data were read"))
    monkeypatch.setattr(Pipeline, "carry_out", lambda *_: pytest.fail("a step was carried out"))

    assert_frame_equal(again.map(EXPERIMENTS, ATTACKS), table, check_exact=True)


def test_the_plan_counts_networks_to_train_and_those_there(done):
    lab, _ = done
    planned = plan(
        lab.pipeline.changed(progress=False, foresees=True),
        [*EXPERIMENTS, QUICK.replace(seed=2), QUICK.replace(sparsity=0.9)],
        ATTACKS,
        ["pruned"],
    )

    # Two seeds of three networks are there, at two sparsities each; seed 2 is new, sparsity 0.9
    # prunes known ones.
    assert (planned.networks("original"), planned.networks("pruned"), planned.stored) == (
        3,
        6,
        2 * 3 * (1 + 2),
    )
    assert len([task for task in planned.todo if task.step.stage == "attack"]) == 4
    assert planned.seconds("cpu") == (
        pytest.approx(planned.seconds("cpu")[1]),
        pytest.approx(planned.seconds("cpu")[0]),
    )
    assert "3 to train, 6 to prune and fine-tune; 18 are in the store" in planned.describe()


def test_a_plan_of_unread_data_downloads_nothing(tmp_path, data_folder):
    exp = pm.Experiment(dataset="cifar10", model="resnet18")
    planned = plan(
        Pipeline(tmp_path, foresees=True),
        [exp.replace(seed=k) for k in (0, 1)],
        ["conf"],
        ["pruned"],
    )

    # Twice six networks, 150 epochs of 3 × 13,500 + 3,000 rows, 1.11 GFLOP each: 8.7e16; querying
    # 27,000 rows eleven times adds 3e15: 9.1e16, or 2.5 hours at 1e13 a second.
    assert planned.networks("original") == planned.networks("pruned") == 12
    assert planned.refused == []
    assert planned.seconds("cuda")[0] == pytest.approx(
        12 * (150 * 43_500 + 11 * 27_000) * 1.11085e9 / 1e13, rel=1e-3
    )
    assert "2.5 GPU hours" in planned.describe()
    assert not data_folder.exists()


def test_shadows_that_are_left_unpruned_are_shared_with_the_original(tmp_path):
    guess = QUICK.replace(adversary={"pruner": "none"})
    planned = plan(Pipeline(tmp_path, progress=False), [guess], ["conf"], ["pruned"])

    assert (planned.networks("original"), planned.networks("pruned")) == (3, 1)


def test_a_failing_experiment_does_not_stop_the_others_and_is_listed(done, tmp_path):
    _, table = done
    few = QUICK.replace(samples=1798)
    lab = pm.Lab(tmp_path, progress=False)
    assert (
        "1 experiments cannot be carried out; the first: dataset"
        in plan(lab.pipeline, [few], ATTACKS, ["pruned"]).describe()
    )

    with pytest.raises(SweepError, match="1 experiments failed") as caught:
        lab.map([few, *EXPERIMENTS], ATTACKS)

    assert_frame_equal(caught.value.table, table, check_exact=True)
    assert "samples: 1798 of data set 'digits'; allowed: 1 to 1797" in str(caught.value)
    collected = lab.map([few, EXPERIMENTS[0]], ATTACKS, errors="collect")
    assert [failure["key"] for failure in collected.attrs["failures"]] == [few.key]
    assert list(collected["key"]) == [EXPERIMENTS[0].key] * 2


def test_a_step_that_fails_takes_with_it_what_needs_it(tmp_path, monkeypatch):
    lab = pm.Lab(tmp_path, progress=False)
    real = Pipeline.carry_out

    def fail(self, step):
        if step.stage == "pruned" and step.exp.sparsity == 0.7:
            raise OSError("no space")
        real(self, step)

    monkeypatch.setattr(Pipeline, "carry_out", fail)
    table = lab.map([QUICK, EXPERIMENTS[0]], ATTACKS, of=["original", "pruned"], errors="collect")

    assert list(zip(table["sparsity"], table["of"], strict=True)) == [
        *[(0.7, "original")] * 2,
        *[(0.5, "original")] * 2,
        *[(0.5, "pruned")] * 2,
    ]
    (failure,) = table.attrs["failures"]
    assert failure["error"].startswith(
        "pruning shadow networks 1–2, digits/columnfc, l1unstructured 0.7, seed 0: OSError"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attacks": ["cnof"]}, "attack: 'cnof' is not allowed"),
        ({"of": "both"}, "of: 'both' is not allowed"),
        ({"errors": "ignore"}, "errors: 'ignore' is not allowed"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        pm.Lab(tmp_path / "store", progress=False).map([QUICK], **options)
    assert not (tmp_path / "store").exists()


def test_a_table_is_written_whole_or_not_at_all(tmp_path, done, monkeypatch):
    _, table = done
    path = tmp_path / "table.csv"
    write(table, path)
    assert_frame_equal(
        pd.read_csv(path, float_precision="round_trip")[["auc"]], table[["auc"]], check_exact=True
    )

    def full(_, aside, **__):
        aside.write_text("half a ta")
        raise OSError("no space")

    before = path.read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="no space"):
        write(table, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_two_workers_one_of_them_killed_give_the_same_table(done, tmp_path, monkeypatch):
    _, table = done
    store = tmp_path / "store"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    killed, trimming = [], set()

    def kill(address):
        """Kill the worker that is first seen at a network, once something is in the store."""
        with cluster.connect(address) as client:
            trimming.update(client.run(os.environ.get, "MALLOC_TRIM_THRESHOLD_").values())
            while not killed:
                busy = {
                    w: keys
                    for w, keys in client.processing().items()
                    if any("attack" not in k for k in keys)
                }
                pids = client.run(os.getpid)
                if busy and any(store.glob("original/*/*")):
                    killed.append(pids[min(busy)])
                    os.kill(killed[0], signal.SIGKILL)
                time.sleep(0.02)

    with cluster.local(2, store) as address:
        killer = threading.Thread(target=kill, args=[address])
        killer.start()
        lab = pm.Lab(store, scheduler=address, progress=False)
        found = lab.map(EXPERIMENTS, ATTACKS)
        killer.join()

    assert killed
    assert trimming == {None}  # Dask's own setting takes twice as long
    assert_frame_equal(found, table, check_exact=True)
    assert not list(store.glob(".dask*"))


def test_what_another_process_is_at_is_left_for_later(tmp_path, monkeypatch):
    lab = pm.Lab(tmp_path, progress=False)
    tasks = plan(lab.pipeline, [QUICK, QUICK.replace(seed=1)], ["conf"], ["pruned"]).todo
    held = [t for t in tasks if t.step.exp.seed == 0 and t.step.stage == "original"]
    order = []
    real = Pipeline.carry_out

    def note(self, step):
        order.append(step.exp.seed)
        if order.count(1) == len(tasks) // 2:
            locks.close()  # seed 1 is done: the other process lets go
        real(self, step)

    monkeypatch.setattr(Pipeline, "carry_out", note)
    with contextlib.ExitStack() as locks:
        for task in held:
            locks.enter_context(lab.store.lock(task.step.stage, task.key))
        table = lab.map([QUICK, QUICK.replace(seed=1)], ["conf"])

    assert order == [1] * (len(tasks) // 2) + [0] * (len(tasks) // 2)
    assert list(table["seed"]) == [0, 1]


def test_nobody_answers_at_the_address(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with pytest.raises(
        ValueError, match=r"--scheduler tcp://127\.0\.0\.1:9: no Dask scheduler answers there"
    ):
        pm.Lab(tmp_path, scheduler="tcp://127.0.0.1:9", progress=False).map([QUICK], ["conf"])


def test_the_command_writes_the_table_and_lists_what_failed(done, tmp_path):
    lab, _ = done
    grid = tmp_path / "grid.yml"
    grid.write_text(
        "attacks: [conf, mentr]\nsparsity: [0.5, 0.7]\nseed: [0, 1]\n"
        "dataset: digits\nmodel: columnfc\n"
        "epochs: 2\nfinetune_epochs: 2\nshadows: 2\ndraws: 2\n"
        "grids: [{samples: 300}, {samples: 1798, seed: 0, sparsity: 0.5}]\n"
    )
    command = [
        sys.executable,
        "-m",
        "prunemia.cli",
        "sweep",
        str(grid),
        "--store",
        str(lab.store.root),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "5 experiments" in done.stdout
    assert "8 rows written: grid.csv" in done.stdout
    assert done.stderr.startswith(
        "prunemia: 1 experiments failed, the others are in the table:\n  dataset"
    )
    assert len(pd.read_csv(tmp_path / "grid.csv")) == 8
