"""How unevenly a leak falls on samples."""

import numpy as np
import pytest

import prunemia as pm
from prunemia.lab.references import InTurn, References
from prunemia.results.references import (
    CHANCE,
    SCORE,
    concentration,
    overlap,
    share_of_a_tenth,
)


def turn(exposed: float, n: int = 1000, k: int = 40) -> InTurn:
    """A tenth of the samples get scores larger by ``exposed`` where networks trained on them."""
    draw = np.random.default_rng(0)
    trained = draw.random((k, n)) < 0.5
    scores = draw.normal(size=(k, n))
    scores[:, : n // 10] += exposed * trained[:, : n // 10]
    empty = np.zeros((k, n))
    answers = References(np.arange(n), np.zeros(n, int), empty, np.zeros((k, n, 2)), trained)
    return InTurn(answers, {SCORE: scores})


def test_a_leak_about_a_tenth_of_the_samples_is_found_there():
    # At 1 % FPR nearly all of the exposed members are found, of the others 1 %: of 45 + 4.5 ...
    assert share_of_a_tenth(turn(8.0)) == pytest.approx(1 / (1 + 9 * 0.01), abs=0.02)


def test_without_a_leak_a_tenth_holds_a_tenth():
    assert share_of_a_tenth(turn(0.0)) == pytest.approx(0.1, abs=0.05)


def test_overlap_by_hand():
    # Of 40 samples the top 2: {39, 38} by one, {39, 0} by the other: one of three.
    one = np.arange(40.0)
    two = one.copy()
    two[0] = 38.5
    assert overlap(one, two) == pytest.approx(1 / 3)
    assert overlap(one, one) == 1
    assert overlap(one, -one) == 0


def test_samples_that_tie_do_not_overlap_by_their_place():
    # all exposed to the full: two rankings have nothing in common but chance
    found = [overlap(np.ones(n), np.ones(n)) for n in range(2000, 2040)]
    assert np.mean(found) == pytest.approx(CHANCE, abs=0.006)


def test_chance_level_is_that_of_random_sets():
    draw = np.random.default_rng(1)
    found = [overlap(*draw.normal(size=(2, 2000))) for _ in range(200)]
    assert np.mean(found) == pytest.approx(CHANCE, abs=0.003)


def test_the_table_has_each_statistic_once_a_run(tmp_path):
    lab = pm.Lab(tmp_path, device="cpu", progress=False)
    exp = pm.Experiment(samples=400, width=4, epochs=2, finetune_epochs=1, shadows=1)
    table = concentration(lab, [exp, exp.replace(seed=1)], (), 6)
    assert table.groupby("seed")["statistic"].nunique().tolist() == [5, 5]
    ours = lab.in_turn(exp, "pruned", 6)
    row = table.query("seed == 0 and statistic == 'share of a tenth'")["value"].item()
    assert row == share_of_a_tenth(ours)
