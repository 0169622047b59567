"""Sweeps: what is planned, what is known, what fails; the same table whatever dies."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from pandas.testing import assert_frame_equal

import prunemia as pm
from prunemia.lab import grid, sweep
from prunemia.lab.context import Context
from prunemia.lab.lab import table_steps
from prunemia.lab.stages import STAGES
from prunemia.lab.sweep import SweepError

ATTACKS = ("conf", "mentr")
FIELDS = {"dataset": "digits", "model": "columnfc", "samples": 300, "epochs": 2, "shadows": 2}
FIELDS |= {"finetune_epochs": 2, "draws": 2}
GRID = FIELDS | {"attacks": ATTACKS, "sparsity": [0.5, 0.7], "seed": [0, 1]}
QUICK = pm.Experiment(**FIELDS)
EXPERIMENTS = [QUICK.replace(sparsity=s, seed=k) for s in (0.5, 0.7) for k in (0, 1)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The sweep of EXPERIMENTS in one process: its lab and its table."""
    lab = pm.Lab(tmp_path_factory.mktemp("done"), progress=False)
    return lab, lab.map(EXPERIMENTS, ATTACKS)


def planned(context, experiments, attacks=ATTACKS, of="pruned"):
    return sweep.Plan(context, table_steps(experiments, attacks, of))


def test_tasks_are_what_gets_stored_inputs_first_and_what_is_stored_needs_none(tmp_path):
    lab, asked = pm.Lab(tmp_path, progress=False), ([QUICK], ["conf", "blindmi"])
    plan = planned(lab, *asked)
    place = {name: at for at, name in enumerate(plan.tasks)}
    assert all(place[need] < place[name] for name in place for need in plan.tasks[name].needs)
    # victim and shadows trained, pruned, queried; two fits, two decisions
    assert len(plan.todo) == len(plan.tasks) == 2 * 3 + 2 + 2
    lab.map(*asked)

    stored = {f"{entry.stage}-{entry.key}" for entry in lab.store.entries()}
    assert {name for name in stored if not name.startswith("data-")} == set(plan.tasks)
    lab.store.clean(stage="signals")
    todo = [(task.step.stage, task.step.attack) for task in planned(lab, [QUICK]).todo.values()]
    rest = [stage for stage in todo if stage[0] != "signals"]
    assert rest == [("fit", "mentr"), ("attack", "mentr")]


def test_the_plan_counts_networks_to_train_and_those_there(done):
    lab, _ = done
    more = [*EXPERIMENTS, QUICK.replace(seed=2), QUICK.replace(sparsity=0.9)]

    # Two seeds of three networks are there, at two sparsities each; seed 2 is new, sparsity 0.9
    # prunes known ones: 3 to train, 3 + 3 to prune; 2 · 3 originals and 2 · 2 · 3 pruned ones.
    assert planned(lab, more).describe().splitlines() == [
        "6 experiments, 12 rows; the results of 8 are in the store.",
        "Networks: 3 to train, 6 to prune and fine-tune; 18 are in the store.",
    ]
    nothing = planned(lab, EXPERIMENTS).describe()
    assert nothing.endswith("\nNothing to do but to read the results.")
    # shadows that are left unpruned are shared with the original
    guess = QUICK.replace(adversary={"pruner": "none"}, seed=3)
    assert "3 to train, 1 to prune" in planned(lab, [guess], ["conf"]).describe()


def test_a_plan_of_unread_data_downloads_nothing(tmp_path, data_folder):
    exp = pm.Experiment(dataset="cifar10", model="resnet18")
    context = Context(STAGES, tmp_path, foresees=True)
    changes = [{}, {"seed": 1}, {"samples": 500}, {"samples": 500, "rows": "fresh"}]
    said = planned(context, [exp.replace(**change) for change in changes], ["conf"]).describe()
    assert "24 to train, 24 to prune and fine-tune; 0 are in the store" in said
    assert not data_folder.exists()
    assert list(context.store.entries()) == []


def test_the_table_has_one_row_an_experiment_and_attack_and_is_computed_once(done, monkeypatch):
    lab, table = done

    assert list(table["attack"]) == list(ATTACKS) * 4
    assert list(table["sparsity"]) == [0.5] * 4 + [0.7] * 4
    assert table["key"][0] == EXPERIMENTS[0].key
    assert table["auc"][3] == lab.attack(EXPERIMENTS[1], "mentr").evaluation.auc.value
    assert table.attrs["failures"] == []

    again = pm.Lab(lab.store.root, progress=False)
    monkeypatch.setattr(pm.data, "load", lambda *_: pytest.fail("the data were read"))
    monkeypatch.setattr(type(lab.store), "put", lambda *_: pytest.fail("something was stored"))

    assert_frame_equal(again.map(EXPERIMENTS, ATTACKS), table, check_exact=True)


