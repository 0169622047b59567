"""What channels that are cut sent on to the next layer, left behind as an offset of that layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

TOLERANCE = 1e-6
"""Differences below this share of the largest value are rounding."""


class Absorbed(nn.Module):
    """A layer and the offset of the channels cut before it: a value per filter and kind of place.

    Lines of places with equal offsets are kept once; ``places1`` and so on say, for each dimension,
    which of them each place has.
    """

    offset: Tensor

    def __init__(self, layer: nn.Module, offset: Tensor) -> None:
        super().__init__()
        self.layer = layer
        for dimension in range(1, offset.ndim):
            offset, places = _compressed(offset, dimension)
            self.register_buffer(f"places{dimension}", places)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer gives, and the offset."""
        offset = self.offset
        for dimension in range(1, offset.ndim):
            offset = offset.index_select(dimension, self.get_buffer(f"places{dimension}"))
        answer: Tensor = self.layer(x) + offset
        return answer


@torch.no_grad()
def contribution(layer: nn.Module, x: Tensor, channels: list[int]) -> Tensor:
    """Return what these constant channels of ``x`` add to the layer's answer, (filters, …)."""
    alone = torch.zeros_like(x)
    alone[:, channels] = x[:, channels]
    # The difference leaves the layer's own bias out, which it keeps.
    answer: Tensor = layer(alone)[0] - layer(torch.zeros_like(x))[0]
    return answer


@torch.no_grad()
def absorb(module: nn.Module, layer: nn.Module, offset: Tensor) -> None:
    """Leave the offset in the layer's bias if it is the same everywhere, else around the layer."""
    if not offset.any():
        return
    flat = offset.flatten(1) if offset.ndim > 1 else offset[:, None]
    if (flat - flat[:, :1]).abs().max() <= TOLERANCE * flat.abs().max():
        old = layer._parameters.get("bias")
        bias = flat[:, 0] if old is None else old + flat[:, 0]
        layer.register_parameter("bias", nn.Parameter(bias))
        return
    # A zero-padding convolution: the constant counts for less at the border than inside.
    name = next(name for name, child in module.named_modules() if child is layer)
    parent, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(parent), attribute, Absorbed(layer, offset))


def _compressed(offset: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """Return the runs of equal slices along a dimension, each once, and the run of each place."""
    moved = offset.movedim(dimension, 0).flatten(1)
    changes = (moved[1:] - moved[:-1]).abs().amax(dim=1) > TOLERANCE * moved.abs().max()
    places = torch.cat([changes.new_zeros(1), changes]).cumsum(0)
    firsts = torch.cat([changes.new_ones(1), changes]).nonzero().flatten()
    return offset.index_select(dimension, firsts), places
