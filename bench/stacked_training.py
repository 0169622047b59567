"""Five shadow networks trained as one stack against one by one, each by plain torch, same seeds."""

import torch
from _stack import NETWORKS, stack
from _timing import side_by_side
from torch import nn

from prunemia.training import FitSettings, accuracy, fit

ROWS, EPOCHS = 1125, 4


def main() -> None:
    for kind, shape, classes, target in (
        ("columnfc", (446,), 30, 1.3),
        ("cnn1d", (1, 40), 10, 1.2),
    ):
        features, labels, jobs = stack(kind, shape, classes, ROWS)

        def plain(features=features, labels=labels, jobs=jobs) -> list[nn.Module]:
            modules = []
            for job in jobs():
                adam = torch.optim.Adam(job.module.parameters(), 1e-3, weight_decay=5e-4)
                draw = torch.Generator().manual_seed(job.seed)
                for _ in range(EPOCHS):
                    job.module.train()
                    for batch in job.train[torch.randperm(ROWS, generator=draw)].split(128):
                        adam.zero_grad()
                        nn.functional.cross_entropy(
                            job.module(features[batch]), labels[batch]
                        ).backward()
                        adam.step()
                    accuracy(job.module, features, labels, job.validation)
                modules.append(job.module)
            return modules

        def stacked(features=features, labels=labels, jobs=jobs) -> list[nn.Module]:
            made = jobs()
            fit(made, features, labels, FitSettings(EPOCHS, patience=EPOCHS))
            return [job.module for job in made]

        test = torch.arange(ROWS, 2 * ROWS)
        scores = [
            [accuracy(m, features, labels, test) for m in train()] for train in (plain, stacked)
        ]
        assert all(abs(a - b) < 0.06 for a, b in zip(*scores, strict=True)), scores
        side_by_side(
            f"{kind}, {NETWORKS} networks stacked, against one by one",
            plain,
            stacked,
            target=target,
        )


if __name__ == "__main__":
    main()
