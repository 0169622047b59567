"""Measure two alternatives side by side: CPU time, alternately, medians; one line a claim."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds that ``work`` takes in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def judged(ratio: float, target: float) -> str:
    """Say the target and whether a ratio reaches it."""
    return f"target {target:g}, {'reached' if ratio >= target else 'MISSED'}"


def side_by_side(
    name: str,
    plain: Callable[[], object],
    ours: Callable[[], object],
    *,
    target: float,
    repeats: int = 5,
) -> None:
    """Time ``plain`` and ``ours`` in turn; print their ratio, its spread, and the target.

    The ratio is of the medians; the spread is that of the ratios pair by pair. Results must have
    been compared before: this function only times.
    """
    torch.set_num_threads(1)
    pairs = [(cpu_seconds(plain), cpu_seconds(ours)) for _ in range(repeats)]
    before, after = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    print(
        f"{name}: {before / after:.1f} times faster ({ratios[0]:.1f} to {ratios[-1]:.1f}; "
        f"{before:.3g} s against {after:.3g} s; {judged(before / after, target)})",
        flush=True,
    )
