"""Rounded, rewound and repeatedly pruned networks, and several releases attacked together."""

import numpy as np
import pytest
import torch

import prunemia as pm
from prunemia.errors import UsageError
from prunemia.experiment import seed_of
from prunemia.lab.networks import build
from prunemia.lab.steps import Step
from prunemia.pruning import rounded
from prunemia.results.tables import holdings, released

EXP = pm.Experiment(model="columnfc", samples=500, epochs=6, shadows=2, sparsity=0.6)
SMALL = pm.Experiment(samples=500, width=4, epochs=4, finetune_epochs=4, shadows=2, sparsity=0.6)


def states(network):
    return {name: p for name, p in network.module.state_dict().items() if p.is_floating_point()}


def matrices(network):
    return [value for value in states(network).values() if value.ndim > 1]


def test_a_rounded_release_is_the_pruned_network_rounded(lab):
    plain, coarse = lab.pruned(EXP), lab.pruned(EXP.replace(bits=3))
    for name, value in states(coarse).items():
        whole = states(plain)[name]
        expected = rounded(whole, 3) if name.endswith("weight") and whole.ndim > 1 else whole
        assert torch.equal(value, expected)
    assert coarse.sparsity == plain.sparsity
    assert coarse.history == plain.history
    signals = lab.target(EXP.replace(bits=3))
    assert not np.array_equal(signals.posteriors, lab.target(EXP).posteriors)
    # its accuracies are its own
    test, dataset = lab.split(EXP).test, lab.dataset(EXP)
    answers = pm.query.posteriors(coarse.module, dataset.features[test]).numpy().argmax(axis=1)
    assert coarse.accuracy["test"] == pytest.approx((answers == dataset.labels[test]).mean())


def test_rounding_before_pruning_leaves_fine_tuning_in_full_precision(lab):
    before = EXP.replace(bits=2, quantize="before")
    assert len(matrices(lab.original(before))[0][0].unique()) <= 3
    assert len(matrices(lab.pruned(before))[0][0].unique()) > 3


def test_rounds_share_the_epochs_and_in_them_what_is_gone_stays_gone(lab):
    last = EXP.replace(stopping="last")
    turns = lab.pruned(last.replace(rounds=3))
    assert len(turns.history.loss) == len(lab.pruned(last).history.loss) == 3
    assert turns.sparsity == pytest.approx(lab.pruned(last).sparsity)
    # The first of two rounds leaves sqrt(0.4) of the weights; what it removed is zero in the end.
    exp = SMALL.replace(rounds=2, stopping="last")
    first, _ = pm.pruning.schedule(exp.sparsity, exp.tuning_epochs, 2)
    once = exp.replace(rounds=1, sparsity=first[0], finetune_epochs=first[1])
    pairs = zip(matrices(lab.pruned(once)), matrices(lab.pruned(exp)), strict=True)
    assert not any(((early == 0) & (late != 0)).any() for early, late in pairs)
    assert lab.pruned(once).sparsity < lab.pruned(exp).sparsity


def test_a_rewound_network_starts_from_its_first_weights(lab):
    # Without a step of training to move them: learning is switched off.
    still = EXP.replace(learning_rate=1e-12, rewind=True, stopping="last", weight_decay=0)
    fresh = build(still, lab, seed_of(still.seed, "weights", 0)).state_dict()
    for name, value in states(lab.pruned(still)).items():
        if value.ndim > 1:
            kept = value != 0
            torch.testing.assert_close(value[kept], fresh[name][kept], atol=1e-6, rtol=0)
            assert kept.float().mean() == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("change", [{"rounds": 2}, {"rounds": 2, "rewind": True}])
def test_stacked_networks_equal_networks_one_by_one(lab, change):
    stacked, *alone = (
        lab.value(Step("pruned", SMALL.replace(**change), "pruned", group))
        for group in ((1, 2), (1,), (2,))
    )
    for one, (two,) in zip(stacked, alone, strict=True):
        assert len(one.history.loss) == len(two.history.loss)
        torch.testing.assert_close(states(one), states(two), atol=2e-3, rtol=1e-3)
        for name, value in states(one).items():
            assert torch.equal(value == 0, states(two)[name] == 0)


