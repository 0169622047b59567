"""What a network costs to keep and to run, measured."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor, nn

from prunemia.models import evaluating, macs, one_thread

WARM_UP = 2
"""First passes that are not timed: they allocate memory and choose algorithms."""


@dataclass(frozen=True)
class Cost:
    """What a network costs to keep and to run.

    Attributes
    ----------
    parameters : how many numbers training fitted.
    macs : multiplications with a weight for one sample, of convolutions and linear layers.
    bytes : size of its file (safetensors).
    seconds : median wall time of a batch in evaluation mode, one CPU thread or the network's GPU.
    """

    parameters: int
    macs: int
    bytes: int
    seconds: float


def cost(
    module: nn.Module, input_shape: tuple[int, ...], batch: int = 1, repeats: int = 30
) -> Cost:
    """Measure a network on ``batch`` inputs of a shape; the first three figures are exact."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    x = torch.zeros((batch, *input_shape)).to(next(module.parameters()))
    with evaluating(module):
        seconds = [_seconds(module, x) for _ in range(WARM_UP + repeats)][WARM_UP:]
    return Cost(
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs(module, input_shape),
        bytes=len(safetensors.torch.save(state)),
        seconds=statistics.median(seconds),
    )


@torch.inference_mode()
def _seconds(module: nn.Module, x: Tensor) -> float:
    """Return the wall time of one forward pass."""
    with one_thread():
        started = time.perf_counter()
        module(x)
        if x.device.type == "cuda":  # a GPU computes on after the call returned
            torch.cuda.synchronize(x.device)
        return time.perf_counter() - started
