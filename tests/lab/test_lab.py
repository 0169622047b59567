"""The lab: what it gives, computed once, whatever ran before; damage is noticed."""

from dataclasses import replace

import numpy as np
import pytest

import prunemia as pm
from prunemia import attacks
from prunemia.lab import networks
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Step
from prunemia.pruning import cutting
from prunemia.store import DamagedArtefactWarning

TINY = {"dataset": "digits", "samples": 400, "model": "columnfc", "epochs": 3, "shadows": 2}
TINY |= {"finetune_epochs": 2, "draws": 2, "batch_size": 32}


@pytest.fixture(scope="module")
def exp():
    return pm.Experiment(**TINY)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, exp):
    """A lab whose store holds the tiny experiment."""
    lab = pm.Lab(tmp_path_factory.mktemp("store"), device="cpu", progress=False)
    lab.attack(exp, "conf")
    lab.attack(exp, "conf", of="original")
    return lab


@pytest.fixture
def fresh(tmp_path):
    return pm.Lab(tmp_path / "store", device="cpu", progress=False)


def same(a, b):
    pairs = zip(a.arrays().values(), b.arrays().values(), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_what_was_computed_once_is_only_read(shared, exp, monkeypatch):
    for name in ("train", "prune", "ask"):
        monkeypatch.setattr(networks, name, lambda *_: pytest.fail("computed again"))
    again = pm.Lab(shared.store.root, device="cpu", progress=False)

    assert again.attack(exp, "conf").evaluation == shared.attack(exp, "conf").evaluation
    assert same(again.signals(exp).shadow, shared.signals(exp).shadow)
    assert again.pruned(exp).accuracy == shared.pruned(exp).accuracy
    reads, get = [], type(again.store).get
    monkeypatch.setattr(type(again.store), "get", lambda *a: reads.append(a[1]) or get(*a))
    again.attack(exp, "conf")
    assert reads == ["attack"]  # none of its networks


def test_another_sparsity_prunes_the_same_original(shared, exp, monkeypatch):
    monkeypatch.setattr(networks, "train", lambda *_: pytest.fail("trained again"))
    assert shared.pruned(exp.replace(sparsity=0.5)).sparsity == pytest.approx(0.5, abs=0.01)


def test_the_parts_of_a_result(shared, exp):
    pair = shared.signals(exp)
    split = shared.split(exp)

    # 400 rows: 200 to the victim, 90 to test; ceil(0.1818 * 110) = 20 validate, 90 train.
    assert [len(part) for part in (split.train, split.validation, split.test)] == [90, 20, 90]
    assert (len(pair.target), len(pair.shadow)) == (180, 2 * 180)
    assert set(pair.shadow.model) == {1, 2}
    assert pair.target.membership.sum() == 90
    assert np.array_equal(pair.target.labels[:90], shared.dataset(exp).labels[split.train])
    # signals are what the network answers
    target, network = shared.target(exp), shared.pruned(exp)
    expected = pm.query.posteriors(network.module, shared.dataset(exp).features[split.test[:5]])
    assert target.posteriors[90:95] == pytest.approx(expected.numpy(), abs=1e-6)
    hits = (target.posteriors[90:].argmax(1) == target.labels[90:]).mean()
    assert hits == pytest.approx(network.accuracy["test"])


def test_pruned_weights_are_zero_in_what_is_stored(shared, exp):
    network, table = shared.pruned(exp), shared.accuracies(exp)
    weights = [p for name, p in network.module.named_parameters() if name.endswith("weight")]
    zeros = sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)

    assert network.sparsity == table.loc[0, "sparsity"] == pytest.approx(zeros)
    assert network.sparsity == pytest.approx(0.7, abs=0.01)
    assert shared.original(exp).sparsity == 0
    assert list(table.index) == [0, 1, 2]
    assert table.loc[0, "test"] == network.accuracy["test"]
    assert table.loc[2, "train"] == shared.pruned(exp, network=2).accuracy["train"]


def test_no_attack_is_handed_the_targets_membership(shared, exp, monkeypatch):
    seen = []
    monkeypatch.setattr(
        attacks.get("conf"), "_decide", lambda _, x: seen.append(x.membership) or np.zeros(len(x))
    )
    monkeypatch.setitem(STAGES, "attack", replace(STAGES["attack"], version=-1))
    pm.Lab(shared.store.root, device="cpu", progress=False).attack(exp, "conf")
    assert seen == [None]


