"""The table of stages: keys, titles, needs; computing once, and the data that keys depend on."""

import json
import pickle
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import prunemia as pm
from prunemia import data
from prunemia.attacks import get as attack_class
from prunemia.experiment import content_key
from prunemia.lab.context import Context, Stage
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Step, groups, release_step
from prunemia.registry import DEFENSES, NETWORKS

EXP = pm.Experiment(dataset="digits", model="columnfc", samples=300, shadows=3)
NAMES = ("original", "pruned", "signals", "attack")


@pytest.fixture
def context(tmp_path):
    return Context(STAGES, tmp_path, device="cpu", progress=False)


def step(stage, exp=EXP):
    return Step(stage, exp, "original" if stage == "original" else "pruned", attack="conf")


def keys(context, exp):
    return {stage: context.key(step(stage, exp)) for stage in NAMES}


def test_a_stage_needs_stages_that_stand_before_it_and_has_a_title(context):
    order = list(STAGES)
    for stage in order:
        needs = [order.index(need.stage) for need in context.needs(step(stage))]
        assert max(needs, default=-1) < order.index(stage)
        assert context.title(step(stage)).endswith("seed 0")


def test_titles_say_which_networks(context):
    reference = Step("signals", EXP, group=(data.OWN + 2,))
    said = "querying reference network 3, digits/columnfc, l1unstructured 0.7, seed 0"
    assert context.title(reference) == said
    exp = EXP.replace(defense="ppb", rounds=2, rewind=True, bits=4)
    said = context.title(Step("fit", exp, group=(), attack="conf"))
    assert said.endswith("l1unstructured 0.7, ppb 4, 2 rounds, rewound, 4 bits, seed 0")


def test_a_key_is_the_hash_of_stage_version_settings_and_needs(context):
    pruned, needs = step("pruned"), [context.key(step("original"))]
    settings = STAGES["pruned"].settings(pruned, context)
    assert context.key(pruned) == content_key(["pruned", 1, settings, needs])
    assert settings["fit"]["epochs"] == EXP.tuning_epochs


