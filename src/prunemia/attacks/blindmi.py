"""BlindMI-Diff: move samples from the unknown to the non-members while that sets the two further apart.

Source: Hui et al., "Practical Blind Membership Inference Attack via Differential Comparisons" (NDSS
2021), single direction, without generated data. No shadow network is used.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from prunemia.attacks.base import Attack, Bools, Floats, require_integer
from prunemia.signals import Signals

BANDWIDTHS = np.array([*(10.0**power for power in range(-6, 7)), 5.0, 15.0, 20.0, 25.0, 30.0, 35.0])
"""The σ of the Gaussian kernels exp(-‖x-y‖² / 2σ) that are summed: decades, and some between 1 and 100."""
ENTRIES = 2**19
"""Kernel values computed at a time, 4 MiB for each bandwidth in turn."""


class BlindMI(Attack):
    """blindmi: the three largest posteriors, compared as sets by the maximum mean discrepancy.

    The least confident samples start as non-members N, the others as M. Batch by batch, every x in
    M whose move to N would strictly increase MMD²(N, M) is marked, and the marked move together;
    this repeats until nothing moves. Neither set is ever emptied. What stays in M is taken for
    members.

    Parameters
    ----------
    start : how many samples start in N, at most a third of the target.
    batch : how many samples of M are marked against one MMD².
    rounds : most passes over M.

    The decision is about a set: scores are 1 or -1, and there is no ROC. O(n²) time, O(n) memory.
    """

    ranks: ClassVar[bool] = False
    blind: ClassVar[bool] = True

    def __init__(self, start: int = 1000, batch: int = 1000, rounds: int = 100) -> None:
        self.start = start
        self.batch = batch
        self.rounds = rounds

    def _check_options(self) -> None:
        for name in ("start", "batch", "rounds"):
            require_integer(name, getattr(self, name), 1)

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        """Learn nothing: the attack is blind to shadow networks."""

    def _decide(self, target: Signals) -> Floats:
        features = _largest(target, 3)
        if len(features) < 2:
            return np.ones(len(features))
        count = min(self.start, max(1, len(features) // 3))
        others = np.zeros(len(features), dtype=bool)
        others[np.argsort(features[:, 0], kind="stable")[:count]] = True
        sets = _Sets(features, others)
        for _ in range(self.rounds):
            if not sum(sets.move(rows) for rows in _batches(~sets.others, self.batch)):
                break
        return np.where(sets.others, -1.0, 1.0)


class _Sets:
    """Two sets N (``others``) and M of points, with the kernel sums that give MMD² after any single move.

    ``to_others``, ``to_rest``: shape (n,), each point's kernel summed over N and over M.
    """

    def __init__(self, points: Floats, others: Bools) -> None:
        self.points, self.others = points, others
        self.to_others = kernel_sums(points, points[others])
        self.to_rest = kernel_sums(points, points[~others])

    def move(self, rows: np.ndarray) -> int:
        """Move those of ``rows`` whose own move increases MMD² from M to N; return how many moved."""
        before, after = self.discrepancies(rows)
        gain = after - before
        marked = rows[gain > 1e-12 * max(1.0, abs(before))]
        if len(marked) == (~self.others).sum():  # M must not be emptied: the least gain stays
            marked = np.delete(marked, int(np.argmin(gain[gain > 1e-12 * max(1.0, abs(before))])))
        if len(marked):
            moved = kernel_sums(self.points, self.points[marked])
            self.to_others += moved
            self.to_rest -= moved
            self.others[marked] = True
        return len(marked)

    def discrepancies(self, rows: np.ndarray) -> tuple[float, Floats]:
        """Return the biased MMD²(N, M), and for each of ``rows`` (in M) what it would be after its move."""
        n, m, own = int(self.others.sum()), int((~self.others).sum()), float(len(BANDWIDTHS))
        nn, mm = self.to_others[self.others].sum(), self.to_rest[~self.others].sum()
        nm = self.to_others[~self.others].sum()
        before = nn / n**2 + mm / m**2 - 2 * nm / (n * m)
        if m == 1:
            return float(before), np.full(len(rows), -np.inf)
        to_n, to_m = self.to_others[rows], self.to_rest[rows]
        after: Floats = (nn + 2 * to_n + own) / (n + 1) ** 2 + (mm - 2 * to_m + own) / (m - 1) ** 2
        after -= 2 * (nm - to_n + to_m - own) / ((n + 1) * (m - 1))
        return float(before), after


def kernel_sums(points: Floats, others: Floats) -> Floats:
    """Return for each of ``points``, (n, d), the kernel summed over ``others``, (k, d): shape (n,); in blocks."""
    sums = np.zeros(len(points))
    if len(others) == 0:
        return sums
    step = max(1, ENTRIES // len(others))
    for start in range(0, len(points), step):
        part = points[start : start + step]
        squares = sum((part[:, [d]] - others[:, d]) ** 2 for d in range(points.shape[1]))
        for sigma in BANDWIDTHS:
            sums[start : start + step] += np.exp(squares * (-0.5 / sigma)).sum(axis=1)
    return sums


def _largest(signals: Signals, count: int) -> Floats:
    """Return the ``count`` largest posteriors, descending, shape (n, count); with two classes the two there are."""
    return -np.sort(-signals.posteriors.astype(np.float64), axis=1)[:, :count]


def _batches(member: Bools, size: int) -> list[np.ndarray]:
    rows = np.flatnonzero(member)
    return [rows[start : start + size] for start in range(0, len(rows), size)]
