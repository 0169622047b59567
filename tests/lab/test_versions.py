"""Versions of a network in the pipeline: keys, stacks, controls, and the table of all of them."""

import pickle

import pytest
import torch

import prunemia as pm
from prunemia.errors import UsageError
from prunemia.lab import releases as joint
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.steps import Step
from prunemia.results import tables

EXP = pm.Experiment(samples=500, width=4, epochs=4, finetune_epochs=4, shadows=2, sparsity=0.6)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return pm.Lab(tmp_path_factory.mktemp("store"), device="cpu", progress=False)


def weights(network):
    return {name: p for name, p in network.module.state_dict().items() if p.is_floating_point()}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"rounds": 2}, {"original"}),
        ({"rewind": True}, {"original"}),
        ({"bits": 4}, set()),
        ({"bits": 4, "quantize": "before"}, set()),
    ],
)
def test_a_version_moves_the_keys_of_what_it_changes(lab, change, same):
    def keys(exp):
        return {s: lab.pipeline.key(Step(s, exp, s)) for s in ("original", "pruned")}

    before, after = keys(EXP), keys(EXP.replace(**change))
    assert {stage for stage in before if before[stage] == after[stage]} == same


def test_all_versions_have_keys_of_their_own(lab):
    changes = [
        {}, {"rounds": 2}, {"rounds": 4}, {"rewind": True}, {"rounds": 2, "rewind": True},
        {"bits": 4}, {"bits": 2}, {"bits": 4, "quantize": "before"}, {"bits": 4, "rounds": 2},
    ]  # fmt: skip
    keys = {lab.pipeline.key(Step("pruned", EXP.replace(**change))) for change in changes}
    assert len(keys) == len(changes)


@pytest.mark.parametrize("change", [{"rounds": 3}, {"rewind": True}, {"rounds": 2, "rewind": True}])
def test_stacked_networks_equal_networks_one_by_one(tmp_path, change):
    pipeline = Pipeline(tmp_path, device="cpu", progress=False)
    exp = EXP.replace(**change)
    stacked = pipeline.value(Step("pruned", exp, "pruned", (1, 2)))
    alone = [pipeline.value(Step("pruned", exp, "pruned", (i,)))[0] for i in (1, 2)]

    for one, two in zip(stacked, alone, strict=True):
        assert len(one.history.loss) == len(two.history.loss)
        for name, value in weights(one).items():
            torch.testing.assert_close(value, weights(two)[name], atol=2e-3, rtol=1e-3)
            assert torch.equal(value == 0, weights(two)[name] == 0)


def test_in_rounds_what_is_gone_stays_gone(lab):
    # The first of two rounds leaves sqrt(0.4) of the weights; what it removed is zero in the end.
    exp = EXP.replace(rounds=2, stopping="last")
    first, _ = pm.pruning.schedule(exp.sparsity, exp.tuning_epochs, 2)
    once = exp.replace(rounds=1, sparsity=first[0], finetune_epochs=first[1])
    early, late = weights(lab.pruned(once)), weights(lab.pruned(exp))

    gone = [(early[n] == 0) & (late[n] != 0) for n in early if early[n].ndim > 1]
    assert sum(int(part.sum()) for part in gone) == 0
    assert lab.pruned(once).sparsity < lab.pruned(exp).sparsity


@pytest.mark.parametrize("change", [{"rounds": 2}, {"rewind": True}])
def test_the_control_goes_through_the_same_and_removes_nothing(lab, change):
    control = lab.pruned(EXP.replace(pruner="dense", stopping="last", **change))

    assert control.sparsity == 0
    assert len(control.history.loss) == 4
    assert control.history.best_epoch == 3


def test_accuracies_of_a_rounded_network_are_its_own(lab):
    exp = EXP.replace(bits=2)
    network, parts, dataset = lab.original(exp), lab.split(exp), lab.dataset(exp)
    x = torch.from_numpy(dataset.features[parts.test])
    right = network.module(x).argmax(dim=1).numpy() == dataset.labels[parts.test]

    assert network.accuracy["test"] == pytest.approx(right.mean())
    assert network.history == lab.original(EXP).history


def test_canaries_are_not_planted_in_rounded_networks(lab):
    with pytest.raises(UsageError, match="bits: 4 is not allowed with canaries"):
        lab.canaries(EXP.replace(bits=4))


def test_a_step_with_releases_travels_to_other_processes():
    step = joint.step([(EXP, "original"), (EXP.replace(bits=4), "pruned")], "nncls", {"epochs": 2})
    assert pickle.loads(pickle.dumps(step)) == step
    assert [part.exp.bits for part in joint.needs(step)].count(4) == 2  # shadows, and the victim


def test_what_is_compared_at_equal_epochs_keeps_the_last_of_them():
    exp = pm.Experiment(dataset="location", model="columnfc")
    held = tables.holdings(exp)
    shot, turns, longer = (held[n][0][0] for n in ("one shot", "rounds", "rewound, longer"))

    assert shot.recipe.warmup >= shot.tuning_epochs - 1
    assert (shot.rounds, turns.rounds) == (1, 4)
    assert shot.tuning_epochs == turns.tuning_epochs == 25
    assert longer.tuning_epochs == longer.recipe.warmup == 50
    assert held["dense, rewound"][0][0].sparsity == 0
    assert held["original + pruned"] == [(exp, "original"), (exp, "pruned")]
    assert [e.sparsity for e, _ in held["0.5 + 0.7 + 0.9"]] == [0.5, 0.7, 0.9]
