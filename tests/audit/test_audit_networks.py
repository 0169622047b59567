"""A network of the user's own, trained and pruned by plain torch: kept, resumed, refused."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.utils import prune as masks

import prunemia as pm
from prunemia.errors import UsageError
from prunemia.lab import sweep
from prunemia.models import one_thread

FEATURES, LABELS = load_digits(return_X_y=True)
FEATURES = torch.tensor(FEATURES[:200] / 16, dtype=torch.float32)
LABELS = torch.tensor(LABELS[:200])
CALLS: list[tuple] = []


def fitted(module, rows, steps):
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(FEATURES[rows]), LABELS[rows]).backward()
        optimizer.step()
    return module


def train(rows, seed):
    CALLS.append(("train", tuple(rows), seed))
    return fitted(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), rows, 20)


def prune(module, rows, seed):
    CALLS.append(("prune", tuple(rows), seed))
    masks.l1_unstructured(module[0], "weight", 0.7)
    return fitted(module, rows, 5)


def prune_or_not(module, rows, seed, dense=False):
    return fitted(module, rows, 5) if dense else prune(module, rows, seed)


def audited(store, prune=prune, **options):
    given = {"train": train, "features": FEATURES, "labels": LABELS, "shadows": 2}
    given |= {"attacks": ["conf", "mentr"], "progress": False, "store": store}
    return pm.audit.network(prune=prune, **given | options)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store, what was audited there, and the calls of the functions."""
    CALLS.clear()
    store, before = tmp_path_factory.mktemp("store"), torch.random.get_rng_state()
    audit = audited(store)
    assert torch.equal(torch.random.get_rng_state(), before)
    return store, audit, CALLS.copy()


def test_a_second_run_trains_nothing_and_says_the_same(made):
    store, first, calls = made
    CALLS.clear()
    again, more = audited(store), audited(store, shadows=3)  # the others are there

    assert [name for name, *_ in calls] == ["train", "prune"] * 3
    assert again.to_json() == first.to_json()
    assert len(CALLS) == 2
    assert more.record["setting"]["shadow"]["networks"] == 3


def test_members_are_what_it_was_trained_on_and_no_shadow_sees_the_victims(made):
    store, audit, calls = made
    samples = audit.target.ids.astype(int)

    assert sorted(samples[audit.membership]) == sorted(calls[0][1])
    assert all(set(samples).isdisjoint(rows) for _, rows, _ in calls[2:])
    assert len({seed for *_, seed in calls}) == 3
    named = audited(store, ids=[f"s{i}" for i in range(200)])
    assert named.target.ids.tolist() == [f"s{i}" for i in samples]


def test_the_answers_are_those_of_the_users_network(made):
    _, audit, [(_, rows, seed), *_] = made
    module = ()
    for function in (train, prune):
        with torch.random.fork_rng(), one_thread():
            torch.manual_seed(seed)
            module = (function(*module, np.array(rows), seed),)
    signals, samples = audit.target.signals, audit.target.ids.astype(int)
    expected = pm.query.posteriors(*module, FEATURES[samples])

    assert np.array_equal(signals.posteriors, expected.numpy().astype(np.float32))
    assert np.array_equal(signals.labels, LABELS.numpy()[samples])
    assert signals.sensitivities is not None


def test_the_original_and_a_control_join_the_comparison(made):
    store, audit, _ = made
    paired = audited(store, prune_or_not).record["paired"]
    assert [each["network"] for each in audit.record["paired"]] == ["original"]
    assert [each["network"] for each in paired] == ["original", "dense"]
    assert {each["fitted_on"] for each in paired} == {"shadow"}


def test_functions_are_known_by_their_source_or_by_a_name(made):
    store, _, _ = made
    for calls, given in (
        (4, {"prune": lambda module, rows, seed: prune(module, rows, seed)}),  # another source
        (4, {"name": "mine"}),
        (4, {"name": "mine", "prune": prune_or_not}),  # it offers a control: another key
        (0, {"name": "mine"}),
    ):
        CALLS.clear()
        audited(store, shadows=1, **given)
        assert len(CALLS) == calls


def test_another_value_that_is_closed_over_gives_other_answers(tmp_path):
    """The answers of 0.5 were once given for 0.95."""

    def answers(sparsity):
        def closed(module, rows, _):
            masks.l1_unstructured(module[0], "weight", sparsity)
            return fitted(module, rows, 5)

        return audited(tmp_path, closed, shadows=1).target.signals.posteriors

    first, other, again = map(answers, (0.5, 0.95, 0.5))
    assert not np.array_equal(other, first)
    assert np.array_equal(again, first)


