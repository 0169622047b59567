"""BlindMI-Diff: what makes a batch differ more from sure non-members by leaving it is no member.

Source: Hui et al., "Practical Blind Membership Inference Attack via Differential Comparisons" (NDSS
2021), single direction, without generated data. No shadow network is used.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from prunemia.attacks.base import Attack, Bools, Floats, largest, require_integer
from prunemia.signals import Signals

BANDWIDTHS = np.array([*(10.0**power for power in range(-6, 7)), 5.0, 15.0, 20.0, 25.0, 30.0, 35.0])
"""The σ of the Gaussian kernels exp(-‖x-y‖² / 2σ): decades, and some between 1 and 100."""
ENTRIES = 2**19
"""Kernel values computed at a time: 4 MiB, and as much again for a bandwidth's exponentials."""
ROUNDING = 1e-12
"""A gain below this share of MMD² is taken for none: equal samples must not differ by rounding."""


class BlindMI(Attack):
    """blindmi: the three largest posteriors, compared as sets by the maximum mean discrepancy.

    The least confident samples of the target are the non-members N, which stays as it is. The whole
    target, N's samples too, is shuffled and cut into batches. In each batch by itself M starts as
    the batch; every x of M for which MMD²(N ∪ {x}, M without x) > MMD²(N, M) is marked, and the
    marked leave M together; this repeats until none is marked. What is left of M is taken for
    members. Marked samples do not enter N.

    Parameters
    ----------
    start : number of samples in N; at most a third of the target.
    batch : number of samples that are judged together.
    rounds : maximum number of times that a batch is marked.
    seed : of the shuffle.

    The decision is about a set: scores are 1 or -1, and there is no ROC. O(n · (start + batch))
    time, O(n) memory. It collapses, calling all or none of a batch members, where the posteriors
    form one heap: nothing in it knows how many samples are members.

    Ours, not theirs: M is never emptied (the sample with the least gain stays), differences within
    rounding are none, and MMD² has no floor (their 1e-4 only matters where samples coincide).
    """

    ranks: ClassVar[bool] = False
    blind: ClassVar[bool] = True
    version: ClassVar[int] = 2  # version 1 let N grow and judged all of the target at once

    def __init__(
        self, start: int = 1000, batch: int = 1000, rounds: int = 100, seed: int = 0
    ) -> None:
        self.start = start
        self.batch = batch
        self.rounds = rounds
        self.seed = seed

    def _check_options(self) -> None:
        for name in ("start", "batch", "rounds"):
            require_integer(name, getattr(self, name), 1)
        require_integer("seed", self.seed, 0)

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        """Learn nothing: the attack is blind to shadow networks."""

    def _decide(self, target: Signals) -> Floats:
        features = largest(target.posteriors.astype(np.float64), 3)
        count = min(self.start, max(1, len(features) // 3))
        nonmembers = features[np.argsort(features[:, 0], kind="stable")[:count]]
        within = float(kernel_sums(nonmembers, nonmembers).sum())
        order = np.random.default_rng(self.seed).permutation(len(features))
        scores = np.empty(len(features))
        for first in range(0, len(order), self.batch):
            samples = order[first : first + self.batch]
            remaining = _Batch(features[samples], nonmembers, within).remaining(self.rounds)
            scores[samples] = np.where(remaining, 1.0, -1.0)
        return scores


class _Batch:
    """A batch, and which of its samples are still in M, with the kernel sums that give every MMD².

    ``nonmembers`` are N, shape (n, d), and ``within`` sums the kernel over all of their pairs.
    MMD²(N, M) = S_NN / n² + S_MM / m² - 2 S_NM / nm, where S sums the kernel over all pairs. When x
    moves from M to N, each sum changes by x's own kernel sums over N and over M, so those row sums
    suffice for all of M's samples: no discrepancy is computed from scratch.

    Attributes
    ----------
    in_m : shape (b,), True for samples still in M.
    to_n, to_m : shape (b,), each sample's kernel summed over N, and over what is still in M.
    """

    def __init__(self, points: Floats, nonmembers: Floats, within: float) -> None:
        self.points = points
        self.size = len(nonmembers)
        self.within = within
        self.in_m: Bools = np.ones(len(points), dtype=bool)
        self.to_n = kernel_sums(points, nonmembers)
        self.to_m = kernel_sums(points, points)

    def remaining(self, rounds: int) -> Bools:
        """Mark until none is marked, at most ``rounds`` times; return what is left of M, (b,)."""
        for _ in range(rounds):
            marked = self.marked()
            if not len(marked):
                break
            self.in_m[marked] = False
            # each sample leaves once, so all rounds together cost at most what `to_m` cost
            self.to_m -= kernel_sums(self.points, self.points[marked])
        return self.in_m

    def marked(self) -> NDArray[np.int64]:
        """Return which samples of M, moved alone, increase MMD²; never all of M."""
        before, after = self.discrepancies()
        gain = after - before
        marks = gain > ROUNDING * max(1.0, abs(before))
        if marks.all():  # M must not be emptied: the least gain stays
            marks[np.argmin(gain)] = False
        return np.flatnonzero(self.in_m)[marks]

    def discrepancies(self) -> tuple[float, Floats]:
        """Return the biased MMD²(N, M), and what it would be after the move of each of M's samples.

        The new S_NN gains x's pairs with N twice, and x with itself; S_MM loses them alike, but
        ``to_m`` counts x with itself already, so twice that is once too much; S_NM loses x's pairs
        with N and gains those with the rest of M.
        """
        n = self.size
        m = int(self.in_m.sum())
        to_n = self.to_n[self.in_m]
        to_m = self.to_m[self.in_m]
        nn = self.within
        mm = to_m.sum()
        nm = to_n.sum()
        before = float(nn / n**2 + mm / m**2 - 2 * nm / (n * m))
        if m == 1:
            return before, np.full(1, -np.inf)
        self_kernel = len(BANDWIDTHS)  # k(x, x): each of the summed kernels is 1 there
        after: Floats = (nn + 2 * to_n + self_kernel) / (n + 1) ** 2
        after += (mm - 2 * to_m + self_kernel) / (m - 1) ** 2
        after -= 2 * (nm - to_n + to_m - self_kernel) / ((n + 1) * (m - 1))
        return before, after


def kernel_sums(points: Floats, others: Floats) -> Floats:
    """Return each point's kernel summed over ``others``, shape (n,), in blocks of bounded memory.

    Parameters
    ----------
    points, others : shapes (n, d) and (k, d).
    """
    sums = np.zeros(len(points))
    # both sides are cut, so that neither many points nor many others take much memory
    width = max(1, min(len(others), ENTRIES))
    height = max(1, ENTRIES // width)
    for top in range(0, len(points), height):
        for left in range(0, len(others), width):
            block = _kernel_sums(points[top : top + height], others[left : left + width])
            sums[top : top + height] += block
    return sums


def _kernel_sums(points: Floats, others: Floats) -> Floats:
    squares = np.zeros((len(points), len(others)))
    for dimension in range(points.shape[1]):
        squares += (points[:, [dimension]] - others[:, dimension]) ** 2
    sums = np.zeros(len(points))
    for sigma in BANDWIDTHS:
        sums += np.exp(squares * (-0.5 / sigma)).sum(axis=1)
    return sums
