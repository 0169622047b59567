"""How cost and memory grow with the samples: thresholds, BlindMI, bootstraps, DeLong; and shadows.

Each case runs in a process of its own, so that its peak memory is its own.
"""

import resource
import subprocess
import sys
import time

import numpy as np

import prunemia as pm
from prunemia import attacks, divergence, metrics

SIZES = (5_000, 20_000, 100_000)
SHADOWS = (5, 32, 256)
CLASSES = 10


def signals(n: int, seed: int = 0, networks: int = 1) -> pm.Signals:
    """Return what networks answer members and others, members a little surer."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, CLASSES, n)
    member = np.arange(n) % 2 == 0
    logits = draw.normal(size=(n, CLASSES))
    logits[np.arange(n), labels] += 2 + 0.5 * member
    moved = np.exp(draw.normal(size=(n, CLASSES)) - 0.5 * member[:, None])
    model = np.arange(n) * networks // n
    return pm.Signals.from_logits(logits, moved, labels, membership=member, model=model)


def thresholds(n: int) -> None:
    attacks.get("mentr")().fit(signals(n)).predict(signals(n, 1).observed())


def blindmi(n: int) -> None:
    attacks.get("blindmi")().fit(signals(500)).predict(signals(n, 1).observed())


def bootstraps(n: int) -> None:
    divergence.compare(signals(n), signals(n), bootstraps=100)


def delong(n: int) -> None:
    target = signals(n)
    first, second = target.posteriors[:, 0], target.posteriors[:, 1]
    member = target.require_membership()
    metrics.compare(member, (first, first > 0.5), (second, second > 0.5))


def shadows(k: int) -> None:
    attacks.get("mentr")().fit(signals(2250 * k, networks=k))


CASES = {
    "thresholds": (thresholds, SIZES),
    "BlindMI": (blindmi, SIZES),
    "100 bootstraps": (bootstraps, SIZES),
    "DeLong": (delong, SIZES),
    "thresholds on k shadow networks": (shadows, SHADOWS),
}


def measured(name: str, size: int) -> tuple[float, float]:
    """Return CPU seconds and peak memory in MB of one case, in a process of its own."""
    line = subprocess.run(
        [sys.executable, __file__, name, str(size)], capture_output=True, text=True, check=True
    ).stdout
    seconds, memory = line.split()
    return float(seconds), float(memory)


def main() -> None:
    if len(sys.argv) == 3:
        work, size = CASES[sys.argv[1]][0], int(sys.argv[2])
        start = time.process_time()
        work(size)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(time.process_time() - start, peak)
        return
    for name, (_, sizes) in CASES.items():
        found = [measured(name, size) for size in sizes]
        cells = ", ".join(
            f"{size:,}: {seconds:.2f} s and {memory:,.0f} MB"
            for size, (seconds, memory) in zip(sizes, found, strict=True)
        )
        more = found[-1][0] / found[0][0]
        print(
            f"{name}: {cells} ({sizes[-1] / sizes[0]:g} times as many: {more:.1f} times the time)"
        )


if __name__ == "__main__":
    main()
