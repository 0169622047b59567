"""64 shadow networks, trained and pruned in stacks, against one by one."""

from dataclasses import replace

import torch
from _timing import cpu_seconds, judged, side_by_side

from prunemia import models, pruning
from prunemia.training import FitSettings, Job, fit

NETWORKS, ROWS, STACK, FEW = 64, 1125, 16, 8
"""One by one only a few are timed: the others would take as long each."""
CASES = (
    ("cnn1d", (1, 40), 10, 8, 32, 3.0),
    ("columnfc", (446,), 30, None, 128, 2.0),
)


def main() -> None:
    for kind, shape, classes, width, batch, target in CASES:
        draw = torch.Generator().manual_seed(0)
        features = torch.randn(2 * ROWS, *shape, generator=draw)
        labels = features.flatten(1)[:, :classes].argmax(dim=1)
        rows = torch.arange(2 * ROWS)
        settings = FitSettings(4, batch_size=batch, patience=4)

        def jobs(count, kind=kind, shape=shape, classes=classes, width=width, rows=rows):
            return [
                Job(
                    f"{i}",
                    models.build(kind, shape, classes, width=width, seed=i),
                    rows[:ROWS],
                    rows[ROWS : ROWS + 250],
                    rows[ROWS:],
                    i,
                )
                for i in range(count)
            ]

        def carried_out(
            count, size, jobs=jobs, features=features, labels=labels, settings=settings
        ) -> None:
            todo = jobs(count)
            for start in range(0, count, size):
                group = todo[start : start + size]
                fit(group, features, labels, settings)
                group = [
                    replace(job, masks=pruning.prune(job.module, "l1unstructured", 0.7))
                    for job in group
                ]
                fit(group, features, labels, settings)

        name = f"{kind}{'' if width is None else f' of width {width}'}"
        side_by_side(
            f"{FEW} shadow networks ({name}) trained and pruned in a stack, against one by one",
            lambda c=carried_out: c(FEW, 1),
            lambda c=carried_out: c(FEW, FEW),
            target=1,
            repeats=3,
        )
        alone = cpu_seconds(lambda c=carried_out: c(FEW, 1)) / FEW
        stacked = cpu_seconds(lambda c=carried_out: c(NETWORKS, STACK)) / NETWORKS
        print(
            f"{NETWORKS} shadow networks ({name}) in stacks of {STACK}: "
            f"{1000 * stacked:.0f} ms a network against {1000 * alone:.0f} ms one by one, "
            f"{alone / stacked:.1f} times faster; {judged(alone / stacked, target)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
