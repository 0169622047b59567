import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import prunemia as pm
from prunemia import attacks
from prunemia.attacks.blindmi import BANDWIDTHS, discrepancies, kernel_sums


def signals(posteriors, membership=None):
    n, classes = posteriors.shape
    member = np.arange(n) < n // 2 if membership is None else membership
    return pm.Signals(posteriors, np.zeros_like(posteriors), np.arange(n) % classes, member)


def fitted(classes=4, **options):
    return attacks.get("blindmi")(**options).fit(signals(np.full((4, classes), 1 / classes)))


def kernel_matrix(points):
    squares = cdist(points, points, "sqeuclidean")
    return sum(np.exp(-squares / (2 * sigma)) for sigma in BANDWIDTHS)


def brute_mmd(kernel, n, m):
    """The biased MMD² of two lists of samples, each mean taken over its whole block."""
    means = [kernel[np.ix_(a, b)].mean() for a, b in ((n, n), (m, m), (n, m))]
    return means[0] + means[1] - 2 * means[2]


def brute_batch(kernel, nonmembers, batch, rounds=100):
    """The published loop on one batch: every MMD² from scratch, all tested against the same M."""
    m = list(batch)
    for _ in range(rounds):
        before = brute_mmd(kernel, nonmembers, m)
        gains = {}
        for x in m if len(m) > 1 else []:
            rest = [other for other in m if other != x]
            gains[x] = brute_mmd(kernel, [*nonmembers, x], rest) - before
        marked = {x for x, gain in gains.items() if gain > 1e-12 * max(1.0, before)}
        if marked and len(marked) == len(m):
            marked.remove(min(gains, key=gains.get))
        if not marked:
            break
        m = [x for x in m if x not in marked]
    return m


def brute_attack(points, start, batch, seed):
    """The definition: N fixed, the whole target shuffled, each batch judged by itself."""
    kernel = kernel_matrix(points)
    count = min(start, max(1, len(points) // 3))
    nonmembers = np.argsort(points[:, 0], kind="stable")[:count].tolist()
    order = np.random.default_rng(seed).permutation(len(points)).tolist()
    member = np.zeros(len(points), dtype=bool)
    for first in range(0, len(order), batch):
        member[brute_batch(kernel, nonmembers, order[first : first + batch])] = True
    return member


def decided_as_defined(target, start, batch, seed):
    """Compare with `brute_attack`; return the decisions."""
    points = -np.sort(-target.posteriors.astype(float), axis=1)[:, :3]
    decided = fitted(target.classes, start=start, batch=batch, seed=seed).predict(target)
    assert decided.tolist() == brute_attack(points, start, batch, seed).tolist()
    return decided


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 24),
    classes=st.integers(2, 6),
    batch=st.integers(1, 10),
    seed=st.integers(0, 99),
)
def test_decisions_match_the_definition(n, classes, batch, seed):
    posteriors = np.random.default_rng(seed).dirichlet(np.full(classes, 0.5), n)
    decided_as_defined(signals(posteriors, np.arange(n) % 2 == 0), 1000, batch, seed)


@pytest.mark.parametrize(
    ("n", "classes", "batch", "seed"), [(300, 10, 100, 0), (300, 2, 120, 1), (160, 5, 160, 2)]
)
def test_decisions_match_the_definition_at_larger_sizes(n, classes, batch, seed):
    draw = np.random.default_rng([seed, n])
    sure = draw.dirichlet([9.0, *[0.3] * (classes - 1)], n // 2)
    unsure = draw.dirichlet(np.full(classes, 0.8), n - n // 2)
    decided = decided_as_defined(signals(np.concatenate([sure, unsure])), 100, batch, seed)
    assert 0.1 < decided.mean() < 0.9


def test_the_discrepancy_of_two_points_by_hand():
    # N = {0}, M = {1, 1}: k(0, 0) = k(1, 1) = 19 kernels; MMD² = 19 + 19 - 2 Σ exp(-1 / 2σ).
    across = np.exp(-1 / (2 * BANDWIDTHS)).sum()
    before, after = discrepancies(np.full(2, across), np.full(2, 38.0), n=1, nn=19.0)
    assert len(BANDWIDTHS) == 19
    assert before == pytest.approx(38 - 2 * across)
    # After either move N = {0, 1}, M = {1}: (38 + 2a)/4 + 19 - 2 (a + 19)/2 = 9.5 - a/2.
    assert after == pytest.approx([9.5 - across / 2] * 2)


def test_two_clear_clusters_are_told_apart_whatever_the_shadows():
    draw = np.random.default_rng(0)
    sure = draw.dirichlet([60, 1, 1, 1], 200)
    unsure = draw.dirichlet([6, 4, 3, 3], 200)
    target = signals(np.concatenate([sure, unsure]))
    shadows = [signals(draw.dirichlet(np.ones(4), n)) for n in (8, 80)]
    first, second = (attacks.get("blindmi")().fit(s).decision_function(target) for s in shadows)

    assert not attacks.get("blindmi").ranks
    assert set(first) == {-1.0, 1.0}
    assert np.array_equal(first, second)
    assert (first[:200] > 0).mean() > 0.9
    assert (first[200:] > 0).mean() < 0.1
    # Batches of one: M is never emptied, so all stay. Were N to grow, or M the whole rest, as in
    # version 1, the unsure half would leave.
    assert fitted(batch=1).predict(target).all()


def test_it_collapses_where_all_answers_are_alike_and_else_depends_on_the_shuffles_seed_alone():
    # No move changes an MMD² of zero: none is marked, all are taken for members.
    for n in (1, 30):
        assert fitted().predict(signals(np.full((n, 4), 0.25))).all()
    target = signals(np.random.default_rng(6).dirichlet(np.full(4, 0.5), 300))
    first, again, other = (fitted(batch=30, seed=s).predict(target) for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_kernel_sums_in_blocks_are_those_of_the_whole(monkeypatch):
    points = np.random.default_rng(2).random((37, 3))
    whole = kernel_matrix(points).sum(axis=1)
    monkeypatch.setattr("prunemia.attacks.blindmi.ENTRIES", 100)  # two points at a time
    assert kernel_sums(points, points) == pytest.approx(whole, rel=1e-12)


def test_memory_does_not_grow_with_the_square_of_the_target():
    # One kernel matrix over 4,000 samples would take 4,000² · 8 bytes = 128 MB; blocks take a few
    # times 4 MiB.
    target = signals(np.random.default_rng(0).dirichlet(np.full(4, 0.5), 4000))
    attack = fitted(start=200, batch=200, rounds=1)
    tracemalloc.start()
    attack.predict(target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 4e5 < peak < 6e7
