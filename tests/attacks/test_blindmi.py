import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prunemia as pm
from prunemia import attacks
from prunemia.attacks import blindmi
from prunemia.attacks.blindmi import BANDWIDTHS, _Sets


def signals(posteriors, membership=None):
    n, classes = posteriors.shape
    member = np.arange(n) < n // 2 if membership is None else membership
    return pm.Signals(posteriors, np.zeros_like(posteriors), np.arange(n) % classes, member)


def fitted(**options):
    draw = np.random.default_rng(9)
    return attacks.get("blindmi")(**options).fit(signals(draw.dirichlet(np.ones(4), 8)))


def brute_mmd(n, m):
    def k(a, b):
        squares = ((a[:, None] - b[None]) ** 2).sum(-1)
        return sum(np.exp(-squares / (2 * s)) for s in BANDWIDTHS).mean()

    return k(n, n) + k(m, m) - 2 * k(n, m)


def brute_attack(points, start, batch, rounds=100):
    """The definition, O(n³): every MMD² from scratch."""
    others = np.zeros(len(points), dtype=bool)
    others[np.argsort(points[:, 0], kind="stable")[: min(start, max(1, len(points) // 3))]] = True
    for _ in range(rounds):
        moved = 0
        rows = np.flatnonzero(~others)
        for first in range(0, len(rows), batch):
            before = brute_mmd(points[others], points[~others])
            gains = {}
            for x in rows[first : first + batch]:
                after = others.copy()
                after[x] = True
                if (~after).any():
                    gains[x] = brute_mmd(points[after], points[~after]) - before
            marked = [x for x, gain in gains.items() if gain > 1e-12 * max(1.0, abs(before))]
            if len(marked) == (~others).sum():
                marked.remove(min(gains, key=gains.get))
            others[marked] = True
            moved += len(marked)
        if not moved:
            break
    return ~others


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(3, 24),
    classes=st.integers(2, 6),
    batch=st.integers(1, 10),
    seed=st.integers(0, 99),
)
def test_decisions_match_the_definition(n, classes, batch, seed):
    draw = np.random.default_rng(seed)
    target = signals(draw.dirichlet(np.full(classes, 0.5), n))
    points = -np.sort(-target.posteriors.astype(float), axis=1)[:, :3]

    found = fitted_for(classes, batch=batch).predict(target)

    assert found.tolist() == brute_attack(points, 1000, batch).tolist()


def fitted_for(classes, **options):
    return attacks.get("blindmi")(**options).fit(signals(np.full((4, classes), 1 / classes)))


def test_the_discrepancy_of_two_points_by_hand():
    # N = {0}, M = {1, 1}: k(0, 0) = k(1, 1) = 19 kernels; MMD² = 19 + 19 - 2 Σ exp(-1 / 2σ).
    sets = _Sets(np.array([[0.0], [1.0], [1.0]]), np.array([True, False, False]))
    across = np.exp(-1 / (2 * BANDWIDTHS)).sum()

    before, after = sets.discrepancies(np.array([1]))

    assert len(BANDWIDTHS) == 19
    assert before == pytest.approx(38 - 2 * across)
    # After the move N = {0, 1}, M = {1}: (38 + 2a)/4 + 19 - 2 (a + 19)/2 = 9.5 - a/2.
    assert after == pytest.approx([9.5 - across / 2])


def test_two_clear_clusters_are_told_apart():
    draw = np.random.default_rng(0)
    sure = draw.dirichlet([60, 1, 1, 1], 200)
    unsure = draw.dirichlet([6, 4, 3, 3], 200)
    found = fitted().predict(signals(np.concatenate([sure, unsure])))

    assert found[:200].mean() > 0.95
    assert found[200:].mean() < 0.05


def test_neither_set_is_emptied_and_one_row_is_a_member():
    alike = np.full((30, 4), 0.25)
    found = fitted().predict(signals(alike))

    assert 0 < found.sum() < 30
    assert fitted().predict(signals(np.full((1, 4), 0.25), np.array([True]))).tolist() == [True]


def test_it_has_no_ranking_and_looks_at_no_shadow():
    draw = np.random.default_rng(3)
    target = signals(draw.dirichlet(np.ones(4), 60))
    first = (
        attacks.get("blindmi")()
        .fit(signals(draw.dirichlet(np.ones(4), 8)))
        .decision_function(target)
    )
    second = (
        attacks.get("blindmi")()
        .fit(signals(draw.dirichlet(np.ones(4), 80)))
        .decision_function(target)
    )

    assert not attacks.get("blindmi").ranks
    assert set(first) <= {-1.0, 1.0}
    assert np.array_equal(first, second)


@pytest.mark.parametrize("option", ["start", "batch", "rounds"])
@pytest.mark.parametrize("value", [0, 1.5, "many"])
def test_options_are_checked(option, value):
    with pytest.raises(ValueError, match=f"{option}: .* is not allowed; allowed: an integer"):
        fitted(**{option: value})


def test_memory_stays_bounded():
    # 5,000 points against all: in one piece the kernel would take 5,000² · 8 bytes = 200 MB; blocks
    # take 4 MiB each.
    code = (
        "import numpy as np, resource\n"
        "from prunemia.attacks.blindmi import kernel_sums\n"
        "x = np.random.default_rng(0).random((5000, 3))\n"
        "kernel_sums(x[:10], x[:10])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "kernel_sums(x, x)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    grown = int(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
    )
    assert grown < 60_000  # KiB
    assert blindmi.ENTRIES * 8 <= 2**22
