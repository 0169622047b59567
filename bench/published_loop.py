"""Six networks trained, and pruned and fine-tuned, against the published code's own loop.

The published code trains a network at a time: a DataLoader with shuffling over a TensorDataset,
Adam, a second DataLoader for the validation after each epoch, and masks that multiply the weights
anew in each forward pass (torch.nn.utils.prune does the same). Ours are grouped as the pipeline
groups them: the victim alone, its five shadows as one stack. Shapes are Location-30's.
"""

import torch
from _published import epoch
from _timing import side_by_side
from torch import nn
from torch.nn.utils import prune as torch_prune
from torch.utils.data import DataLoader, TensorDataset

from prunemia import models, pruning
from prunemia.training import FitSettings, Job, fit

ROWS, VALIDATION, NETWORKS, EPOCHS, BATCH = 1127, 250, 6, 6, 128


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return binary features and labels like Location-30's, with something to learn."""
    draw = torch.Generator().manual_seed(0)
    features = (torch.rand(ROWS + VALIDATION, 446, generator=draw) < 0.1).float()
    return features, (features[:, :30] + 0.1 * features[:, 30:60]).argmax(dim=1)


def built() -> list[nn.Module]:
    return [models.build("columnfc", (446,), 30, seed=i) for i in range(NETWORKS)]


def published(modules: list[nn.Module], features: torch.Tensor, labels: torch.Tensor) -> None:
    """Train each network by itself."""
    train = TensorDataset(features[:ROWS], labels[:ROWS])
    held = TensorDataset(features[ROWS:], labels[ROWS:])
    for module in modules:
        adam = torch.optim.Adam(module.parameters(), 1e-3, weight_decay=5e-4)
        for _ in range(EPOCHS):
            epoch(module, adam, train, BATCH)
            module.eval()
            with torch.no_grad():
                for x, y in DataLoader(held, BATCH):
                    (module(x).argmax(dim=1) == y).sum().item()


def published_pruned(
    modules: list[nn.Module], features: torch.Tensor, labels: torch.Tensor
) -> None:
    """Prune each network by itself, and fine-tune it with its masks."""
    for module in modules:
        for layer in module:
            if isinstance(layer, nn.Linear):
                torch_prune.l1_unstructured(layer, "weight", 0.7)
    published(modules, features, labels)


def ours(
    modules: list[nn.Module], features: torch.Tensor, labels: torch.Tensor, sparsity: float = 0.0
) -> None:
    """Train the victim, and its shadows as one stack."""
    rows = torch.arange(len(features))
    jobs = [
        Job(
            f"{i}",
            module,
            rows[:ROWS],
            rows[ROWS:],
            rows[ROWS:],
            i,
            pruning.prune(module, "l1unstructured", sparsity) if sparsity else None,
        )
        for i, module in enumerate(modules)
    ]
    settings = FitSettings(EPOCHS, batch_size=BATCH, patience=EPOCHS)
    for group in (jobs[:1], jobs[1:]):
        fit(group, features, labels, settings)


def main() -> None:
    features, labels = data()
    loops, stacks = built(), built()
    published(loops, features, labels)
    ours(stacks, features, labels)
    right = [
        sum(int((m(features[ROWS:]).argmax(1) == labels[ROWS:]).sum()) for m in networks)
        for networks in (loops, stacks)
    ]
    assert abs(right[0] - right[1]) < 0.05 * NETWORKS * VALIDATION, right
    side_by_side(
        f"train {NETWORKS} columnfc, against the published loop",
        lambda: published(built(), features, labels),
        lambda: ours(built(), features, labels),
        target=3,
    )
    side_by_side(
        f"prune and fine-tune {NETWORKS} columnfc, against the published loop",
        lambda: published_pruned(built(), features, labels),
        lambda: ours(built(), features, labels, 0.7),
        target=2.5,
    )


if __name__ == "__main__":
    main()
