"""Weights rounded to few bits: what a quantized release of a network holds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prunemia.pruning.masks import WEIGHTED, layers

FEWEST, MOST = 2, 8
"""Bits of a rounded weight."""


def rounded(weight: Tensor, bits: int) -> Tensor:
    """Return the weights of one layer, rounded to ``bits`` bits, symmetrically per output channel.

    Each channel, ``weight[c]``, has a step of its own, max |w| / (2^(bits − 1) − 1), and its
    weights go to the nearest multiple of it. Zero stays exactly zero, and so does a channel of
    zeros; the largest weight of a channel keeps its size. With 2 bits a weight is −max, 0 or max.

    Parameters
    ----------
    weight : shape (channels, …), of a Conv or Linear.
    bits : 2 … 8.

    Raises
    ------
    ValueError
        ``bits`` is out of range.

    Source: the symmetric, channel by channel scheme of Krishnamoorthi (2018, arXiv 1806.08342),
    section 2; here the weights alone, and without fine-tuning afterwards.
    """
    if not FEWEST <= bits <= MOST:
        raise ValueError(f"bits: {bits} is not allowed; allowed: {FEWEST} to {MOST}")
    largest = weight.abs().flatten(1).amax(dim=1).view(-1, *[1] * (weight.ndim - 1))
    step = largest / (2 ** (bits - 1) - 1)
    whole = torch.round(weight / step.masked_fill(step == 0, 1))  # a channel of zeros stays so
    result: Tensor = whole * step
    return result


@torch.no_grad()
def round_(module: nn.Module, bits: int) -> None:
    """Round the weights of every Conv and Linear in place; biases and BatchNorm stay as they are.

    Raises
    ------
    ValueError
        ``bits`` is out of range.
    """
    for _, layer in layers(module, WEIGHTED):
        weight = layer.get_parameter("weight")
        weight.copy_(rounded(weight, bits))
