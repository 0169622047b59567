"""What share of this machine's own rate of matrix products training, SAMIA and queries reach.

The rate is that of one thread on square float32 matrices. Of columnfc, whose arithmetic is products
and little else, the profiler says what the rest of the time is: Adam and copies, which read and
write all weights, batches that are picked from the data, dropout.
"""

import re
import statistics
from collections.abc import Callable

import torch
from _stack import NETWORKS, stack
from _timing import cpu_seconds
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from prunemia import models
from prunemia.attacks.samia import Network
from prunemia.signals import query
from prunemia.training import FitSettings, fit

ROWS, EPOCHS, BATCH, REPEATS = 1127, 6, 128, 5
PARTS = {
    "products": "mm|convolution",
    "Adam": "adam|Adam",
    "copies": "copy_|cat|stack",
    "batches": "index|gather",
    "dropout": "random|bernoulli|aten::(mul|ge|div_)$",
}


def median(work: Callable[[], object]) -> float:
    """Return the median of the CPU seconds that ``work`` takes."""
    return statistics.median(cpu_seconds(work) for _ in range(REPEATS))


def rate(size: int = 1024) -> float:
    """Return the floating-point operations a second of a square product."""
    a, b = torch.randn(2, size, size)
    return 2 * size**3 / median(lambda: a @ b)


def flops(work: Callable[[], object]) -> int:
    """Return the operations of all products and convolutions in ``work``."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def training(kind: str, shape: tuple[int, ...], classes: int) -> Callable[[], object]:
    """Return the training of five stacked networks, built anew each time."""
    features, labels, jobs = stack(kind, shape, classes, ROWS)
    settings = FitSettings(EPOCHS, batch_size=BATCH, patience=EPOCHS)

    return lambda: fit(jobs(), features, labels, settings)


def parts(work: Callable[[], object]) -> str:
    """Say where the time of ``work`` goes, by torch's profiler."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        work()
    spent = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    total = sum(spent.values())
    return ", ".join(
        f"{name} {sum(v for k, v in spent.items() if re.search(pattern, k)) / total:.0%}"
        for name, pattern in PARTS.items()
    )


def samia(classes: int, fast: bool, rows: int) -> Callable[[], None]:
    """Return twelve training steps of SAMIA's network."""
    network = Network(classes, fast).train()
    x, y = torch.randn(rows, 3 * classes), torch.arange(rows) % 2
    kind = torch.optim.AdamW if fast else torch.optim.SGD
    optimizer = kind(network.parameters(), 1e-3, fused=True)

    def work() -> None:
        for _ in range(12):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()

    return work


def main() -> None:
    torch.set_num_threads(1)
    limit = rate()
    print(f"one thread's square product: {limit / 1e9:.0f} GFLOP/s")

    def share(name: str, work: Callable[[], object]) -> None:
        operations, seconds = flops(work), median(work)
        print(
            f"{name}: {operations / seconds / limit:.0%} of it "
            f"({operations / 1e9:.1f} GFLOP in {seconds:.2f} s)",
            flush=True,
        )

    fitted = training("columnfc", (446,), 30)
    share(f"train {NETWORKS} columnfc as a stack", fitted)
    share(f"train {NETWORKS} cnn1d as a stack", training("cnn1d", (1, 40), 10))
    for classes in (10, 30, 100):
        share(f"SAMIA, fast recipe, C = {classes}", samia(classes, True, 256))
        share(f"SAMIA, paper recipe, C = {classes}", samia(classes, False, 128))
    for kind, shape, classes in (("columnfc", (446,), 30), ("cnn1d", (1, 40), 10)):
        module = models.build(kind, shape, classes)
        share(
            f"ask {kind}, ten draws",
            lambda m=module, s=shape: query.answers(m, torch.randn(ROWS, *s)),
        )

    print(f"where the time of the columnfc stack goes: {parts(fitted)}")


if __name__ == "__main__":
    main()
