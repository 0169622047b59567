"""A sweep of 48 experiments by one worker and by two: wall time, for cores are compared."""

import tempfile
import time

import pandas as pd
from _timing import judged

from prunemia.experiment import Experiment
from prunemia.lab import Lab, sweep

TARGET = 1.8
SMALL = {"samples": 1500, "width": 16, "epochs": 8, "shadows": 3}
GRID = [
    Experiment(seed=seed, pruner=pruner, sparsity=sparsity, **SMALL)
    for seed in range(4)
    for pruner in ("l1unstructured", "l1structured", "l2structured", "slim")
    for sparsity in (0.5, 0.7, 0.9)
]


def swept(workers: int) -> tuple[float, pd.DataFrame]:
    """Return the seconds that a sweep takes, after its workers have started, and its table."""
    with tempfile.TemporaryDirectory() as folder, sweep.local_workers(workers) as address:
        Lab(folder, address, "cpu", False).map(GRID[:1], ["conf"])  # imports torch
        start = time.perf_counter()
        table = Lab(folder, address, "cpu", False).map(GRID, ["conf", "mentr", "samia"])
        return time.perf_counter() - start, table


def main() -> None:
    one, first = swept(1)
    two, second = swept(2)
    pd.testing.assert_frame_equal(first, second)
    print(
        f"a sweep of {len(GRID)} experiments by two workers: {one / two:.2f} times faster than by "
        f"one ({one:.0f} s against {two:.0f} s, the same table); {judged(one / two, TARGET)}"
    )


if __name__ == "__main__":
    main()
