"""samia (Yuan & Zhang 2022, section 5.1), written out: faster so than torch's attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from pydantic import Field
from torch import Tensor, nn

from prunemia.attacks.base import Floats, Inputs, one_hot
from prunemia.attacks.neural import NeuralAttack
from prunemia.models import Dropout, dropout_mask, one_thread
from prunemia.signals import Signals, each_release

Input = Literal["posterior", "sensitivity", "label"]
INPUTS: tuple[Input, ...] = get_args(Input)
WIDTH, HEADS, HIDDEN, LAYERS = 64, 4, 128, 3
DEPTH = WIDTH // HEADS
LIMIT = 60.0  # up to it exp and its sums over classes are finite and not zero in any precision
CHUNK = 2**19  # attention weights worked on at a time: 2 MiB, which stay in a core's cache


@dataclass(eq=False, repr=False)
class SAMIA(NeuralAttack):
    """samia: self-attention over classes, each a token of posterior, sensitivity and label."""

    name = "samia"
    usual_epochs = 3
    fast_rate = 1.5e-3
    fast_batch = 192

    inputs: Annotated[Sequence[Input], Field(min_length=1)] = INPUTS  # others: zeros

    @property
    def version(self) -> int:  # type: ignore[override]
        """2: the attention keeps its own start of weights. 3: the fast recipe has fewer epochs."""
        return 2 if self.recipe == "paper" else 3

    def features(self, signals: Signals) -> Inputs:
        """Return what it may see, side by side; ValueError where it lacks the sensitivity."""
        releases = each_release(signals)
        seen = {"posterior": [each.posteriors for each in releases]}
        seen["label"] = [one_hot(each) for each in releases]
        if "sensitivity" in self.inputs:
            seen["sensitivity"] = [each.require_sensitivities() for each in releases]
        zeros = [np.zeros_like(each.posteriors) for each in releases]
        parts = [seen[name] if name in self.inputs else zeros for name in INPUTS]
        return np.concatenate([part for each in parts for part in each], axis=1)

    def network(self, width: int, classes: int) -> nn.Module:
        return Network(width // 3, fast=self.recipe == "fast")

    def attention(self, target: Signals, batch: int = 256) -> Floats:
        """Return the mean attention, (layers, heads, C, C): [l, h, i, j] of i to j; Σⱼ is 1."""
        x = self._standardized(self.features(self._observed(target)))
        network = self.network_
        assert isinstance(network, Network)
        with torch.inference_mode(), one_thread():
            weights = (network.attention(part) for part in x.split(batch))
            parts = [each.sum(dim=1, dtype=torch.float64) for each in weights]
        return (torch.stack(parts).sum(dim=0) / len(x)).cpu().numpy()


class Network(nn.Module):
    """SAMIA's network: (B, 3C) inputs, as C tokens of three features, to two logits.

    The paper's (figure 4) starts with BatchNorm and drops throughout; ours, ``fast``, at the end.
    """

    def __init__(self, classes: int, fast: bool) -> None:
        super().__init__()
        self.classes = classes
        self.normalize = nn.Identity() if fast else nn.BatchNorm1d(3 * classes)
        self.embed = nn.Linear(3, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.hidden = nn.Linear(WIDTH * classes, 64)
        self.head = nn.Linear(64, 2)
        self.inside = PooledDropout(0.0 if fast else 0.2)
        self.after = PooledDropout(0.2 if fast else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedded(x)
        for layer in self.layers:
            x = layer(x, self.inside)
        return self.head(F.relu(self.hidden(self.after(x.flatten(1)))))

    def embedded(self, x: Tensor) -> Tensor:
        """Return the tokens, (B, C, 64), before the first layer."""
        tokens = self.normalize(x).view(len(x), 3, self.classes).transpose(1, 2)
        return F.gelu(self.embed(tokens))

    def attention(self, x: Tensor) -> Tensor:
        """Return softmax(q kᵀ / 4) of every layer: (layers, B, heads, C, C)."""
        x = self.embedded(x)
        weights = []
        for layer in self.layers:
            q, k, _ = _heads(layer.get_submodule("mix")(x), 3)
            scores = torch.bmm(q, k.transpose(1, 2)) * DEPTH**-0.5
            weights.append(scores.softmax(dim=-1).view(len(x), HEADS, *scores.shape[1:]))
            x = layer(x, self.inside)
        return torch.stack(weights)


class Layer(nn.Module):
    """A post-norm encoder layer, as nn.TransformerEncoderLayer(…, activation="gelu")."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = QueriesKeysValues()
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, HIDDEN)
        self.down = nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor, drop: PooledDropout) -> Tensor:
        x = self.norm1(x + drop(self.out(Attend.apply(self.mix(x), drop))))
        return self.norm2(x + drop(self.down(drop(F.gelu(self.up(x))))))


class QueriesKeysValues(nn.Linear):
    """From tokens to queries, keys and values: started Xavier-uniform, as nn.MultiheadAttention."""

    def __init__(self) -> None:
        super().__init__(WIDTH, 3 * WIDTH)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)


