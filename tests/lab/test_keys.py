"""Keys: what enters them, what does not, and that stored results of before are still found."""

import dataclasses

import pytest

import prunemia as pm
from prunemia.experiment import content_key
from prunemia.lab.fingerprints import Facts
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Step, groups, shadow_signals

EXP = pm.Experiment(dataset="digits", model="columnfc", samples=300, shadows=3)


@pytest.fixture
def pipeline(tmp_path):
    return Pipeline(tmp_path, device="cpu", progress=False)


def test_the_keys_of_networks_and_signals_by_hand(pipeline):
    # The hash of: stage, version, what is the stage's own, and how networks are fitted.
    fingerprint = pipeline.facts(EXP).fingerprint
    fitting = [6, 128, 1e-3, 5e-4, "float32"]
    original = content_key(
        ["original", 1, [fingerprint, 0, [1, 2, 3], "columnfc", None, 50], fitting]
    )
    pruned = content_key(
        ["pruned", 1, [original, "l1unstructured", 0.7, "none", None, 25, 15], fitting]
    )

    assert pipeline.key(Step("original", EXP, "original", (1, 2, 3))) == original
    assert pipeline.key(Step("pruned", EXP, "pruned", (1, 2, 3))) == pruned
    assert pipeline.key(Step("signals", EXP, "pruned", (1, 2, 3))) == content_key(
        [2, pruned, 1e-3, 10]
    )


@pytest.mark.parametrize(
    ("exp", "keys"),
    [
        (
            pm.Experiment(),
            ["5d07db465a49c5706998f36fc8dbfd0a", "8bbdf6bb70cb7e93c2fa8fb685744d09",
             "c14b67a413c3eca87952a04115368755", "68ad11efec664d56cad415ae80cf9628"],
        ),
        (
            EXP,
            ["10392c1156813cec0ba75b620035b7aa", "6fe3b3f15289ecce51c9e3ad4b12ef27",
             "d40033aea690e76a6f83ea0a73681c64", "8d847c101e320a014f216a807aecb1cd"],
        ),
    ],
)  # fmt: skip
def test_keys_are_those_of_before_there_were_fresh_rows(pipeline, exp, keys):
    steps = [Step("original", exp, "original"), Step("pruned", exp), Step("signals", exp)]
    steps.append(Step("attack", exp, attack="conf"))

    assert [pipeline.key(step) for step in steps] == keys
    fresh = [dataclasses.replace(step, exp=exp.replace(rows="fresh")) for step in steps]
    assert not set(keys) & {pipeline.key(step) for step in fresh}


@pytest.mark.parametrize("model", ["resnet18", "vgg16", "densenet121"])
def test_the_published_width_stays_out_of_keys(pipeline, model, monkeypatch):
    # Stored networks are those of before there was a choice: their keys have no width.
    monkeypatch.setattr(pipeline, "facts", lambda _: Facts("x", 60_000, (3, 32, 32), 10))
    exp = pm.Experiment(dataset="cifar10", model=model)
    key, given, narrow = (
        pipeline.key(Step("original", exp.replace(width=width), "original"))
        for width in (None, 64, 16)
    )
    own = ["x", 0, [0], model]
    fitting = [6, 128, 1e-3, 5e-4, "float32"]

    assert key == given == content_key(["original", 1, [*own, None, 100], fitting])
    assert narrow == content_key(["original", 1, [*own, 16, 100], fitting])


def test_the_key_of_an_attack_holds_its_fit_and_its_target(pipeline):
    shadows = [pipeline.key(step) for step in shadow_signals(EXP, "pruned")]
    fit = content_key([1, "top1conf", {"statistic": "max"}, shadows])
    target = pipeline.key(Step("signals", EXP))

    assert pipeline.key(Step("fit", EXP, "pruned", (), "top1conf")) == fit
    assert pipeline.key(Step("attack", EXP, attack="top1conf")) == content_key([2, fit, target])


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"sparsity": 0.5}, {"original"}),
        ({"pruner": "l1unstructured"}, {"original", "pruned", "signals"}),
        ({"draws": 3}, {"original", "pruned"}),
        ({"standardize": True}, set()),
        ({"seed": 1}, set()),
        ({"finetune_epochs": 3}, {"original"}),
        ({"shadows": 2}, {"original", "pruned", "signals"}),
    ],
)
def test_a_change_moves_the_keys_of_what_depends_on_it_alone(pipeline, change, same):
    def keys(exp):
        return {stage: pipeline.key(Step(stage, exp, "pruned")) for stage in
                ("original", "pruned", "signals")}  # fmt: skip

    before = keys(EXP)
    after = keys(EXP.replace(**change))

    assert {stage for stage in before if before[stage] == after[stage]} == same


def test_a_raised_version_moves_the_key_and_all_that_need_it(pipeline, tmp_path, monkeypatch):
    steps = [Step("original", EXP, "original"), Step("pruned", EXP), Step("signals", EXP)]
    before = [pipeline.key(step) for step in steps]
    monkeypatch.setitem(
        STAGES._entries, "pruned", dataclasses.replace(STAGES["pruned"], version=99)
    )
    fresh = Pipeline(tmp_path, device="cpu", progress=False)
    after = [fresh.key(step) for step in steps]

    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]


def test_another_kind_of_device_has_results_of_its_own(pipeline):
    cpu = pipeline.key(Step("signals", EXP))
    pipeline.device = type("Device", (), {"type": "cuda"})()
    other = type(pipeline._keys)(pipeline)

    assert other.of(Step("signals", EXP)) != cpu


def test_networks_are_trained_in_groups():
    assert groups(EXP) == [(0,), (1, 2, 3)]
    assert groups(EXP.replace(shadows=20))[1:] == [tuple(range(1, 17)), (17, 18, 19, 20)]
    assert groups(EXP.replace(standardize=True)) == [(0,), (1,), (2,), (3,)]
    assert groups(EXP.replace(model="cnn2d")) == [(0,), (1,), (2,), (3,)]
