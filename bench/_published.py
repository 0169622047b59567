"""An epoch as the published code runs it."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, samples: TensorDataset, batch: int
) -> None:
    """Pass once over the samples, shuffled by a DataLoader."""
    network.train()
    for x, y in DataLoader(samples, batch, shuffle=True):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        loss.item()
