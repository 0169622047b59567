"""Lower bounds on ε: by hand, by brute force, as published, and over nulls."""

import math

import numpy as np
import pytest
from scipy import stats

from prunemia.audit import epsilon
from prunemia.audit.epsilon import in_few_runs
from prunemia.audit.fitting import AttackOutput


def test_the_bound_by_hand():
    # 60 of 100 members and 1 of 100 others, each bound one-sided at 97.5 %, by scipy.
    tpr = stats.binomtest(60, 100, alternative="greater").proportion_ci(0.975, "exact").low
    fpr = stats.binomtest(1, 100, alternative="less").proportion_ci(0.975, "exact").high
    assert epsilon.lower_bound(60, 100, 1, 100, 0.0) == pytest.approx(np.log(tpr / fpr))
    # the other order: members are hardly ever missed
    tpr = stats.binomtest(99, 100, alternative="greater").proportion_ci(0.975, "exact").low
    fpr = stats.binomtest(40, 100, alternative="less").proportion_ci(0.975, "exact").high
    expected = np.log((1 - fpr - 0.01) / (1 - tpr))
    assert epsilon.lower_bound(99, 100, 40, 100, 0.01) == pytest.approx(expected)
    assert epsilon.lower_bound(50, 100, 50, 100, 0.0) == 0
    assert epsilon.lower_bound(0, 100, 100, 100, 0.0) == 0


@pytest.mark.parametrize(("sign", "name"), [(1, "conf"), (-1, "conf, turned round")])
def test_a_perfect_attack_shows_the_bound_that_is_attainable(sign, name):
    member = np.arange(200) < 100
    scores = np.where(member, 1.0, 0.0) * sign
    halves = np.arange(0, 200, 2), np.arange(1, 200, 2)
    transfers = tuple((a, scores[a], b, scores[b]) for a, b in (halves, halves[::-1]))
    bound = epsilon.bound({"conf": AttackOutput(scores, member, True, transfers)}, member)

    counts = [bound[each] for each in ("found", "members", "alarms", "nonmembers")]
    assert counts == [50, 50, 0, 50]
    assert (bound["attack"], bound["threshold"]) == (name, 1.0)
    assert bound["epsilon"] == bound["attainable"]
    # Clopper-Pearson's end at 0 of 50 is 1 - q^(1/50); q is half of 2.5 %.
    tail = 1 - 0.0125 ** (1 / 50)
    assert bound["epsilon"] == pytest.approx(np.log((1 - tail - 1e-5) / tail))


def test_right_guesses_of_as_many_by_hand():
    # Without δ, ten right guesses of ten have probability q^10, refuted below 0.05: the bound is
    # where q = 0.05^(1/10), ε = ln(q / (1 - q)).
    q = 0.05**0.1
    assert in_few_runs(10, 10, 10, delta=0) == pytest.approx(math.log(q / (1 - q)), abs=1e-9)
    # 1/32 < 0.05: five right guesses of five refute ε = 0; four of four, 1/16, do not.
    assert in_few_runs(5, 5, 5, delta=0) > 0
    assert in_few_runs(4, 4, 4, delta=0) == 0
    assert in_few_runs(0, 0, 5) == 0


def test_the_term_of_delta_by_brute_force():
    # The published sum, one probability after the other: of fewer right guesses by 1 … i, over i.
    right, guesses, canaries, delta = 75, 100, 1000, 1e-4

    def chance(epsilon: float) -> float:
        q = math.exp(epsilon) / (1 + math.exp(epsilon))
        mass = [math.comb(guesses, k) * q**k * (1 - q) ** (guesses - k) for k in range(101)]
        alpha = max(sum(mass[right - i : right]) / i for i in range(1, right + 1))
        return sum(mass[right:]) + 2 * canaries * delta * alpha

    bound = in_few_runs(right, guesses, canaries, delta)
    assert chance(bound - 1e-6) < 0.05 < chance(bound + 1e-6)
    assert 0 < bound < in_few_runs(right, guesses, canaries, 0)


@pytest.mark.parametrize(
    ("right", "guesses", "canaries", "delta", "published"),
    [(75, 100, 1000, 1e-4, 0.673), (1439, 1510, 100_000, 1e-5, 2.675)],
)
def test_the_published_bounds(right, guesses, canaries, delta, published):
    # Steinke, Nasr & Jagielski (2023), appendix D and section 7; rounded, and cut off.
    assert in_few_runs(right, guesses, canaries, delta) == pytest.approx(published, abs=1e-3)


def test_guessing_at_random_shows_nothing_and_numbers_that_cannot_be_are_refused():
    draw = np.random.default_rng(0)
    shown = [in_few_runs(int(draw.binomial(100, 0.5)), 100, 200) > 0 for _ in range(400)]
    assert np.mean(shown) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    with pytest.raises(ValueError, match=r"right: 6 of 5 guesses about 9 canaries; allowed"):
        in_few_runs(6, 5, 9)
