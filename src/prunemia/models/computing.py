"""How networks compute: on how many threads, in which mode, at what cost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one CPU thread: faster for small networks, and the same bits at any load."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode, and restore afterwards the mode of each layer, one by one."""
    modes = [(layer, layer.training) for layer in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


@torch.no_grad()
def macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Return one sample's multiplications with a weight, in convolutions and linear layers."""
    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        weight: Tensor = layer.weight  # type: ignore[assignment]  # it may be computed
        places = output[0].numel() // len(weight)  # where each filter is applied
        total += places * weight.numel()

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    layers = [layer for layer in module.modules() if isinstance(layer, kinds)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        with evaluating(module):
            module(torch.zeros((1, *shape)).to(next(module.parameters())))
    finally:
        for hook in hooks:
            hook.remove()
    return total
