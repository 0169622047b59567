"""The lab: what it gives, computed once, whatever ran before; damage is noticed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import prunemia as pm
from prunemia import attacks, data
from prunemia.lab import context, networks
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Step
from prunemia.pruning import cutting
from prunemia.store import DamagedArtefactWarning

TINY = {"dataset": "digits", "samples": 400, "model": "columnfc", "epochs": 3, "shadows": 2}
TINY |= {"finetune_epochs": 2, "draws": 2, "batch_size": 32}
EXP = pm.Experiment(**TINY)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A lab whose store holds the tiny experiment."""
    lab = pm.Lab(tmp_path_factory.mktemp("store"), device="cpu", progress=False)
    lab.attack(EXP, "conf")
    lab.attack(EXP, "conf", of="original")
    return lab


@pytest.fixture
def fresh(tmp_path):
    return pm.Lab(tmp_path / "store", device="cpu", progress=False)


def same(a, b):
    pairs = zip(a.arrays().values(), b.arrays().values(), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_what_was_computed_once_is_only_read(shared, monkeypatch):
    for name in ("train", "prune", "ask"):
        monkeypatch.setattr(networks, name, lambda *_: pytest.fail("computed again"))
    again = pm.Lab(shared.store.root, device="cpu", progress=False)

    assert again.attack(EXP, "conf").evaluation == shared.attack(EXP, "conf").evaluation
    assert same(again.signals(EXP).shadow, shared.signals(EXP).shadow)
    assert again.pruned(EXP).accuracy == shared.pruned(EXP).accuracy
    reads, get = [], type(again.store).get
    monkeypatch.setattr(type(again.store), "get", lambda *a: reads.append(a[1]) or get(*a))
    again.attack(EXP, "conf")
    assert reads == ["attack"]  # none of its networks


def test_generated_samples_are_kept_in_the_store(tmp_path, monkeypatch):
    exp = pm.Experiment(samples=400, rows="fresh", seed=3)
    first = pm.Lab(tmp_path, progress=False).dataset(exp)
    context._dataset.cache_clear()  # as in another process
    monkeypatch.setattr(data, "load", None)
    again = pm.Lab(tmp_path, progress=False).dataset(exp)
    assert (again.fingerprint, again.name) == (first.fingerprint, "mnist1d")


def test_the_parts_of_a_result(shared):
    pair = shared.signals(EXP)
    split = shared.split(EXP)

    # 400 rows: 200 to the victim, 90 to test; ceil(0.1818 * 110) = 20 validate, 90 train.
    assert [len(part) for part in (split.train, split.validation, split.test)] == [90, 20, 90]
    assert (len(pair.target), len(pair.shadow)) == (180, 2 * 180)
    assert set(pair.shadow.model) == {1, 2}
    assert pair.target.membership.sum() == 90
    # signals are what the network answers
    target, network, dataset = shared.target(EXP), shared.pruned(EXP), shared.dataset(EXP)
    assert np.array_equal(target.labels[:90], dataset.labels[split.train])
    expected = pm.query.posteriors(network.module, dataset.features[split.test])
    assert target.posteriors[90:] == pytest.approx(expected.numpy(), abs=1e-6)
    hits = (target.posteriors[90:].argmax(1) == target.labels[90:]).mean()
    assert hits == pytest.approx(network.accuracy["test"])


def test_pruned_weights_are_zero_in_what_is_stored(shared):
    network, table = shared.pruned(EXP), shared.accuracies(EXP)
    weights = [p for name, p in network.module.named_parameters() if name.endswith("weight")]
    zeros = (torch.cat([w.flatten() for w in weights]) == 0).float().mean().item()

    assert network.sparsity == table.loc[0, "sparsity"] == pytest.approx(zeros)
    assert network.sparsity == pytest.approx(0.7, abs=0.01)
    assert shared.original(EXP).sparsity == 0
    assert list(table.index) == [0, 1, 2]
    assert table.loc[0, "test"] == network.accuracy["test"]
    assert table.loc[2, "train"] == shared.pruned(EXP, network=2).accuracy["train"]


def test_no_attack_is_handed_the_targets_membership(shared, monkeypatch):
    def decide(_, target):
        assert target.membership is None
        return np.zeros(len(target))

    monkeypatch.setattr(attacks.get("conf"), "_decide", decide)
    monkeypatch.setitem(STAGES, "attack", replace(STAGES["attack"], version=-1))
    again = pm.Lab(shared.store.root, device="cpu", progress=False)
    assert not again.attack(EXP, "conf").scores.any()


def test_what_the_adversary_assumes_decides_the_shadows_alone(shared):
    half, original = shared.signals(EXP.replace(sparsity=0.5)), shared.signals(EXP, of="original")
    for assumed, shadow in (({"sparsity": 0.5}, half), ({"pruner": "none"}, original)):
        found = shared.signals(EXP.replace(adversary=pm.Adversary(**assumed)))
        assert same(found.target, shared.target(EXP))
        assert same(found.shadow, shadow.shadow)


def test_an_attack_is_fitted_once_for_all_victims_of_the_same_shadows(shared, monkeypatch):
    truth, other = shared.attack(EXP, "conf"), EXP.replace(sparsity=0.5)
    monkeypatch.setattr(attacks.get("conf"), "_fit", lambda *_: pytest.fail("fitted again"))
    found = shared.attack(other.replace(adversary=pm.Adversary(sparsity=0.7)), "conf")
    expected = shared.fitted(EXP, "conf").decision_function(shared.target(other))
    assert np.array_equal(found.scores, expected)
    assert not np.array_equal(found.scores, truth.scores)


def test_a_blind_attack_does_not_depend_on_what_the_adversary_assumes(shared):
    wrong = EXP.replace(adversary=pm.Adversary(sparsity=0.5))
    one, other = (Step("attack", each, attack="blindmi") for each in (EXP, wrong))
    assert shared.key(one) == shared.key(other)
    assert np.array_equal(shared.attack(wrong, "blindmi").scores, shared.value(one).scores)
    fit, signals = STAGES["attack"].needs(one)
    assert (signals.stage, signals.group) == ("signals", (0,))
    assert STAGES["fit"].needs(fit) == []


def test_cost_is_that_of_the_networks_and_measured_once(fresh, monkeypatch):
    few = {"model": "cnn2d", "width": 4, "epochs": 1, "finetune_epochs": 1}
    cheap = pm.Experiment(**TINY | few, pruner="l1structured", sparsity=0.5)
    costs = fresh.cost(cheap)
    monkeypatch.setattr(cutting, "cut", lambda *_: pytest.fail("cut again"))

    count = sum(p.numel() for p in fresh.original(cheap).module.parameters())
    assert costs["parameters"][["original", "pruned"]].tolist() == [count, count]
    assert count > costs.loc["cut", "parameters"]
    assert costs.loc["original", "macs"] > costs.loc["cut", "macs"]
    assert fresh.cost(cheap).equals(costs)


def test_compare_has_one_row_per_attack(shared):
    compared = shared.compare(EXP, attacks=["conf", "mentr"])
    assert list(compared["attack"]) == ["conf", "mentr"]
    evaluated = shared.attack(EXP, "conf").evaluation.row()
    assert compared.loc[0, list(evaluated)].to_dict() == pytest.approx(evaluated, nan_ok=True)


def test_refusals(shared):
    for call, sentence in (
        (
            lambda: shared.attack(EXP, "magic"),
            "attack: 'magic' is not allowed; allowed: conf, xent",
        ),
        (lambda: shared.attack(EXP, "conf", of="cut"), "of: 'cut' .*; allowed: pruned, original"),
        (lambda: shared.attack(EXP, "conf", depth=3), "conf: no option depth; allowed: none"),
        (lambda: shared.map([EXP], errors="ignore"), "errors: 'ignore' is not allowed"),
        (lambda: shared.pruned(EXP, 3), r"network: 3 is not .*: 0 \(the victim\) to 2"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()


def test_a_flipped_byte_is_noticed_and_repaired(shared):
    before, key = shared.target(EXP), shared.key(Step("signals", EXP))
    (path,) = shared.store.root.glob(f"signals/*/{key}/signals.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.warns(DamagedArtefactWarning, match="damaged"):
        after = shared.target(EXP)

    assert same(before, after)
    assert same(before, shared.target(EXP))


def test_results_do_not_depend_on_the_order_in_which_things_ran(fresh, shared):
    seeds = [EXP.replace(seed=1), EXP]
    found = [[lab.attack(each, "conf").scores for each in seeds] for lab in (fresh, shared)]
    assert all(map(np.array_equal, *found))
