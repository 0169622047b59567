"""The table of stages: keys, titles, needs; computing once, and the data that keys depend on."""

import hashlib
import json
import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

import prunemia as pm
from prunemia import data
from prunemia.attacks import get as attack_class
from prunemia.experiment import content_key
from prunemia.files import pack_json
from prunemia.lab.context import Context, Stage
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Step, groups, release_step, shadow_signals
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


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_needs_stages_that_stand_before_it_and_has_a_title(stage, context):
    order = list(STAGES)

    assert all(order.index(n.stage) < order.index(stage) for n in context.needs(step(stage)))
    assert context.title(step(stage)).endswith("seed 0")


def test_titles_say_which_networks(context):
    short = ", digits/columnfc, l1unstructured 0.7, seed 0"
    exp = EXP.replace(defense="ppb", rounds=2, rewind=True, bits=4)
    titles = {
        step("original"): "training the victim, digits/columnfc, seed 0",
        Step("pruned", EXP, group=(1, 2)): f"pruning shadow networks 1–2{short}",
        Step("signals", EXP, group=(data.OWN + 2,)): f"querying reference network 3{short}",
        Step("fit", exp, group=(), attack="conf"): "fitting conf, digits/columnfc, l1unstructured "
        "0.7, ppb 4, 2 rounds, rewound, 4 bits, seed 0",
    }
    assert {each: context.title(each) for each in titles} == titles


def test_a_key_is_the_hash_of_stage_version_settings_and_needs(context):
    original, pruned = step("original"), step("pruned")
    settings = STAGES["pruned"].settings(pruned, context)

    assert context.key(pruned) == content_key(["pruned", 1, settings, [context.key(original)]])
    assert settings["fit"]["epochs"] == EXP.tuning_epochs
    assert STAGES["original"].settings(original, context)["networks"] == (0,)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"pruner": "l1unstructured"}, set(NAMES)),
        ({"width": None, "epochs": 50, "batch_size": 128, "strength": None}, set(NAMES)),
        ({"sparsity": 0.5}, {"original"}),
        ({"finetune_epochs": 3}, {"original"}),
        ({"finetune_warmup": 3}, {"original"}),
        ({"stopping": "published"}, {"original"}),
        ({"rounds": 2}, {"original"}),
        ({"rewind": True}, {"original"}),
        ({"defense": "ppb"}, {"original"}),
        ({"draws": 3}, {"original", "pruned"}),
        ({"epsilon": 1e-2}, {"original", "pruned"}),
        ({"shadows": 2}, {"original", "pruned", "signals"}),
        ({"adversary": {"sparsity": 0.5}}, {"original", "pruned", "signals"}),
        *(
            (change, set())
            for change in (
                {"seed": 1}, {"samples": 301}, {"rows": "fresh"}, {"standardize": True},
                {"epochs": 3}, {"patience": 3}, {"batch_size": 64}, {"learning_rate": 1e-2},
                {"weight_decay": 0.0}, {"precision": "bfloat16"}, {"stopping": "last"},
                {"bits": 4}, {"bits": 4, "quantize": "before"},
                {"defense": "dp", "whole": True},
            )
        ),
    ],
)  # fmt: skip
def test_a_change_moves_the_keys_of_what_depends_on_it_alone(context, change, same):
    before, after = keys(context, EXP), keys(context, EXP.replace(**change))

    assert {stage for stage in before if before[stage] == after[stage]} == same


def test_every_field_moves_some_key(context):
    """A new field that no stage reads would make two experiments share a result."""
    moved = {
        "dataset": "mnist1d", "samples": 200, "rows": "fresh", "standardize": True,
        "model": "cnn2d", "pruner": "dense", "sparsity": 0.5, "rounds": 2, "rewind": True,
        "bits": 4, "defense": "ppb", "shadows": 2, "seed": 1, "adversary": {"sparsity": 0.5},
        "epochs": 3, "finetune_epochs": 3, "finetune_warmup": 3, "stopping": "last",
        "patience": 3, "batch_size": 64, "learning_rate": 1e-2, "weight_decay": 0.0,
        "epsilon": 1e-2, "draws": 3, "precision": "bfloat16",
    }  # fmt: skip
    pairs = {name: (EXP, EXP.replace(**{name: value})) for name, value in moved.items()}
    ppb, few = EXP.replace(defense="ppb"), EXP.replace(bits=4)
    noisy, wide = EXP.replace(defense="dp"), pm.Experiment(samples=300)
    pairs |= {
        "strength": (ppb, ppb.replace(strength=2.0)),
        "whole": (noisy, noisy.replace(whole=True)),
        "width": (wide, wide.replace(width=4)),
        "quantize": (few, few.replace(quantize="before")),
    }
    for name, (one, other) in pairs.items():
        assert keys(context, one) != keys(context, other), name
    assert pairs.keys() == set(pm.Experiment.model_fields)


def test_a_raised_version_moves_the_key_and_all_that_need_it(context, monkeypatch):
    before = keys(context, EXP)

    def raised(table, name):
        monkeypatch.setitem(table, name, replace(table[name], version=99))

    cases = [
        (lambda: raised(STAGES, "pruned"), {"pruned", "signals", "attack"}),
        (lambda: raised(STAGES, "original"), set(NAMES)),
        (lambda: monkeypatch.setattr(attack_class("conf"), "version", 99), {"attack"}),
        (lambda: raised(NETWORKS, EXP.model), set(NAMES)),
        (lambda: raised(DEFENSES, "none"), {"pruned", "signals", "attack"}),
    ]
    for change, expected in cases:
        change()
        fresh = keys(context.changed(progress=False), EXP)
        assert {stage for stage in before if before[stage] != fresh[stage]} == expected
        monkeypatch.undo()


