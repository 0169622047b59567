"""A training step recorded once as a CUDA graph: a GPU then waits for one launch, not for 300."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

WARM_UP = 3
"""First steps that are taken plainly: they allocate the optimizer's state, choose algorithms."""


class CapturedStep:
    """A step of one batch shape: taken plainly at first, then recorded, then replayed.

    The step must do the same kernels each time: nothing in it may read a number from the GPU, or
    depend on one that Python changes. Recording takes no step by itself, so the steps are those
    of plain training, in their order.

    Parameters
    ----------
    step : from sample numbers, (M, b), to losses, (M,); all that it changes stays where it is.
    batch : sample numbers of the first step, for their shape.
    """

    def __init__(self, step: Callable[[Tensor], Tensor], batch: Tensor) -> None:
        self.step = step
        self.batch = batch.clone()  # the graph reads each batch from this memory
        self.stream = torch.cuda.Stream(batch.device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.losses = Tensor()
        self.plain = 0

    def __call__(self, batch: Tensor) -> Tensor:
        """Take a step; the losses, (M,), hold until the next one."""
        self.batch.copy_(batch)
        if self.plain < WARM_UP:
            self.plain += 1
            return self._plainly()
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.losses = self.step(self.batch)
        self.graph.replay()
        return self.losses

    def _plainly(self) -> Tensor:
        """Take a step on the stream that records later, as CUDA graphs ask for."""
        current = torch.cuda.current_stream(self.batch.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            losses = self.step(self.batch)
        current.wait_stream(self.stream)
        return losses


def capturable(defense: type, modules: Iterable[nn.Module]) -> bool:
    """Tell whether steps can be recorded: the defense says so itself, and nothing is drawn."""
    draws = (isinstance(each, _DropoutNd) and each.p > 0 for m in modules for each in m.modules())
    return vars(defense).get("capturable", False) and not any(draws)
