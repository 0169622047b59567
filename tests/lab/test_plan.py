"""Plans: the order of tasks, what is missing, and what a new stage takes."""

import dataclasses

import pytest

import prunemia as pm
from prunemia.lab.pipeline import Pipeline, inputs_first
from prunemia.lab.plan import describe, plan
from prunemia.lab.stages import STAGES, Stage
from prunemia.lab.steps import Step
from prunemia.lab.work import Work
from prunemia.store import pack_json, unpack_json

EXP = pm.Experiment(
    dataset="digits", model="columnfc", samples=300, epochs=1, finetune_epochs=1, shadows=2, draws=1
)


@pytest.fixture
def pipeline(tmp_path):
    return Pipeline(tmp_path, device="cpu", progress=False)


def test_inputs_come_first_and_each_once():
    steps = inputs_first([Step("attack", EXP, attack="conf"), Step("attack", EXP, attack="mentr")])
    place = {step: at for at, step in enumerate(steps)}

    assert len(place) == len(steps)
    for step in steps:
        assert all(place[part] < place[step] for part in STAGES[step.stage].needs(step))
    # victim and shadows trained, pruned, queried; two fits, two decisions
    assert len(steps) == 2 * 3 + 2 + 2


def test_what_is_stored_needs_none_of_its_inputs(pipeline):
    before = plan(pipeline, [EXP], ["conf", "mentr"], ["pruned"])
    pipeline.carry_out(Step("attack", EXP, attack="conf"))
    after = plan(pipeline, [EXP], ["conf", "mentr"], ["pruned"])

    assert [task.step.stage for task in before.todo].count("original") == 2
    assert [(task.step.stage, task.step.attack) for task in after.todo] == [
        ("fit", "mentr"),
        ("attack", "mentr"),
    ]
    assert after.stored == 6
    assert "1 are in the store" in after.describe()


def test_a_stage_is_one_entry_and_its_function(pipeline, monkeypatch):
    # A toy stage: the number of samples that the victim answers, read off its signals.
    def compute(step, bench):
        return {"count.json": pack_json(len(bench.value(Step("signals", step.exp, step.of))))}

    toy = Stage(
        version=1,
        needs=lambda step: [Step("signals", step.exp, step.of, step.group)],
        identity=lambda _, inputs, __, version: ["count", version, *inputs],
        compute=compute,
        read=lambda files, _, __: unpack_json(files["count.json"]),
        work=lambda *_: Work("count of", 1.0),
        title=lambda _: "counting",
    )
    monkeypatch.setitem(STAGES._entries, "count", toy)
    step = Step("count", EXP)

    # 300 samples: 150 the victim's; 68 test, ceil(0.1818 · 82) = 15 validation, 67 train
    assert pipeline.value(step) == 67 + 68
    assert pipeline.has(step)
    assert pipeline.title(step) == "counting, digits/columnfc, l1unstructured 0.7, seed 0"
    assert [part.stage for part in inputs_first([step])] == [
        "original", "pruned", "signals", "count",
    ]  # fmt: skip
    assert pipeline.key(step) != pipeline.key(dataclasses.replace(step, of="original"))


def test_an_error_is_described_in_one_line():
    assert describe(OSError("a\n  b")) == "OSError: a b"
