"""Rounded, rewound and repeatedly pruned networks, and several releases attacked together."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import prunemia as pm
from prunemia.errors import UsageError
from prunemia.experiment import explain, seed_of
from prunemia.lab.networks import build
from prunemia.pruning.rounding import rounded
from prunemia.results.tables import released

EXP = pm.Experiment(
    dataset="mnist1d", model="columnfc", samples=500, epochs=6, shadows=2, sparsity=0.6
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> pm.Lab:
    """Give a lab with a store of its own."""
    return pm.Lab(tmp_path_factory.mktemp("releases"), device="cpu", progress=False)


def states(network) -> dict[str, torch.Tensor]:
    return dict(network.module.state_dict())


def test_a_rounded_release_is_the_pruned_network_rounded(lab):
    plain, coarse = lab.pruned(EXP), lab.pruned(EXP.replace(bits=3))
    for name, value in states(coarse).items():
        whole = states(plain)[name]
        expected = rounded(whole, 3) if name.endswith("weight") and whole.ndim > 1 else whole
        assert torch.equal(value, expected)
    assert coarse.sparsity == plain.sparsity
    signals = lab.target(EXP.replace(bits=3))
    assert not np.array_equal(signals.posteriors, lab.target(EXP).posteriors)


def test_rounding_before_pruning_leaves_fine_tuning_in_full_precision(lab):
    before = EXP.replace(bits=2, quantize="before")
    original = next(v for v in states(lab.original(before)).values() if v.ndim > 1)
    assert len(original[0].unique()) <= 3
    tuned = next(v for v in states(lab.pruned(before)).values() if v.ndim > 1)
    assert len(tuned[0].unique()) > 3


def test_rounds_share_the_epochs_and_reach_the_sparsity(lab):
    last = EXP.replace(stopping="last")
    turns = lab.pruned(last.replace(rounds=3))
    assert len(turns.history.loss) == len(lab.pruned(last).history.loss) == 3
    assert turns.sparsity == pytest.approx(lab.pruned(last).sparsity)


def test_a_rewound_network_starts_from_its_first_weights(lab):
    # Without a step of training to move them: learning is switched off.
    still = EXP.replace(learning_rate=1e-12, rewind=True, stopping="last", weight_decay=0)
    fresh = build(still, lab.dataset(still), seed_of(still.seed, "weights", 0)).state_dict()
    for name, value in states(lab.pruned(still)).items():
        if value.ndim > 1:
            kept = value != 0
            torch.testing.assert_close(value[kept], fresh[name][kept], atol=1e-6, rtol=0)
            assert kept.float().mean() == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("name", ["conf", "nncls", "samia"])
def test_one_release_alone_is_the_attack_itself(lab, name):
    quick = {"epochs": 1} if name != "conf" else {}
    together = lab.attack_releases([(EXP, "pruned")], name, **quick)
    alone = lab.attack(EXP, name, **quick)
    assert np.array_equal(together.scores, alone.scores)


def test_the_mean_over_two_releases_by_hand(lab):
    both = [(EXP, "original"), (EXP, "pruned")]
    pair = lab.releases(both)
    original, pruned = (lab.target(EXP, of) for of in ("original", "pruned"))
    rows = np.arange(len(original))
    assert np.array_equal(pair.target.each[1].posteriors, pruned.posteriors)
    mean = (original.posteriors[rows, original.labels] + pruned.posteriors[rows, pruned.labels]) / 2
    scores = lab.attack_releases(both, "conf").scores
    for label in np.unique(original.labels):
        part = original.labels == label  # per class a constant threshold is taken off
        offsets = scores[part] - mean[part]
        assert np.ptp(offsets) < 1e-5


def test_a_network_and_its_rounded_copy_are_judged_on_the_same_samples(lab):
    both = [(EXP, "pruned"), (EXP.replace(bits=2), "pruned")]
    result = lab.attack_releases(both, "nncls", epochs=2)
    assert result.scores.shape == lab.target(EXP).labels.shape
    assert np.array_equal(result.membership, lab.target(EXP).membership)


def test_releases_that_do_not_belong_together_are_refused(lab):
    with pytest.raises(UsageError, match="releases: number 2 has seed 1; allowed: 0"):
        lab.releases([(EXP, "pruned"), (EXP.replace(seed=1), "pruned")])
    with pytest.raises(UsageError, match="number 2 comes twice"):
        lab.releases([(EXP, "pruned"), (EXP, "pruned")])
    with pytest.raises(ValueError, match="'blindmi' takes one release alone; allowed with several"):
        lab.attack_releases([(EXP, "original"), (EXP, "pruned")], "blindmi")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bits": 9}, "bits: 9"),
        ({"rounds": 4}, "rounds: 4 is not allowed with 3 epochs of fine-tuning"),
        ({"rounds": 2, "defense": "dp"}, "ε would cover the last round only"),
        ({"quantize": "before"}, "'before' needs bits, which is None"),
    ],
)
def test_what_cannot_be_released_is_one_sentence(changes, sentence):
    with pytest.raises(ValidationError) as caught:
        EXP.replace(**changes)
    assert sentence in explain(caught.value)


def test_the_table_has_each_release_alone_and_together(lab):
    only = ("original", "pruned", "original + pruned", "pruned, 4 bits")
    table = released(lab, [EXP], ["conf"], only)
    assert set(table["release"]) == set(only)
    row = table.query("release == 'pruned, 4 bits' and measure == 'accuracy'").iloc[0]
    assert row["value"] == lab.attack(EXP.replace(bits=4), "conf").evaluation.accuracy.value
    assert row["test_accuracy"] == lab.pruned(EXP.replace(bits=4)).accuracy["test"]
    both = table.query("release == 'original + pruned' and measure == 'AUC'")
    assert set(both["attack"]) == {"conf", "conf, difference", "conf, change"}