TRAINED, QUERIED = {"original"}, {"original", "pruned"}
CHANGES = [
    ({}, {"pruner": "l1unstructured"}, set(NAMES)),
    ({}, {"width": None, "epochs": 50, "batch_size": 128, "strength": None}, set(NAMES)),
    *(
        ({}, change, TRAINED)
        for change in (
            {"sparsity": 0.5}, {"finetune_epochs": 3}, {"finetune_warmup": 3}, {"rounds": 2},
            {"stopping": "published"}, {"rewind": True}, {"defense": "ppb"}, {"pruner": "dense"},
        )
    ),
    ({"defense": "ppb"}, {"strength": 2.0}, TRAINED),
    ({}, {"draws": 3}, QUERIED),
    ({}, {"epsilon": 1e-2}, QUERIED),
    ({}, {"shadows": 2}, QUERIED | {"signals"}),
    ({}, {"adversary": {"sparsity": 0.5}}, QUERIED | {"signals"}),
    *(
        ({}, change, set())
        for change in (
            {"dataset": "mnist1d"}, {"seed": 1}, {"samples": 200}, {"rows": "fresh"},
            {"standardize": True}, {"model": "cnn2d"}, {"epochs": 3}, {"patience": 3},
            {"batch_size": 64}, {"learning_rate": 1e-2}, {"weight_decay": 0.0},
            {"precision": "bfloat16"}, {"stopping": "last"}, {"bits": 4},
        )
    ),
    ({"bits": 4}, {"quantize": "before"}, TRAINED),
    ({"model": "cnn2d"}, {"width": 4}, set()),
    ({"defense": "dp"}, {"whole": True}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("base", "change", "same"), CHANGES)
def test_a_change_moves_the_keys_of_what_depends_on_it_alone(context, base, change, same):
    exp = EXP.replace(**base)
    before, after = keys(context, exp), keys(context, exp.replace(**change))
    assert {stage for stage in before if before[stage] == after[stage]} == same


def test_every_field_moves_some_key():
    """A new field that no stage reads would make two experiments share a result."""
    moved = {name for _, change, same in CHANGES if same != set(NAMES) for name in change}
    assert moved == set(pm.Experiment.model_fields)


def test_a_raised_version_moves_the_key_and_all_that_need_it(context, monkeypatch):
    before = keys(context, EXP)

    def moved():
        after = keys(context.changed(progress=False), EXP)
        monkeypatch.undo()
        return {stage for stage in before if before[stage] != after[stage]}

    pruning = [(STAGES, "pruned"), (DEFENSES, "none")]
    for table, name in [(STAGES, "original"), (NETWORKS, EXP.model), *pruning]:
        monkeypatch.setitem(table, name, replace(table[name], version=99))
        assert moved() == set(NAMES) - ({"original"} if (table, name) in pruning else set())
    monkeypatch.setattr(attack_class("conf"), "version", 99)
    assert moved() == {"attack"}
    # another kind of device has results of its own
    other = context.changed(progress=False)
    other.device = type("Device", (), {"type": "cuda"})()
    assert not set(before.values()) & set(keys(other, EXP).values())


def test_networks_are_trained_in_groups():
    assert groups(EXP) == [(0,), (1, 2, 3)]
    assert groups(EXP.replace(shadows=20))[1:] == [tuple(range(1, 17)), (17, 18, 19, 20)]
    for alone in ({"standardize": True}, {"model": "cnn2d"}):
        assert groups(EXP.replace(**alone)) == [(0,), (1,), (2,), (3,)]


def test_a_step_with_releases_travels_to_other_processes(context):
    held = [(EXP, "original"), (EXP.replace(bits=4), "pruned")]
    one = release_step(held, "nncls", {"epochs": 2})
    assert pickle.loads(pickle.dumps(one)) == one
    assert [part.exp.bits for part in context.needs(one)].count(4) == 2  # shadows, and the victim


# --- Computing once -----------------------------------------------------------------------------


def toy(compute):
    """Return a table of one stage, whose result is the number that ``compute`` gives."""
    files = {"compute": lambda *_: {"calls.bin": str(compute()).encode()}}
    files["load"] = lambda files, *_: int(files["calls.bin"])
    return {"toy": Stage(1, "playing", **files, needs=lambda _: [])}


STEP = Step("toy", EXP)


def test_what_is_stored_is_not_computed_again(tmp_path):
    stages = toy(iter([1, 2]).__next__)
    assert [Context(stages, tmp_path, progress=False).value(STEP) for _ in range(2)] == [1, 1]
    (manifest,) = tmp_path.glob("toy/*/*/manifest.json")
    note = json.loads(manifest.read_bytes())["note"]
    assert note == {"what": "playing, digits/columnfc, l1unstructured 0.7, seed 0"}


def test_a_failure_stores_nothing_and_lets_go_of_the_lock(tmp_path):
    with pytest.raises(ZeroDivisionError):
        Context(toy(lambda: 1 // 0), tmp_path, progress=False).value(STEP)
    assert list(Context({}, tmp_path).store.entries()) == []
    assert Context(toy(lambda: 1), tmp_path, progress=False).value(STEP) == 1


def test_threads_compute_it_once_and_say_that_they_wait(tmp_path, capsys):
    calls = []
    stages = toy(lambda: calls.append(1) or time.sleep(0.05) or 1)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: Context(stages, tmp_path).value(STEP), range(4)))
    assert (calls, found) == ([1], [1] * 4)
    assert "waiting for another process: playing" in capsys.readouterr().err


def test_progress_goes_to_stderr_and_moves_by_epochs(tmp_path, capsys):
    with Context({}, tmp_path).bar("playing", 2) as report:
        report("loss 1")
        report("loss 0.5")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search("playing.*2/2", printed.err, re.DOTALL)


# --- The data that keys depend on ---------------------------------------------------------------


def test_a_data_set_is_read_once_and_its_fingerprint_kept(context, monkeypatch):
    loaded = data.load("digits", 300)
    assert context.facts(EXP) == {"fingerprint": loaded.fingerprint, "classes": 10}
    monkeypatch.setattr(Context, "dataset", lambda *_: pytest.fail("the data were read"))
    for foresees in (False, True):
        again = context.changed(progress=False, foresees=foresees)
        assert again.facts(EXP) == context.facts(EXP)


def test_a_file_that_changed_is_another_data_set(tmp_path):
    path = tmp_path / "own.npz"
    found = set()
    for value in (0.0, 1.0):
        np.savez(path, features=np.full((400, 3), value), labels=np.arange(400) % 2)
        exp = pm.Experiment(dataset=str(path), model="columnfc")
        found.add(Context(STAGES, tmp_path / "store").facts(exp)["fingerprint"])
    assert len(found) == 2


def test_fresh_rows_are_a_data_set_of_their_own_for_each_seed(context):
    experiments = [EXP, *(EXP.replace(rows="fresh", seed=seed) for seed in (0, 1))]
    found = [context.facts(exp)["fingerprint"] for exp in experiments]
    assert len(set(found)) == 3
    assert context.facts(EXP.replace(seed=1))["fingerprint"] == found[0]
    assert [context.dataset(exp).fingerprint for exp in experiments] == found