@pytest.mark.parametrize("change", [{"rounds": 2}, {"rewind": True}])
def test_the_control_goes_through_the_same_and_removes_nothing(lab, change):
    control = lab.pruned(SMALL.replace(pruner="dense", stopping="last", **change))
    history = control.history
    assert (control.sparsity, len(history.loss), history.best_epoch) == (0, 4, 3)


@pytest.mark.parametrize("name", ["conf", "nncls", "samia"])
def test_one_release_alone_is_the_attack_itself(lab, name):
    quick = {"epochs": 1} if name != "conf" else {}
    together = lab.attack_releases([(EXP, "pruned")], name, **quick)
    alone = lab.attack(EXP, name, **quick)
    assert np.array_equal(together.scores, alone.scores)


def test_the_mean_over_two_releases_by_hand(lab):
    both = [(EXP, "original"), (EXP, "pruned")]
    found, labels = lab.releases(both).target.each, lab.target(EXP).labels
    assert np.array_equal(found[1].posteriors, lab.target(EXP).posteriors)
    mean = sum(signals.posteriors[np.arange(len(labels)), labels] for signals in found) / 2
    result = lab.attack_releases(both, "conf")
    assert np.array_equal(result.membership, lab.target(EXP).membership)
    for label in np.unique(labels):  # per class a constant threshold is taken off
        assert np.ptp((result.scores - mean)[labels == label]) < 1e-5


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ((EXP.replace(seed=1), "pruned"), "releases: they differ in seed; allowed: versions"),
        # other samples: found out after all networks are trained
        ((EXP.replace(rows="fresh"), "pruned"), "they differ in rows"),
        ((EXP, "original"), "one of them twice"),
        ((EXP, "pruned"), "'blindmi' takes one release alone; allowed with several"),
    ],
)
def test_releases_that_do_not_belong_together_are_refused(tmp_path, second, sentence):
    empty = pm.Lab(tmp_path, progress=False)
    with pytest.raises((ValueError, UsageError), match=sentence):
        empty.attack_releases([(EXP, "original"), second], "blindmi")
    assert not list(empty.store.entries())


def test_the_table_has_each_release_alone_and_together(lab):
    only = ("original", "pruned", "original + pruned", "pruned, 4 bits")
    table = released(lab, [EXP], ["conf"], only)
    assert set(table["release"]) == set(only)
    row = table.query("release == 'pruned, 4 bits' and measure == 'accuracy'").iloc[0]
    assert row["value"] == lab.attack(EXP.replace(bits=4), "conf").evaluation.accuracy.value
    assert row["test_accuracy"] == lab.pruned(EXP.replace(bits=4)).accuracy["test"]
    both = table.query("release == 'original + pruned' and measure == 'AUC'")
    assert set(both["attack"]) == {"conf", "conf, difference", "conf, change"}


def test_what_is_compared_at_equal_epochs_keeps_the_last_of_them():
    exp = pm.Experiment(dataset="location", model="columnfc")
    held = holdings(exp)
    shot, turns, longer = (held[n][0][0] for n in ("one shot", "rounds", "rewound, longer"))
    assert [shot.rounds, turns.rounds] == [1, 4]
    assert [e.tuning_epochs for e in (shot, turns, longer)] == [25, 25, 50]
    assert {e.recipe.warmup for e in (shot, turns, longer)} == {50}
    assert held["dense, rewound"][0][0].sparsity == 0
    other = holdings(exp.replace(stopping="published"))["rounds"][0][0]
    assert (other.stopping, other.recipe.warmup, other.rounds) == ("published", 0, turns.rounds)
    assert held["original + pruned"] == [(exp, "original"), (exp, "pruned")]
    assert [e.sparsity for e, _ in held["0.5 + 0.7 + 0.9"]] == [0.5, 0.7, 0.9]