def test_a_failing_experiment_does_not_stop_the_others_and_is_listed(done):
    lab, table = done
    few = QUICK.replace(samples=1798)
    said = "\n1 experiments cannot be carried out; the first: dataset digits, samples 1798"
    assert said in planned(lab, [few]).describe()
    with pytest.raises(SweepError, match="1 experiments failed") as caught:
        lab.map([few, *EXPERIMENTS], ATTACKS)

    assert_frame_equal(caught.value.table, table, check_exact=True)
    assert "samples: 1798 of data set 'digits'; allowed: 1 to 1797" in str(caught.value)
    collected = lab.map([few, EXPERIMENTS[0]], ATTACKS, errors="collect")
    assert [failure["key"] for failure in collected.attrs["failures"]] == [few.key]
    assert list(collected["key"]) == [EXPERIMENTS[0].key] * 2
    with pytest.raises(SweepError, match="1 experiments failed"):
        lab.run(table_steps([few], ["conf"], "pruned"))


def test_a_step_that_fails_takes_with_it_what_needs_it(tmp_path, monkeypatch):
    lab = pm.Lab(tmp_path, progress=False)
    real = Context.get_or_compute

    def fail(self, step):
        if step.stage == "pruned" and step.exp.sparsity == 0.7:
            raise OSError("no\nspace")
        return real(self, step)

    monkeypatch.setattr(Context, "get_or_compute", fail)
    both = [QUICK, EXPERIMENTS[0]]
    table = lab.map(both, ["conf"], of=["original", "pruned"], errors="collect")

    rows = table[["sparsity", "of"]].to_numpy().tolist()
    assert rows == [[0.7, "original"], [0.5, "original"], [0.5, "pruned"]]
    (failure,) = table.attrs["failures"]
    where = "pruning shadow networks 1–2, digits/columnfc, l1unstructured 0.7, seed 0"
    assert failure["error"] == f"{where}: OSError: no space"


def test_two_workers_one_of_them_killed_give_the_same_table(done, tmp_path, monkeypatch):
    _, table = done
    store = tmp_path / "store"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    killed, trimming = [], set()

    def kill(address):
        """Kill the worker that is first seen at a network, once something is in the store."""
        with sweep.connect(address) as client:
            trimming.update(client.run(os.environ.get, "MALLOC_TRIM_THRESHOLD_").values())
            pids = client.run(os.getpid)
            while not killed:
                tasks = client.processing().items()
                busy = [w for w, keys in tasks if any("attack" not in key for key in keys)]
                if busy and any(store.glob("original/*/*")):
                    killed.append(pids[min(busy)])
                    os.kill(killed[0], signal.SIGKILL)
                time.sleep(0.02)

    with sweep.local_workers(2) as address, ThreadPoolExecutor() as pool:
        killer = pool.submit(kill, address)
        found = pm.Lab(store, scheduler=address, progress=False).map(EXPERIMENTS, ATTACKS)
        killer.result()

    assert killed
    assert trimming == {None}  # Dask's own setting takes twice as long
    assert_frame_equal(found, table, check_exact=True)


def test_a_sweep_whose_parent_is_killed_leaves_no_worker_and_resumes(done, tmp_path):
    _, table = done
    file, store, output = (tmp_path / name for name in ("grid.yml", "store", "table.csv"))
    file.write_text(json.dumps(GRID))
    store.mkdir()
    command = [sys.executable, "-m", "prunemia.cli", "sweep", file, "--store", store]
    parent = subprocess.Popen([*command, "--output", output, "--workers", "1"], cwd=tmp_path)
    while not any(store.glob("original/*/*")):
        assert parent.poll() is None
        time.sleep(0.05)
    children = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.communicate()

    assert children
    assert psutil.wait_procs(children, timeout=20)[1] == []
    assert not output.exists()
    said = []
    grid.run(grid.read(file), pm.Lab(store, progress=False), output, None, said.append)
    assert said[-1] == f"8 rows written: {output}"
    assert output.read_text() == table.to_csv(index=False)
    assert [path.name for path in tmp_path.glob(".*")] == []
