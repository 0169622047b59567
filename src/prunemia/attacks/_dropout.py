"""Dropout whose masks cost little: what SAMIA's network drops by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from prunemia.models import Dropout, dropout_mask


class PooledDropout(Dropout):
    """Dropout whose masks are cut from a pool, which is drawn anew after 16 uses per entry.

    Drawing fresh bits for each mask takes a quarter of a training step. A mask cut from the pool
    has the same distribution; what is given up is that the masks of a few steps in a row are not
    independent.
    """

    SIZE = 2**21
    USES = 16

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.pool = torch.empty(0)
        self.left = 0

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; in evaluation mode there is no pool."""
        self.pool = torch.empty(0)
        self.left = 0
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with a share ``p`` of its entries dropped while training."""
        return x * self.cut(x.shape, x.device).to(x.dtype) if self.active else x

    @property
    def active(self) -> bool:
        """Whether anything is dropped now."""
        return self.training and self.p > 0

    def cut(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """Return a mask: 0 with probability p, else 1 / (1 - p).

        It is a view of the pool, not to be written.
        """
        count = math.prod(shape)
        if self.left < count or len(self.pool) < 2 * count:
            size = max(self.SIZE, 2 * count)
            self.pool = dropout_mask((size,), self.p, self.generator, device)
            self.left = self.USES * size
        self.left -= count
        start = int(
            torch.randint(len(self.pool) - count + 1, (), generator=self.generator, device=device)
        )
        return self.pool[start : start + count].view(*shape)
