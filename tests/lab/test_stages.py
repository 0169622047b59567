"""The table of stages: what each needs, what its key depends on, what it is called."""

import pickle

import pytest

import prunemia as pm
from prunemia.attacks import get as attack_class
from prunemia.experiment import content_key
from prunemia.lab.context import Context
from prunemia.lab.stages import STAGES, Original, Pruned
from prunemia.lab.steps import Step, groups, release_step, shadow_signals
from prunemia.registry import DEFENSES, NETWORKS

EXP = pm.Experiment(dataset="digits", model="columnfc", samples=300, shadows=3)
NAMES = ("original", "pruned", "signals", "attack")


@pytest.fixture
def context(tmp_path):
    return Context(STAGES, tmp_path, device="cpu", progress=False)


def step(stage: str, exp=EXP) -> Step:
    return Step(stage, exp, "original" if stage == "original" else "pruned", attack="conf")


def keys(context, exp):
    return {stage: context.key(step(stage, exp)) for stage in NAMES}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_needs_stages_that_stand_before_it_and_has_a_title(stage, context):
    order = list(STAGES)
    needs = STAGES[stage].needs(step(stage))

    assert all(order.index(part.stage) < order.index(stage) for part in needs)
    assert context.title(step(stage)).endswith("seed 0")


def test_titles_say_which_networks(context):
    far = pm.data.OWN + 2
    short = ", digits/columnfc, l1unstructured 0.7, seed 0"
    assert context.title(step("original")) == "training the victim, digits/columnfc, seed 0"
    assert context.title(Step("pruned", EXP, group=(1, 2))) == f"pruning shadow networks 1–2{short}"
    assert context.title(Step("signals", EXP, group=(far,))) == (
        f"querying reference network 3{short}"
    )
    exp = EXP.replace(defense="ppb", rounds=2, rewind=True, bits=4)
    assert context.title(Step("fit", exp, group=(), attack="conf")) == (
        "fitting conf, digits/columnfc, l1unstructured 0.7, ppb 4, "
        "2 rounds, rewound, 4 bits, seed 0"
    )


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
    before = keys(context, EXP)
    for name, value in moved.items():
        assert keys(context, EXP.replace(**{name: value})) != before, name
    ppb, wide = EXP.replace(defense="ppb"), pm.Experiment(samples=300)
    assert keys(context, ppb.replace(strength=2.0)) != keys(context, ppb)
    assert keys(context, ppb.replace(defense="dp", whole=True)) != keys(
        context, ppb.replace(defense="dp")
    )
    assert keys(context, wide.replace(width=4)) != keys(context, wide)
    few = EXP.replace(bits=4)
    assert keys(context, few.replace(quantize="before")) != keys(context, few)
    assert len(pm.Experiment.model_fields) == len(moved) + 4


def test_a_raised_version_moves_the_key_and_all_that_need_it(context, monkeypatch):
    def moved():
        fresh = keys(context.changed(progress=False), EXP)
        return {stage for stage in before if before[stage] != fresh[stage]}

    before = keys(context, EXP)
    cases = [
        (lambda: monkeypatch.setattr(Pruned, "version", 99), {"pruned", "signals", "attack"}),
        (lambda: monkeypatch.setattr(attack_class("conf"), "version", 99), {"attack"}),
        (lambda: raised(NETWORKS, EXP.model), set(NAMES)),
        (lambda: raised(DEFENSES, "none"), {"pruned", "signals", "attack"}),
        (lambda: monkeypatch.setattr(Original, "version", 99), set(NAMES)),
    ]

    def raised(table, name):
        kind = table[name].__class__(**{**vars(table[name]), "version": 99})
        monkeypatch.setitem(table, name, kind)

    for change, expected in cases:
        change()
        assert moved() == expected
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


@pytest.mark.parametrize("of", ["both", "", None])
def test_which_network_is_pruned_or_original(of):
    with pytest.raises(ValueError, match="allowed: pruned, original"):
        shadow_signals(EXP, of)


def test_a_step_with_releases_travels_to_other_processes():
    held = [(EXP, "original"), (EXP.replace(bits=4), "pruned")]
    one = release_step(held, "nncls", {"epochs": 2})

    assert pickle.loads(pickle.dumps(one)) == one
    needs = STAGES["releases"].needs(one)
    assert [part.exp.bits for part in needs].count(4) == 2  # shadows, and the victim
