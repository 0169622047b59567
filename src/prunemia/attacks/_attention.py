"""SAMIA's network: self-attention over classes, written out because that is faster than nn.TransformerEncoder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from prunemia.models import Dropout, dropout_mask

WIDTH, HEADS, HIDDEN, LAYERS = 64, 4, 128, 3
DEPTH = WIDTH // HEADS
CHUNK = 2**19
"""Attention weights worked on at a time: 2 MiB, so that they stay in a core's cache."""


class PooledDropout(Dropout):
    """Dropout whose masks are cut at random places from a pool, drawn anew after 16 uses of each entry.

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
        self.pool, self.left = torch.empty(0), 0
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with a share ``p`` of its entries dropped while training."""
        return x * self.cut(x.shape, x.device) if self.active else x

    @property
    def active(self) -> bool:
        """Whether anything is dropped now."""
        return self.training and self.p > 0

    def cut(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """Return a mask: 0 with probability p, else 1 / (1 - p); a view of the pool, not to be written."""
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


class Attend(torch.autograd.Function):
    """Multi-head attention with dropout on its weights, in chunks of rows that fit the cache.

    Takes queries, keys and values side by side, (B, C, 3 · 64), and gives (B, C, 64). The backward
    pass reads the row sums of dP ∘ P off the output, as flash attention does (Dao et al., NeurIPS
    2022).
    """

    @staticmethod
    def forward(ctx: Any, mixed: Tensor, drop: PooledDropout) -> Tensor:
        """Attend; keeps the weights before dropout, and the masks, for the backward pass."""
        rows, tokens, _ = mixed.shape
        out = mixed.new_empty(rows, tokens, WIDTH)
        ctx.weights, ctx.masks = [], []
        for part in _chunks(rows, tokens):
            q, k, v = _heads(mixed[part], 3)
            weights = torch.bmm(q.mul_(DEPTH**-0.5), k.transpose(1, 2)).softmax(dim=-1)
            mask = drop.cut(weights.shape, weights.device) if drop.active else None
            ctx.weights.append(weights)
            ctx.masks.append(mask)
            _merge(torch.bmm(weights if mask is None else weights * mask, v), out[part], 1, 0)
        ctx.save_for_backward(mixed, out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of ``mixed``."""
        mixed, out = ctx.saved_tensors
        gradient = gradient.contiguous()
        total = torch.empty_like(mixed)
        for part, weights, mask in zip(
            _chunks(*mixed.shape[:2]), ctx.weights, ctx.masks, strict=True
        ):
            q, k, v = _heads(mixed[part], 3)
            (g,), (o,) = _heads(gradient[part], 1), _heads(out[part], 1)
            inner = torch.bmm(g, v.transpose(1, 2))
            if mask is not None:
                inner.mul_(mask)
            inner.sub_((g * o).sum(dim=-1, keepdim=True)).mul_(weights).mul_(DEPTH**-0.5)
            dropped = weights if mask is None else weights.mul_(mask)
            for place, piece in enumerate(
                (
                    torch.bmm(inner, k),
                    torch.bmm(inner.transpose(1, 2), q),
                    torch.bmm(dropped.transpose(1, 2), g),
                )
            ):
                _merge(piece, total[part], 3, place)
        return total, None


def _chunks(rows: int, tokens: int) -> Iterator[slice]:
    step = max(1, CHUNK // (HEADS * tokens * tokens))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _heads(x: Tensor, kinds: int) -> Sequence[Tensor]:
    """Cut (B, C, kinds · 64) into ``kinds`` contiguous tensors of shape (B · heads, C, 16)."""
    rows, tokens, _ = x.shape
    parts = x.view(rows, tokens, kinds, HEADS, DEPTH).permute(2, 0, 3, 1, 4).contiguous()
    return parts.view(kinds, rows * HEADS, tokens, DEPTH).unbind(0)


def _merge(heads: Tensor, into: Tensor, kinds: int, place: int) -> None:
    """Undo `_heads` for the tensor at ``place``, writing into (B, C, kinds · 64)."""
    rows, tokens, _ = into.shape
    into.view(rows, tokens, kinds, HEADS, DEPTH)[:, :, place] = heads.view(
        rows, HEADS, tokens, DEPTH
    ).transpose(1, 2)


def attention_weights(mixed: Tensor) -> Tensor:
    """Return softmax(q kᵀ / 4) for queries, keys and values side by side: (B, heads, C, C)."""
    rows, tokens, _ = mixed.shape
    q, k, _ = _heads(mixed, 3)
    weights: Tensor = (torch.bmm(q, k.transpose(1, 2)) * DEPTH**-0.5).softmax(dim=-1)
    return weights.view(rows, HEADS, tokens, tokens)


class Layer(nn.Module):
    """A post-norm encoder layer: the function of nn.TransformerEncoderLayer(norm_first=False, activation="gelu")."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        nn.init.xavier_uniform_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, drop: PooledDropout) -> Tensor:
        """Return (B, C, 64) for (B, C, 64)."""
        x = self.norm1(x + drop(self.out(Attend.apply(self.mix(x), drop))))
        out: Tensor = self.norm2(x + drop(self.down(drop(F.gelu(self.up(x))))))
        return out


class Network(nn.Module):
    """SAMIA's network: (B, 3C) inputs, as C tokens of three features, to two logits (non-member, member).

    Parameters
    ----------
    classes : C.
    fast : False for the paper's: BatchNorm over the inputs, dropout 0.2 throughout the encoder.
        True for ours: inputs that come standardized, and dropout 0.2 after the flatten alone.

    Source: Yuan & Zhang (2022), section 5.1 and figure 4; the number of parameters is the published
    code's.
    """

    def __init__(self, classes: int, fast: bool) -> None:
        super().__init__()
        self.classes, self.fast = classes, fast
        self.normalize = nn.Identity() if fast else nn.BatchNorm1d(3 * classes)
        self.embed = nn.Linear(3, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.hidden, self.head = nn.Linear(WIDTH * classes, 64), nn.Linear(64, 2)
        self.inside = PooledDropout(0.0 if fast else 0.2)
        self.after = PooledDropout(0.2 if fast else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, shape (B, 2)."""
        x = self.embedded(x)
        for layer in self.layers:
            x = layer(x, self.inside)
        logits: Tensor = self.head(F.relu(self.hidden(self.after(x.flatten(1)))))
        return logits

    def embedded(self, x: Tensor) -> Tensor:
        """Return the tokens, (B, C, 64), before the first layer."""
        tokens = self.normalize(x).view(len(x), 3, self.classes).transpose(1, 2)
        return F.gelu(self.embed(tokens))

    def attention(self, x: Tensor) -> Tensor:
        """Return every layer's attention weights: (layers, B, heads, C, C), queries before keys."""
        found, x = [], self.embedded(x)
        for layer in self.layers:
            found.append(attention_weights(layer.get_submodule("mix")(x)))
            x = layer(x, self.inside)
        return torch.stack(found)
