"""Reference networks in an audit: laid beside by id, judged by lira and rmia, or refused."""

import dataclasses

import numpy as np
import pytest
from answers import frame

import prunemia as pm
from prunemia import audit
from prunemia.audit import fitting
from prunemia.audit.answers import with_references
from prunemia.errors import UsageError

N, K = 400, 8


def world(online, seed=0):
    """Two classes; a sample's log-odds are N(its own mean, 1), two more for who trained on it."""
    draw = np.random.default_rng(seed)
    hardness, member = draw.normal(scale=3, size=N), np.arange(N) % 2 == 0
    trained = draw.permuted(np.arange(K)[:, None] < np.full(N, K // 2), axis=0)
    trained = trained if online else np.zeros((K, N), dtype=bool)

    def answers(odds, who, number):
        p = 1 / (1 + np.exp(-odds))
        p = np.stack([p, 1 - p], axis=1)
        return pm.Signals(p, None, np.zeros(N, int), who, np.full(N, number))

    target = answers(hardness + 2 * member + draw.normal(size=N), member, 0)
    each = [answers(hardness + 2 * t + draw.normal(size=N), t, k) for k, t in enumerate(trained)]
    return target, pm.Signals.concatenate(each)


@pytest.mark.parametrize("online", [False, True])
def test_they_find_what_confidence_alone_does_not(online):
    target, reference = world(online)
    found = pm.audit.signals(target, reference=reference, attacks=["conf", "lira", "rmia"])

    auc = {n: e.auc.value for n, e in found.evaluations.items()}
    assert auc["lira"] > 0.85  # Φ(2 / √2 · …) with few references, a little less than 0.92
    assert auc["lira"] > auc["conf"] + 0.1
    assert auc["rmia"] > auc["conf"]
    assert "8 reference networks" in found.record["setting"]["auditor"]
    assert found.record["setting"]["target"]["references"] == K
    assert [each["name"] for each in found.record["made"]["inputs"]] == ["target", "reference"]


def test_where_nothing_leaks_none_is_found():
    levels = []
    for seed in range(6):
        draw = np.random.default_rng(seed)
        target, reference = world(online=True, seed=seed)
        lots = draw.permutation(np.arange(N) % 2 == 0)
        blind = pm.Signals.from_arrays({**target.arrays(), "membership": lots})
        found = pm.audit.signals(blind, reference=reference, attacks=["lira", "rmia"])
        levels.append(found.level)
    assert levels.count("no leak found") >= 5


def test_without_references_they_are_left_out():
    found = pm.audit.signals(world(online=False)[0], attacks=["conf"])
    left_out = fitting.chosen(None, found.target.signals)[1]
    rows = dataclasses.replace(found, left_out=left_out).record["unmeasurable"]
    [row] = [row for row in rows if row["what"] == "the attack rmia"]
    assert row["why"].startswith("it needs reference networks' answers")
    assert row["needs"].startswith("--reference")


def test_the_rows_of_a_file_are_told_by_id_in_any_order(tmp_path):
    target, reference = world(online=True)
    ids = [f"s{i}" for i in range(N)]
    rows = frame(reference, np.tile(ids, K)).assign(model=reference.model)
    frame(target, ids).to_csv(tmp_path / "t.csv", index=False)
    rows.sample(frac=1, random_state=1).to_csv(tmp_path / "r.csv", index=False)
    named, mixed = (audit.read(tmp_path / name) for name in ("t.csv", "r.csv"))
    one, other = (with_references(named, given)[0].signals for given in (mixed, reference))

    assert np.array_equal(one.references, other.references)
    assert np.array_equal(one.trained_on, other.trained_on)


IDS = np.tile(np.arange(N), K).astype(str)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda r: r.subset(np.arange(N * K - 1)), "3199 rows of 8 networks; allowed: 400 per"),
        (lambda r: pm.Signals(np.full((N * K, 3), 1 / 3), None, r.labels, r.membership, r.model),
         "reference: 3 classes; allowed: 2"),
        (lambda r: pm.Signals(r.posteriors, None, 1 - r.labels, r.membership, r.model),
         r"reference: row 0 \(id '0'\): label differs from target's"),
        (lambda r: pm.Signals(r.posteriors, None, r.labels, r.model == 0, np.zeros(N * K, int)),
         "3200 rows of 1 networks"),
        (lambda r: pm.Signals(r.posteriors, None, r.labels, np.arange(N * K) % N == 3, r.model),
         "id '0': all networks trained on it, or none"),
        (lambda r: audit.Answers.of(r.subset(np.arange(1, N * K)), "r.csv", IDS[1:]),
         "r.csv: id '0': a network has no row for it"),
        (lambda r: audit.Answers.of(r, "r.csv", np.char.add("x", IDS)),
         r"r.csv: row 0 \(id 'x0'\): id is none of target"),
    ],
)  # fmt: skip
def test_references_that_do_not_fit_are_refused(change, sentence):
    target, reference = world(online=False)
    with pytest.raises(UsageError, match=sentence):
        pm.audit.signals(target, reference=change(reference), attacks=["lira"])
