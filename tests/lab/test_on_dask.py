"""A plan on Dask: what a worker does, and how errors travel along the tasks."""

import dataclasses
from types import SimpleNamespace

import pytest

import prunemia as pm
from prunemia.lab import on_dask
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.plan import plan
from prunemia.lab.steps import Step

EXP = pm.Experiment(
    dataset="digits", model="columnfc", samples=300, epochs=1, finetune_epochs=1, shadows=1, draws=1
)


def test_a_worker_carries_out_one_step_into_the_store(tmp_path):
    step = Step("original", EXP, "original")

    on_dask.work(step, str(tmp_path), "cpu", [])

    pipeline = Pipeline(tmp_path, device="cpu", progress=False)
    assert pipeline.has(step)
    assert not pipeline.has(Step("pruned", EXP))


def test_what_needs_a_failed_task_has_its_error_and_the_others_have_none(tmp_path):
    planned = plan(Pipeline(tmp_path, progress=False), [EXP], ["conf", "mentr"], ["pruned"])

    def future(task):
        failed = task.step.stage == "fit" and task.step.attack == "conf"
        cause = MemoryError("too large")
        return SimpleNamespace(status="error" if failed else "finished", exception=lambda: cause)

    errors = on_dask._errors(planned, {task.name: future(task) for task in planned.todo})
    by_step = {(planned.tasks[n].step.stage, planned.tasks[n].step.attack): e
               for n, e in errors.items()}  # fmt: skip

    assert set(by_step) == {("fit", "conf"), ("attack", "conf")}
    assert len(set(by_step.values())) == 1
    assert by_step["fit", "conf"].startswith("fitting conf, digits/columnfc")
    assert by_step["fit", "conf"].endswith("MemoryError: too large")


class Client:
    """A scheduler that carries nothing out: it notes what is submitted."""

    loop = None

    def __init__(self, resources):
        self.submitted = {}
        self.priorities = {}
        self.resources = resources

    def scheduler_info(self, n_workers):
        assert n_workers == -1
        return {"workers": {"a": {"resources": self.resources}}}

    def submit(self, function, *arguments, key, resources, priority):
        assert function is on_dask.work
        self.priorities[key] = priority
        self.submitted[key] = (arguments, resources)
        return SimpleNamespace(key=key, status="finished")


@pytest.mark.parametrize("resources", [{}, {"GPU": 1}])
def test_tasks_wait_for_their_inputs_and_ask_for_a_gpu_where_there_are_some(
    tmp_path, monkeypatch, resources
):
    planned = plan(Pipeline(tmp_path, progress=False), [EXP], ["conf"], ["pruned"])
    client = Client(resources)
    monkeypatch.setattr("distributed.as_completed", lambda futures, **_: futures)
    titles = []

    assert on_dask._submit(client, planned, titles.append) == {}

    assert len(client.submitted) == len(titles) == len(planned.todo)
    for (arguments, wanted), task in zip(client.submitted.values(), planned.todo, strict=True):
        step, root, device, inputs = arguments
        assert step == task.step
        assert root == str(tmp_path.resolve())
        assert device is None
        assert [future.key.rsplit("-", 1)[0] for future in inputs] == list(task.needs)
        assert wanted == (resources or None)


def test_stores_of_two_sweeps_on_one_scheduler_keep_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("distributed.as_completed", lambda futures, **_: futures)
    keys = []
    for place in ("a", "b"):
        pipeline = Pipeline(tmp_path / place, progress=False)
        client = Client({})
        planned = plan(pipeline, [EXP], ["conf"], ["pruned"])
        on_dask._submit(client, dataclasses.replace(planned), lambda _: None)
        keys.append(set(client.submitted))

    assert len(keys[0]) == len(keys[1])
    assert not keys[0] & keys[1]