def test_another_kind_of_device_has_results_of_its_own(context):
    other = context.changed(progress=False)
    other.device = type("Device", (), {"type": "cuda"})()

    assert not set(keys(context, EXP).values()) & set(keys(other, EXP).values())


def test_networks_are_trained_in_groups():
    assert groups(EXP) == [(0,), (1, 2, 3)]
    assert groups(EXP.replace(shadows=20))[1:] == [tuple(range(1, 17)), (17, 18, 19, 20)]
    assert groups(EXP.replace(standardize=True)) == [(0,), (1,), (2,), (3,)]
    assert groups(EXP.replace(model="cnn2d")) == [(0,), (1,), (2,), (3,)]


def test_what_the_adversary_assumes_decides_which_shadows_are_asked():
    unpruned = shadow_signals(EXP.replace(adversary={"pruner": "none"}), "pruned")
    half = shadow_signals(EXP.replace(adversary={"sparsity": 0.5}), "pruned")

    assert {s.of for s in unpruned} == {"original"}
    assert {(s.of, s.exp.sparsity) for s in half} == {("pruned", 0.5)}


def test_a_step_with_releases_travels_to_other_processes(context):
    held = [(EXP, "original"), (EXP.replace(bits=4), "pruned")]
    one = release_step(held, "nncls", {"epochs": 2})

    assert pickle.loads(pickle.dumps(one)) == one
    assert [part.exp.bits for part in context.needs(one)].count(4) == 2  # shadows, and the victim


# --- Computing once -----------------------------------------------------------------------------


def toy(compute):
    """Return a table of one stage, whose result is the number that ``compute`` gives."""
    return {
        "toy": Stage(
            version=1,
            says="playing",
            compute=lambda *_: {"calls.bin": str(compute()).encode()},
            load=lambda files, *_: int(files["calls.bin"]),
            needs=lambda _: [],
        )
    }


STEP = Step("toy", EXP)


def test_what_is_stored_is_not_computed_again(tmp_path):
    calls = iter([1, 2])
    values = [
        Context(toy(lambda: next(calls)), tmp_path, progress=False).value(STEP) for _ in range(2)
    ]

    assert values == [1, 1]
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
    contexts = [Context(stages, tmp_path) for _ in range(4)]
    threads = [threading.Thread(target=context.value, args=[STEP]) for context in contexts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert calls == [1]
    assert "waiting for another process: playing" in capsys.readouterr().err


def test_progress_goes_to_stderr_and_moves_by_epochs(tmp_path, capsys):
    with Context({}, tmp_path).bar("playing", 2) as report:
        report("loss 1")
        report("loss 0.5")
    printed = capsys.readouterr()

    assert printed.out == ""
    assert "playing" in printed.err
    assert "2/2" in printed.err


# --- The data that keys depend on ---------------------------------------------------------------


def unread(*_, **__):
    pytest.fail("the data were read")


def test_a_data_set_is_read_once_and_its_fingerprint_kept(context, monkeypatch):
    loaded = data.load("digits", 300)
    assert context.facts(EXP) == {"fingerprint": loaded.fingerprint, "classes": 10}

    monkeypatch.setattr(Context, "dataset", unread)
    for foresees in (False, True):
        again = context.changed(progress=False, foresees=foresees)
        assert again.facts(EXP) == context.facts(EXP)


def test_a_plan_takes_unread_data_from_their_sheet_and_remembers_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", unread)
    context = Context(STAGES, tmp_path, foresees=True)
    exp = pm.Experiment(dataset="cifar100", model="resnet18")
    changes = [{}, {"samples": 500}, {"rows": "fresh", "samples": 500}]
    found = [context.facts(exp.replace(**change)) for change in changes]

    assert {facts["classes"] for facts in found} == {100}
    assert len({facts["fingerprint"] for facts in found}) == 3
    assert list(context.store.entries()) == []


def test_a_file_that_changed_is_another_data_set(tmp_path):
    path = tmp_path / "own.npz"
    found = []
    for value in (0.0, 1.0):
        np.savez(path, features=np.full((400, 3), value), labels=np.arange(400) % 2)
        context = Context(STAGES, tmp_path / "store")
        exp = pm.Experiment(dataset=str(path), model="columnfc")
        found.append(context.facts(exp)["fingerprint"])
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
        found = context.facts(exp)["fingerprint"]
    assert found == context.dataset(exp).fingerprint != kept


def test_fresh_rows_are_a_data_set_of_their_own_for_each_seed(context):
    same = pm.Experiment(dataset="digits", model="columnfc", samples=200)
    experiments = [same, *(same.replace(rows="fresh", seed=seed) for seed in (0, 1))]
    found = [context.facts(exp)["fingerprint"] for exp in experiments]

    assert len(set(found)) == 3
    assert context.facts(same.replace(seed=1))["fingerprint"] == found[0]
    assert [context.dataset(exp).fingerprint for exp in experiments] == found
