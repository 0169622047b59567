"""A training step of ResNet-18 on a GPU: captured as a CUDA graph, against a plain one."""

import statistics
import time

import torch

from prunemia import defenses, models
from prunemia.pruning import prune
from prunemia.training import FitSettings, Job, Run, fit

BATCH, SHAPE, CLASSES = 128, (3, 32, 32), 10
STEPS, EPOCHS = 10, 5
"""Of the comparison: each epoch's last batch is a shorter one, which is never captured."""
TIMED = 40
"""Steps of a timed epoch."""
REPEATS = 5
DEVICE = torch.device("cuda")


def data(rows: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(rows) % CLASSES
    features = torch.randn(rows, *shape, generator=draw)
    features[torch.arange(rows), 0, ..., 0] += labels.view(-1, *[1] * (len(shape) - 2))
    return features.to(DEVICE), labels.to(DEVICE)


def jobs(kind: str, shape: tuple[int, ...], rows: int, count: int = 1) -> list[Job]:
    built = [models.build(kind, shape, CLASSES, seed=seed) for seed in range(count)]
    masks = [prune(module.to(DEVICE), "l1unstructured", 0.7) for module in built]
    train, rest = torch.arange(rows, device=DEVICE).split([rows - BATCH, BATCH])
    return [
        Job(f"{i}", module, train, rest, rest, i, mask)
        for i, (module, mask) in enumerate(zip(built, masks, strict=True))
    ]


def differences(kind: str, shape: tuple[int, ...], count: int, defense: str, **settings) -> str:
    """Train plainly, plainly again, and captured; return the largest differences."""
    rows = STEPS * BATCH + BATCH // 2
    features, labels = data(rows, shape)
    results = []
    for graph in (False, False, True):
        networks = jobs(kind, shape, rows, count)
        chosen = FitSettings(EPOCHS, batch_size=BATCH, graph=graph, **settings)
        histories = fit(networks, features, labels, chosen, defense=defenses.get(defense))
        losses = [torch.tensor(h.loss + h.validation_loss) for h in histories]
        weights = [v.double().cpu() for j in networks for v in j.module.state_dict().values()]
        results.append((losses, weights))
    plain, *others = results
    again, captured = (
        [_largest(a, b) for a, b in zip(plain, other, strict=True)] for other in others
    )
    return (
        f"after {STEPS * EPOCHS} steps losses differ by at most {captured[0]:.2g} and weights "
        f"by at most {captured[1]:.2g} from plain ones; those repeat to {again[0]:.2g} and "
        f"{again[1]:.2g}"
    )


def _largest(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    """Return the largest difference; infinite where one has more entries than the other."""
    pairs = list(zip(a, b, strict=True))
    if any(x.shape != y.shape for x, y in pairs):
        return float("inf")
    return max(float((x - y).abs().max()) for x, y in pairs)


def rates() -> dict[bool, list[float]]:
    """Return images per second of ResNet-18, plain and captured in turn."""
    rows = (TIMED + 1) * BATCH
    features, labels = data(rows, SHAPE)
    runs = {}
    for graph in (False, True):
        settings = FitSettings(1000, batch_size=BATCH, graph=graph)
        run = Run(jobs("resnet18", SHAPE, rows), features, labels, settings, defenses.get("none"))
        run.defense.start(run)
        run.train_epoch(0)  # not timed: it allocates, chooses algorithms, captures
        runs[graph] = run
    found: dict[bool, list[float]] = {False: [], True: []}
    for epoch in range(1, 1 + REPEATS):
        for graph, run in runs.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            run.train_epoch(epoch)
            torch.cuda.synchronize()
            found[graph].append(TIMED * BATCH / (time.perf_counter() - started))
    return found


def main() -> None:
    if not torch.cuda.is_available():
        print("ResNet-18's step on a GPU: there is no GPU here, so nothing was measured")
        return
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        found = rates()
    plain, captured = (statistics.median(found[graph]) for graph in (False, True))
    ratios = sorted(c / p for p, c in zip(found[False], found[True], strict=True))
    print(
        f"ResNet-18 of width 64, batches of {BATCH}, float32, {torch.cuda.get_device_name()}: "
        f"{captured:,.0f} images a second captured, {plain:,.0f} plain "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f} times)",
        flush=True,
    )
    for kind, shape, count, defense, settings in (
        ("resnet18", SHAPE, 1, "none", {}),
        ("resnet18", SHAPE, 1, "ppb", {"precision": "bfloat16"}),
        ("cnn1d", (1, 40), 3, "earlystop", {"patience": 1}),  # the stack shrinks on the way
    ):
        words = [kind, defense, *map(str, settings.values())]
        found_out = differences(kind, shape, count, defense, **settings)
        print(f"{', '.join(words)}: {found_out}", flush=True)


if __name__ == "__main__":
    main()
