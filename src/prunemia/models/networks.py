"""The networks, built from plain layers so that several of one shape can be stacked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prunemia.registry import NETWORKS, NetworkKind, load


class Dropout(nn.Dropout):
    """Dropout whose masks come from its own ``generator``, so that a network's draws are its own.

    Without a generator (``None``) it draws from torch's global one, as nn.Dropout does.
    """

    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with a share ``p`` of its entries dropped while training."""
        if not self.training or self.p == 0:
            return x
        return x * dropout_mask(x.shape, self.p, self.generator, x.device).to(x.dtype)


def dropout_mask(
    shape: Sequence[int], p: float, generator: torch.Generator | None, device: torch.device | str
) -> Tensor:
    """Draw 0 with probability p and 1 / (1 - p) otherwise, shape ``shape``.

    Four entries share one 64-bit draw: p is met to 2**-17, at a quarter of bernoulli's cost.
    """
    count = math.prod(shape)
    bits = torch.empty(-(-count // 4), dtype=torch.int64, device=device)
    bits.random_(-(2**63), None, generator=generator)
    level = round(p * 2**16) - 2**15
    keep = bits.view(torch.int16)[:count].view(*shape) >= level
    return keep.to(torch.float32).div_(1 - p)


def build(
    name: str, input_shape: Sequence[int], classes: int, *, width: int | None = None, seed: int = 0
) -> nn.Module:
    """Return a fresh network with Xavier-normal weights and zero biases.

    2-D kernels lie channels-last in memory.

    Parameters
    ----------
    name : one of `prunemia.registry.NETWORKS`.
    input_shape : the shape of one sample, channels first.
    classes : how many logits it gives.
    width : channels of the first block, for all but columnfc; None: the network's own.
    seed : of the weights.

    Raises
    ------
    ValueError
        There is no such network, or it does not take samples of this shape.
    """
    kind = NETWORKS.find(name)
    shape = tuple(input_shape)
    _require_shape(name, kind, shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: nn.Module = load(kind.import_path)(shape, classes, width or kind.width or 0)
        for layer in module.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
                nn.init.xavier_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        return module.to(memory_format=torch.channels_last)


class Pool(nn.AdaptiveAvgPool1d):
    """Averages to so many places; where there are as many already, it takes no time for it."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x, shape (n, C, L), averaged to (n, C, output_size)."""
        return x if x.shape[-1] == self.output_size else super().forward(x)


def columnfc(shape: tuple[int, ...], classes: int, _: int) -> nn.Module:
    """Yuan & Zhang's network for feature data: two hidden layers of 256 and 128."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), 256),
        nn.ReLU(),
        Dropout(0.1),
        nn.Linear(256, 128),
        nn.ReLU(),
        Dropout(0.1),
        nn.Linear(128, classes),
    )


def cnn1d(shape: tuple[int, ...], classes: int, width: int) -> nn.Module:
    """Three halving Conv1d + BatchNorm + ReLU blocks, pooled to five places, and a linear head.

    Kernels and strides are those of the MNIST-1D network of Greydanus & Kobak (2024).
    """
    layers: list[nn.Module] = []
    channels = shape[0]
    for kernel in (5, 3, 3):
        layers += [nn.Conv1d(channels, width, kernel, stride=2, padding=kernel // 2, bias=False)]
        layers += [nn.BatchNorm1d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, Pool(5), nn.Flatten(), nn.Linear(5 * width, classes))


def cnn2d(shape: tuple[int, ...], classes: int, width: int) -> nn.Module:
    """Three halving Conv2d + BatchNorm + ReLU blocks, pooled, and a linear head: small images."""
    layers: list[nn.Module] = []
    channels = shape[0]
    for wide in (width, 2 * width, 4 * width):
        layers += [
            nn.Conv2d(channels, wide, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        channels = wide
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


_FORMS = {
    "features": (1, "(features,)"),
    "series": (2, "(channels, length)"),
    "images": (3, "(channels, height, width)"),
}


def _require_shape(name: str, kind: NetworkKind, shape: tuple[int, ...]) -> None:
    """Refuse samples that the network does not take."""
    if kind.takes is None:
        return
    dimensions, form = _FORMS[kind.takes]
    if len(shape) != dimensions:
        raise ValueError(
            f"model: {name!r} takes samples of shape {form}; this data set's are {shape}"
        )
    if kind.takes == "images" and min(shape[1:]) < kind.smallest:
        least = f"{kind.smallest}×{kind.smallest}"
        raise ValueError(f"model: {name!r} takes images of {least} or more; these are {shape}")
