"""What one forward pass costs, counted exactly."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Return one sample's multiplications with a weight, in convolutions and linear layers."""
    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        weight = layer.get_parameter("weight")
        places = output[0].numel() // len(weight)  # where each filter is applied
        total += places * weight.numel()

    layers = [
        layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
    ]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    before = module.training
    try:
        module.eval()(torch.zeros((1, *shape), device=next(module.parameters()).device))
    finally:
        module.train(before)
        for hook in hooks:
            hook.remove()
    return total