class Attend(torch.autograd.Function):
    """Multi-head attention with dropout on its weights, in chunks of samples that fit the cache.

    Takes queries, keys and values side by side, (B, C, 3 · 64), and gives (B, C, 64). Per head,
    with c = 1/4, mask D, P = softmax(c Q Kᵀ), the output is O = (P ∘ D) V; with G, its gradient,

        dV = (P ∘ D)ᵀ G,  dP = (G Vᵀ) ∘ D,  dS = P ∘ (dP - r),  dQ = c dS K,  dK = c dSᵀ Q.

    The softmax's r, the sums of dP ∘ P over each query's keys, are gᵢ · oᵢ, since Σⱼ dPᵢⱼ Pᵢⱼ = Σⱼ
    (gᵢ · vⱼ) Dᵢⱼ Pᵢⱼ: two vectors at hand, as in flash attention (Dao et al., NeurIPS 2022).
    """

    @staticmethod
    def forward(ctx: Any, mixed: Tensor, drop: PooledDropout) -> Tensor:
        """Return O; weights before dropout, and masks, are kept for the backward pass."""
        samples, tokens, _ = mixed.shape
        ctx.step = max(1, CHUNK // (HEADS * tokens * tokens))
        ctx.chunks = []
        out = mixed.new_empty(samples, tokens, WIDTH)
        for part, into in zip(mixed.split(ctx.step), out.split(ctx.step), strict=True):
            q, k, v = _heads(part, 3)
            weights = softmax_(torch.bmm(q, k.transpose(1, 2)).mul_(DEPTH**-0.5))
            mask = drop.cut(weights.shape, weights.device)
            ctx.chunks.append((q, k, v, weights, mask))
            dropped = weights if mask is None else weights * mask
            _merge([torch.bmm(dropped, v)], into)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        gradient = gradient.contiguous()
        samples, tokens, _ = gradient.shape
        total = gradient.new_empty(samples, tokens, 3 * WIDTH)
        products = (gradient * out).view(samples, tokens, HEADS, DEPTH)
        r = products.sum(dim=-1).transpose(1, 2)
        parts = (each.split(ctx.step) for each in (gradient, r, total))
        for (q, k, v, weights, mask), g, sums, into in zip(ctx.chunks, *parts, strict=True):
            (g,) = _heads(g, 1)
            sums = sums.reshape(len(g), tokens, 1)
            if mask is None:
                scores = torch.baddbmm(sums, g, v.transpose(1, 2), beta=-1).mul_(weights)
            else:
                scores = torch.bmm(g, v.transpose(1, 2)).mul_(mask).sub_(sums).mul_(weights)
                weights.mul_(mask)  # in place: this is their last use
            scores.mul_(DEPTH**-0.5)
            of_k = torch.bmm(scores.transpose(1, 2), q)
            of_v = torch.bmm(weights.transpose(1, 2), g)
            _merge([torch.bmm(scores, k), of_k, of_v], into)
        # the chunks are no tensors of autograd's: it would keep them as long as the result
        ctx.chunks = []
        return total, None


def softmax_(scores: Tensor) -> Tensor:
    """Return the softmax over the last dimension, in place on a CPU (twice torch's speed)."""
    if scores.device.type == "cpu":
        least, most = scores.aminmax()
        if least >= -LIMIT and most <= LIMIT:
            scores.exp_()
            return scores.mul_(scores.sum(dim=-1, keepdim=True).reciprocal_())
    return scores.softmax(dim=-1)


def _heads(x: Tensor, kinds: int) -> Sequence[Tensor]:
    """Cut (B, C, kinds · 64) into ``kinds`` contiguous tensors of shape (B · heads, C, 16)."""
    samples, tokens, _ = x.shape
    parts = x.view(samples, tokens, kinds, HEADS, DEPTH).permute(2, 0, 3, 1, 4).contiguous()
    return parts.view(kinds, samples * HEADS, tokens, DEPTH).unbind(0)


def _merge(parts: Sequence[Tensor], into: Tensor) -> None:
    """Undo `_heads`, writing into (B, C, kinds · 64)."""
    samples, tokens, _ = into.shape
    places = into.view(samples, tokens, len(parts), HEADS, DEPTH)
    for kind, part in enumerate(parts):
        places[:, :, kind] = part.view(samples, HEADS, tokens, DEPTH).transpose(1, 2)


class PooledDropout(Dropout):
    """Dropout by masks from a pool that is used 16 times: cheaper, not independent across steps."""

    SIZE, USES = 2**21, 16

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.pool = torch.empty(0)
        self.left = 0

    def forward(self, x: Tensor) -> Tensor:
        mask = self.cut(x.shape, x.device)
        return x if mask is None else x * mask.to(x.dtype)

    def cut(self, shape: Sequence[int], device: torch.device) -> Tensor | None:
        """Return a mask, a view: 0 with probability p, else 1 / (1 - p); None: nothing drops."""
        if not self.training or self.p == 0:
            return None
        count = math.prod(shape)
        if self.left < count or len(self.pool) < 2 * count:
            size = max(self.SIZE, 2 * count)
            self.pool = dropout_mask((size,), self.p, self.generator, device)
            self.left = self.USES * size
        self.left -= count
        highest = len(self.pool) - count + 1
        start = int(torch.randint(highest, (), generator=self.generator, device=device))
        return self.pool[start : start + count].view(*shape)
