"""A training step recorded once as a CUDA graph: a GPU waits for one launch, not for hundreds."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

WARM_UP = 3
"""First steps that are taken plainly: they allocate the optimizer's state, choose algorithms."""


class RecordedStep:
    """A step of one batch shape: taken plainly at first, then recorded, then replayed.

    Every step has to do the same kernels: nothing in it may read a number from the GPU, draw one,
    or depend on one that Python changes. Recording takes no step by itself, so results are those
    of plain steps, to the bit.
    """

    def __init__(self, step: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer) -> None:
        self.step = step
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group["capturable"] = True  # its count of steps lies on the GPU, too
        self.plain = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.batch = self.losses = Tensor()

    def __call__(self, batch: Tensor) -> Tensor:
        """Take a step on sample numbers, (1, b); return the losses, (1,), in nats."""
        if self.plain < WARM_UP:
            self.plain += 1
            aside = torch.cuda.Stream()  # as CUDA graphs ask of what is recorded later
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                losses = self.step(batch)
            torch.cuda.current_stream().wait_stream(aside)
            return losses
        if self.graph is None:
            self.batch = batch.clone()  # the graph reads each batch from this memory
            self.optimizer.zero_grad(set_to_none=True)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.losses = self.step(self.batch)
        self.batch.copy_(batch)
        self.graph.replay()
        return self.losses.clone()


def recordable(defense: object, module: nn.Module) -> bool:
    """Tell whether steps can be recorded: the defense says so itself, and no layer draws."""
    draws = any(isinstance(layer, nn.Dropout) for layer in module.modules())
    return bool(vars(type(defense)).get("recordable", False)) and not draws
