"""References: who trained on what, the victim's samples asked, every network a victim in turn."""

import numpy as np
import pytest
import torch

import prunemia as pm
from prunemia import data
from prunemia.data import OWN
from prunemia.errors import UsageError
from prunemia.experiment import Experiment
from prunemia.lab import references
from prunemia.lab.references import InTurn, References

TINY = Experiment(samples=600, width=4, epochs=3, finetune_epochs=2, shadows=3)


def test_all_networks_of_a_stack_train_on_as_many_samples():
    # of 610: 136 train, 31 validate, 138 test
    odd = data.load("mnist1d", 610)
    victim, first, second, other = (data.split(odd, 0, i) for i in (0, OWN, OWN + 1, OWN + 2))
    assert len(first.train) == len(second.train) == len(victim.train) == 136
    assert set(second.train) < set(first.test)
    assert set(second.test) > set(first.train)
    assert not set(second.train) & set(second.test)
    assert np.array_equal(first.validation, second.validation)
    assert set(first.train) not in (set(other.train), set(other.test))


@pytest.mark.parametrize("of", ["original", "pruned"])
def test_references_answer_the_victims_samples(lab, of):
    for setting in ("offline", "online"):
        found = lab.references(TINY, of, 4, setting)
        target = lab.target(TINY, of)
        parts = lab.split(TINY)

        assert np.array_equal(found.samples, np.concatenate([parts.train, parts.test]))
        assert np.array_equal(found.labels, target.labels)
        assert found.log_odds.shape == found.trained_on.shape == (4, len(target))
        p = found.posteriors[:, np.arange(len(target)), found.labels]
        assert np.allclose(p, 1 / (1 + np.exp(-found.log_odds)), atol=1e-6)
    assert not lab.references(TINY, of, 4, "offline").trained_on.any()
    counts = found.trained_on.sum(axis=0)
    assert set(counts) <= {0, 1, 2}  # two pairs: once each, but for validation samples
    assert counts.mean() == pytest.approx(2 * 0.9, abs=0.1)
    # a reference answers as the network itself
    x = torch.from_numpy(lab.dataset(TINY).features[found.samples])
    offline = lab.references(TINY, of, 3, "offline")
    for place in (0, 2):
        network = (lab.pruned if of == "pruned" else lab.original)(TINY, place + 1)
        answers = pm.query.posteriors(network.module, x).numpy()
        assert offline.posteriors[place] == pytest.approx(answers, abs=1e-6)


@pytest.mark.parametrize("setting", ["offline", "online"])
@pytest.mark.parametrize("name", ["lira", "rmia"])
def test_they_attack_the_victim_like_other_attacks(lab, name, setting):
    exp = TINY.replace(shadows=6)
    result = lab.attack(exp, name, setting=setting)

    assert len(result.scores) == len(lab.target(exp))
    assert np.array_equal(result.predictions, result.scores >= 0)
    fitted = lab.fitted(exp, name, setting=setting)
    assert fitted.chosen().keys() == fitted.candidates().keys()
    if name == "lira":
        found = lab.references(exp, "pruned", 6, setting)
        odds = pm.attacks.log_odds(lab.target(exp).posteriors, found.labels)
        trained = found.trained_on if setting == "online" else None
        expected = pm.attacks.lira_scores(odds, found.log_odds, trained, **fitted.chosen())
        assert result.scores + fitted.threshold_ == pytest.approx(expected, abs=1e-4)


def test_every_network_is_a_victim_in_turn(lab):
    found = lab.in_turn(TINY, "original", 4, ["conf"])
    half = np.sort(data.victims_half(lab.dataset(TINY), 0))

    assert np.array_equal(found.references.samples, half)
    assert set(found.scores) == {*references.BY_REFERENCES, "conf"}
    asked = np.isfinite(found.scores["conf"])
    assert asked.sum() == sum(len(lab.split(TINY, OWN + i).asked) for i in range(4))
    # conf's scores of a network stand at its own samples: those of its signals, in their order
    rows = lab.split(TINY, OWN + 1).asked
    labels = lab.dataset(TINY).labels[rows]
    p = found.references.posteriors[1, np.searchsorted(half, rows), labels]
    expected = p - lab.fitted(TINY, "conf", "original").thresholds_[labels]
    assert found.scores["conf"][1][np.searchsorted(half, rows)] == pytest.approx(expected, abs=1e-5)


def test_too_few_networks_are_refused(tmp_path, lab):
    empty = pm.Lab(tmp_path, progress=False)
    with pytest.raises(UsageError, match="count: 2 is not allowed; allowed: 4 or more"):
        empty.in_turn(TINY, "original", 2)
    with pytest.raises(UsageError, match="setting: 'on' is not allowed; allowed: offline, online"):
        empty.references(TINY, count=1, setting="on")
    assert list(empty.store.entries()) == []  # before any is trained
    with pytest.raises(UsageError, match="shadows: 1; allowed for an attack with references: 2"):
        lab.attack(TINY.replace(shadows=1), "lira")


def made(scores, trained):
    n, odds = scores.shape[1], scores.astype(np.float32)
    p = 1 / (1 + np.exp(np.stack([-odds, odds], axis=2)))
    return InTurn(References(np.arange(n), np.zeros(n, int), odds, p, trained), {"s": scores})


def test_rates_exposure_and_memorization_by_hand():
    # Three networks, three samples. Sample 0: in 5, out 1 and 2. Sample 1: in 3, out 4 and 0.
    # Sample 2: nobody trained on it.
    scores = np.array([[5.0, 4.0, -1.0], [1.0, 3.0, -1.0], [2.0, 0.0, -2.0]])
    trained = np.array([[True, False, False], [False, True, False], [False, False, False]])
    found = made(scores, trained)

    assert found.exposure()["s"].tolist()[:2] == [1.0, 0.5]
    assert np.isnan(found.exposure()["s"][2])
    # sample 0: right in all; sample 1: right in (3 > 0), of the others 4 > 0 and 0: a tie goes to 0
    assert found.memorization()[:2] == pytest.approx([0.0, 0.0])
    # seven pairs of a network and a non-member: 4, 2, 1, 0, -1, -1, -2; one of them may be accused
    tpr, fpr = found.rates("s", 1 / 7)
    assert tpr[:2] == pytest.approx([1.0, 1.0])
    assert np.isnan(tpr[2])
    assert fpr == pytest.approx([0.0, 0.5, 0.0])
    with pytest.raises(UsageError, match=r"fpr: 0\.1 with 7 non-members"):
        found.rates("s", 0.1)


def test_where_nothing_leaks_nobody_is_exposed():
    draw = np.random.default_rng(0)
    trained = draw.permuted(np.arange(32)[:, None] < np.full(400, 16), axis=0)
    found = made(draw.normal(size=(32, 400)) + draw.normal(size=400), trained)

    assert found.exposure()["s"].mean() == pytest.approx(0.5, abs=4 * 0.1 / 20)
    leaky = made(found.scores["s"] + 3 * trained, trained)
    assert leaky.exposure()["s"].mean() > 0.95
    attacked = InTurn(leaky.references, references.by_references(leaky.references))
    tpr, fpr = attacked.rates("lira online", 0.01)
    assert tpr.mean() > 0.3  # Φ(3 - 2.33) = 0.75 with known means and deviations
    assert np.nanmean(fpr) <= 0.01