def returning(value):
    return lambda *_: value


def test_whole_numbers_are_not_perturbed(tmp_path):
    embedded = nn.Sequential(nn.Embedding(17, 4), nn.Flatten(), nn.Linear(256, 10))
    given = {"features": (FEATURES * 16).long(), "store": tmp_path, "name": "embedded"}
    audit = audited(train=returning(embedded), prune=returning(embedded), shadows=1, **given)
    assert audit.target.signals.sensitivities is None
    with pytest.raises(UsageError, match="--attacks samia: it needs sensitivities"):
        audited(attacks=["samia"], **given)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train": lambda rows: None}, r"train: cannot be called as train\(rows, seed\)"),  # noqa: ARG005
        ({"prune": 3}, r"prune: cannot be called as prune\(module, rows, seed\)"),
        ({"features": FEATURES[:20], "labels": LABELS[:20]}, "20 samples; allowed: 100 or more"),
        ({"features": FEATURES * torch.nan}, "allowed: finite numbers"),
        ({"labels": LABELS[:9]}, r"labels: shape \(9,\).*allowed: \(200,\) of whole numbers"),
        ({"labels": LABELS - 1}, "labels: -1 to 8; allowed: 0 to C-1"),
        ({"shadows": 0}, "shadows: 0; allowed: a whole number from 1"),
        ({"epsilon": 0.0}, "epsilon: 0.0; allowed: more than 0"),
        ({"ids": ["a"]}, r"ids: shape \(1,\); allowed: \(200,\)"),
        ({"attacks": ["lucky"]}, "attack: 'lucky' is not allowed"),
        ({"train": print}, "the functions' source cannot be read; give name="),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_trained(tmp_path, changes, sentence):
    CALLS.clear()
    with pytest.raises(UsageError, match=sentence):
        audited(tmp_path, **changes)
    assert CALLS == []


class Noisy(nn.Linear):
    """A network with noise that never stops."""

    def forward(self, x):
        return nn.functional.dropout(super().forward(x))


@pytest.mark.parametrize(
    ("function", "network", "labels", "sentence"),
    [
        ("prune", None, LABELS, "prune: returned NoneType; allowed: a torch.nn.Module"),
        ("prune", nn.Linear(64, 3), LABELS, r"\(90, 3\); allowed: logits of shape \(90, C\), C 10"),
        ("train", Noisy(64, 10), LABELS, "train: its network: module: two queries of the same sam"),
        ("train", nn.Linear(64, 1), LABELS, "train: its network: module: answers with shape"),
        ("train", nn.Linear(64, 10), LABELS + 1, r"C 11 or more \(do the labels count from 1"),
    ],
    ids=["nothing", "few classes", "dropout", "one logit", "labels from 1"],
)
def test_what_cannot_be_asked_is_refused_at_once(tmp_path, function, network, labels, sentence):
    CALLS.clear()
    with pytest.raises(UsageError, match=sentence):
        audited(tmp_path, name="mine", labels=labels, **{function: returning(network)})
    assert len(CALLS) == (function == "prune")


def test_a_softmax_at_the_end_is_told_in_the_audit(tmp_path, capsys):
    soft = nn.Sequential(nn.Linear(64, 10), nn.Softmax(1))
    audited(tmp_path, returning(soft), train=returning(soft), shadows=1, name="soft")
    warning = "prunemia: warning: the pruned network: its logits are probabilities already"
    assert warning in capsys.readouterr().err


def test_the_workers_of_a_scheduler_make_the_same_networks(made, tmp_path):
    with sweep.local_workers(1) as address:
        there = audited(tmp_path, scheduler=address, shadows=1)
    assert there.to_json() == audited(made[0], shadows=1).to_json()


def test_stopped_in_the_middle_and_run_again_it_says_the_same(tmp_path):
    def stopped(module, rows, seed):
        if len(CALLS) > 2:
            raise KeyboardInterrupt
        return prune(module, rows, seed)

    CALLS.clear()
    with pytest.raises(KeyboardInterrupt):
        audited(tmp_path / "store", stopped, name="slow")
    kept = len(list((tmp_path / "store" / "audit").glob("*/*/manifest.json")))
    CALLS.clear()
    again = audited(tmp_path / "store", name="slow")

    assert kept == 1  # the first of three networks
    assert len(CALLS) == 4
    assert again.to_json() == audited(tmp_path / "whole", name="slow").to_json()
