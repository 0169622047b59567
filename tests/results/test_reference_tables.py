"""Tables of attacks by references, of exposure, and of how unevenly the leak falls on samples."""

import numpy as np
import pandas as pd
import pytest

import prunemia as pm
from prunemia import claims, results
from prunemia.lab.references import InTurn, References
from prunemia.results import references
from prunemia.results.references import CHANCE, SCORE, concentration, overlap, share_of_a_tenth

TINY = pm.Experiment(samples=600, width=4, epochs=1, finetune_epochs=1, shadows=2)


@pytest.fixture(scope="module")
def compared(lab):
    todo = [TINY.replace(sparsity=s) for s in (0.5, 0.7)]
    source, table = results.read_or_make("references", lab, todo, ["conf", "lira", "rmia"], most=8)
    assert source == ""
    return table


def test_every_network_has_every_attack_in_every_setting(compared):
    fitted = compared[(compared["by"] == "attack") & (compared["measure"] == "AUC")]
    cases = fitted.groupby(["network", "sparsity"]).apply(
        lambda part: sorted(zip(part["attack"], part["setting"], part["references"], strict=True)),
        include_groups=False,
    )
    settings = [("offline", 5), ("offline, sensitivity", 5), ("offline", 8), ("online", 8)]
    expected = sorted(
        [("conf", "shadows", 2), *((name, *s) for name in ("lira", "rmia") for s in settings)]
    )
    assert len(cases) == 6
    assert references.FEW == pm.Experiment().shadows == 5
    for name in ("original", "dense", "pruned"):
        parts = [claims.where(compared, network=name, sparsity=s)["value"] for s in (0.5, 0.7)]
        assert np.array_equal(*parts, equal_nan=True) == (name != "pruned")
    assert all(case == expected for case in cases)


def test_an_entry_is_what_the_lab_says(lab, compared):
    lira = claims.where(compared, network="pruned", sparsity=0.7, attack="lira", measure="AUC")
    row = claims.where(lira, setting="online", by="attack")
    result = lab.attack(TINY.replace(shadows=8), "lira", setting="online")
    assert row["value"].item() == result.evaluation.auc.value

    found = lab.references(TINY, "pruned", 2, "offline")
    target = lab.target(TINY)
    odds = pm.attacks.log_odds(target.posteriors, target.labels)
    scores = pm.attacks.lira_scores(odds, found.log_odds)
    evaluation = pm.metrics.evaluate(target.membership, scores, scores >= 0)
    row = claims.where(lira, setting="offline", by="formula", references=2)
    assert row["value"].item() == pytest.approx(evaluation.auc.value, abs=1e-6)


def test_exposure_has_a_row_per_network_and_sample(lab):
    _, table = results.read_or_make("exposure", lab, [TINY], ["conf"], most=8)

    assert list(table["network"].unique()) == ["original", "dense", "pruned"]
    assert (table.groupby("network")["sample"].nunique() == 300).all()
    turn = lab.in_turn(TINY, "pruned", 8, ["conf"])
    part = table[table["network"] == "pruned"]
    rounded = {"abs": 5.1e-4, "nan_ok": True}
    assert part["conf"].to_numpy() == pytest.approx(turn.exposure()["conf"], **rounded)
    assert part["memorization"].to_numpy() == pytest.approx(turn.memorization(), **rounded)


def test_the_most_exposed_by_two_scores_overlap_by_hand():
    rows = [(9, 9, 0), (8, 0, 0), (7, 8, 0), (1, 7, 7), (0, 1, 8), (0, 0, 9)]
    found = claims.agreement(pd.DataFrame(rows, columns=["a", "b", "c"]), ["a", "b", "c"], 0.5)
    # tops: {0, 1, 2}, {0, 2, 3}, {3, 4, 5}
    assert found.to_numpy().tolist() == [[1, 2 / 4, 0], [2 / 4, 1, 1 / 5], [0, 1 / 5, 1]]
    # Of 40 samples the top 2: {39, 38} by one, {39, 0} by the other: one of three.
    one = np.arange(40.0)
    assert overlap(one, np.array([38.5, *one[1:]])) == pytest.approx(1 / 3)
    assert (overlap(one, one), overlap(one, -one)) == (1, 0)


def turn(exposed: float, n: int = 1000, k: int = 40) -> InTurn:
    """A tenth of the samples get scores larger by ``exposed`` where networks trained on them."""
    draw = np.random.default_rng(0)
    trained = draw.random((k, n)) < 0.5
    scores = draw.normal(size=(k, n))
    scores[:, : n // 10] += exposed * trained[:, : n // 10]
    empty = np.zeros((k, n)), np.zeros((k, n, 2))
    answers = References(np.arange(n), np.zeros(n, int), *empty, trained)
    return InTurn(answers, {SCORE: scores})


def test_a_leak_about_a_tenth_of_the_samples_is_found_there_and_none_without():
    # At 1 % FPR nearly all of the exposed members are found, of the others 1 %: of 45 + 4.5 ...
    assert share_of_a_tenth(turn(8.0)) == pytest.approx(1 / (1 + 9 * 0.01), abs=0.02)
    assert share_of_a_tenth(turn(0.0)) == pytest.approx(0.1, abs=0.05)


def test_chance_level_is_that_of_random_sets_and_of_samples_that_tie():
    # all exposed to the full: two rankings have nothing in common but chance
    found = [overlap(np.ones(n), np.ones(n)) for n in range(2000, 2040)]
    assert np.mean(found) == pytest.approx(CHANCE, abs=0.006)
    draw = np.random.default_rng(1)
    found = [overlap(*draw.normal(size=(2, 2000))) for _ in range(200)]
    assert np.mean(found) == pytest.approx(CHANCE, abs=0.003)


def test_the_table_has_each_statistic_once_a_run(lab):
    exp = TINY.replace(samples=400, shadows=1)
    table = concentration(lab, [exp, exp.replace(seed=1)], (), 6)
    assert table.groupby("seed")["statistic"].nunique().tolist() == [5, 5]
    ours = lab.in_turn(exp, "pruned", 6)
    row = table.query("seed == 0 and statistic == 'share of a tenth'")["value"].item()
    assert row == share_of_a_tenth(ours)