def test_what_the_adversary_assumes_decides_the_shadows_alone(shared, exp):
    wrong = exp.replace(adversary=pm.Adversary(sparsity=0.5))
    unpruned = exp.replace(adversary=pm.Adversary(pruner="none"))
    truth, half = shared.signals(exp), shared.signals(exp.replace(sparsity=0.5))
    assert same(shared.signals(wrong).target, truth.target)
    assert same(shared.signals(wrong).shadow, half.shadow)
    assert same(shared.signals(unpruned).target, truth.target)
    assert same(shared.signals(unpruned).shadow, shared.signals(exp, of="original").shadow)


def test_an_attack_is_fitted_once_for_all_victims_that_the_same_shadows_are_turned_on(
    shared, exp, monkeypatch
):
    guess = {"adversary": pm.Adversary(sparsity=0.7)}
    truth, wrong = shared.attack(exp, "conf"), exp.replace(sparsity=0.5, **guess)
    monkeypatch.setattr(attacks.get("conf"), "_fit", lambda *_: pytest.fail("fitted again"))
    found = shared.attack(wrong, "conf")
    target = shared.target(exp.replace(sparsity=0.5))
    assert np.array_equal(found.scores, shared.fitted(exp, "conf").decision_function(target))
    assert not np.array_equal(found.scores, truth.scores)


def test_a_blind_attack_does_not_depend_on_what_the_adversary_assumes(shared, exp):
    truth = shared.attack(exp, "blindmi")
    stored = len(list(shared.store.root.glob("attack/*/*")))

    wrong = shared.attack(exp.replace(adversary=pm.Adversary(sparsity=0.5)), "blindmi")

    assert np.array_equal(wrong.scores, truth.scores)
    assert len(list(shared.store.root.glob("attack/*/*"))) == stored
    fit, signals = STAGES["attack"].needs(Step("attack", exp, attack="blindmi"))
    assert (signals.stage, signals.group) == ("signals", (0,))
    assert STAGES["fit"].needs(fit) == []


def test_cost_is_that_of_the_networks_and_measured_once(fresh, monkeypatch):
    few = {"model": "cnn2d", "width": 4, "epochs": 1, "finetune_epochs": 1}
    exp = pm.Experiment(**TINY | few, pruner="l1structured", sparsity=0.5)
    costs = fresh.cost(exp)
    monkeypatch.setattr(cutting, "cut", lambda *_: pytest.fail("cut again"))

    count = sum(p.numel() for p in fresh.original(exp).module.parameters())
    assert costs["parameters"][["original", "pruned"]].tolist() == [count, count]
    assert count > costs.loc["cut", "parameters"]
    assert costs.loc["original", "macs"] > costs.loc["cut", "macs"]
    assert fresh.cost(exp).equals(costs)


def test_compare_has_one_row_per_attack(shared, exp):
    compared = shared.compare(exp, attacks=["conf", "mentr"])
    assert list(compared["attack"]) == ["conf", "mentr"]
    assert compared.loc[0, "accuracy"] == shared.attack(exp, "conf").evaluation.accuracy.value
    assert {"accuracy_low", "tpr@0.01"} <= set(compared.columns)


def test_refusals(shared, exp):
    with pytest.raises(ValueError, match="attack: 'magic' is not allowed; allowed: conf, xent"):
        shared.attack(exp, "magic")
    with pytest.raises(ValueError, match="of: 'cut' is not allowed; allowed: pruned, original"):
        shared.attack(exp, "conf", of="cut")
    with pytest.raises(ValueError, match="conf: no option depth; allowed: none"):
        shared.attack(exp, "conf", depth=3)
    with pytest.raises(ValueError, match="errors: 'ignore' is not allowed"):
        shared.map([exp], ["conf"], errors="ignore")
    with pytest.raises(ValueError, match=r"network: 3 is not .*: 0 \(the victim\) to 2"):
        shared.pruned(exp, 3)


def test_a_flipped_byte_is_noticed_and_repaired(shared, exp):
    before = shared.target(exp)
    key = shared.key(Step("signals", exp))
    (path,) = shared.store.root.glob(f"signals/*/{key}/signals.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.warns(DamagedArtefactWarning, match="damaged"):
        after = shared.target(exp)

    assert same(before, after)
    assert same(before, shared.target(exp))


def test_results_do_not_depend_on_the_order_in_which_things_ran(fresh, shared, exp):
    other = fresh.attack(exp.replace(seed=1), "conf").scores
    last = fresh.attack(exp, "conf").scores
    assert np.array_equal(last, shared.attack(exp, "conf").scores)
    assert np.array_equal(other, shared.attack(exp.replace(seed=1), "conf").scores)
