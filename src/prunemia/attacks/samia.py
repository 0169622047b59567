"""samia: the self-attention attack, and its network, written out.

Written out because that is faster than nn.TransformerEncoder (``bench/samia_step.py``).

Source: Yuan & Zhang (2022), section 5.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from prunemia.attacks.base import Floats, Inputs, one_hot
from prunemia.attacks.fitting import Precision, single_threaded
from prunemia.attacks.neural import NeuralAttack
from prunemia.models import Dropout, dropout_mask
from prunemia.signals import Signals

INPUTS = ("posterior", "sensitivity", "label")
WIDTH = 64
HEADS = 4
HIDDEN = 128
LAYERS = 3
DEPTH = WIDTH // HEADS
LIMIT = 60.0
"""Up to this score, exp and its sums over classes are finite and not zero in any precision here."""
CHUNK = 2**19
"""Attention weights worked on at a time: 2 MiB, so that they stay in a core's cache."""


class SAMIA(NeuralAttack):
    """samia: self-attention over classes, each a token of posterior, sensitivity and label.

    Parameters
    ----------
    seed, recipe, epochs, device, progress, precision : see `NeuralAttack`. The fast recipe also
        leaves out the BatchNorm over the inputs and the dropout inside the encoder, for one dropout
        after it.
    inputs : which of ``"posterior"``, ``"sensitivity"``, ``"label"`` the network sees. The others
        are replaced by zeros, so that it keeps its shape.
    """

    name = "samia"
    usual_epochs = 3
    fast_rate = 1.5e-3
    fast_batch = 192

    def __init__(
        self,
        seed: int = 0,
        recipe: str = "fast",
        epochs: int | str | None = None,
        device: str | torch.device | None = None,
        progress: bool = False,
        precision: Precision | None = None,
        inputs: Sequence[str] = INPUTS,
    ) -> None:
        super().__init__(seed, recipe, epochs, device, progress, precision)
        self.inputs = inputs

    @property
    def version(self) -> int:  # type: ignore[override]
        """2: the attention keeps its own start of weights. 3: the fast recipe has fewer epochs."""
        return 2 if self.recipe == "paper" else 3

    def _check_options(self) -> None:
        super()._check_options()
        seen = () if isinstance(self.inputs, str) else tuple(self.inputs)
        if not seen or len(set(seen)) < len(seen) or not set(seen) <= set(INPUTS):
            raise ValueError(
                f"inputs: {self.inputs!r} is not allowed; "
                f"allowed: one or more of {', '.join(INPUTS)}"
            )

    def features(self, signals: Signals) -> Inputs:
        """Return posterior, sensitivity and one-hot label side by side, shape (n, 3C).

        What it may not see is zero. ValueError where it sees the sensitivity and there is none.
        """
        seen = {"posterior": signals.posteriors, "label": one_hot(signals)}
        if "sensitivity" in self.inputs:
            seen["sensitivity"] = signals.require_sensitivities()
        zeros = np.zeros_like(signals.posteriors)
        parts = [seen[name] if name in self.inputs else zeros for name in INPUTS]
        return np.concatenate(parts, axis=1)

    def network(self, width: int, classes: int) -> nn.Module:  # noqa: ARG002 (a third of width)
        """Return the self-attention network."""
        return Network(width // 3, fast=self.recipe == "fast")

    def attention(self, target: Signals, batch: int = 256) -> Floats:
        """Return how much each class attends to each, on average over the target's samples.

        Returns
        -------
        shape (layers, heads, C, C): [l, h, i, j] is the weight that class i gives to class j; over
        j it sums to one.
        """
        x = self._standardized(self.features(self._observed(target)))
        device = self._device()
        tokens = x.shape[1] // 3
        total = torch.zeros(LAYERS, HEADS, tokens, tokens, dtype=torch.float64)
        network = self.network_
        assert isinstance(network, Network)
        with torch.inference_mode(), single_threaded(device):
            for part in torch.split(x, batch):
                weights = network.attention(part.to(device))
                total += weights.sum(dim=1, dtype=torch.float64).cpu()
        return (total / len(x)).numpy()


class Attend(torch.autograd.Function):
    """Multi-head attention with dropout on its weights, in chunks of samples that fit the cache.

    Takes queries, keys and values side by side, (B, C, 3 · 64), and gives (B, C, 64).

    Per head, with scale c = 1/4, mask D and P = softmax(c Q Kᵀ), the output is O = (P ∘ D) V. Let G
    be the loss's gradient by O. Then

        dV = (P ∘ D)ᵀ G,    dP = (G Vᵀ) ∘ D,
        dS = P ∘ (dP - r),  r = the sums of dP ∘ P over each query's keys     (softmax),
        dQ = c dS K,        dK = c dSᵀ Q.

    r need not be summed over keys: Σⱼ dPᵢⱼ Pᵢⱼ = Σⱼ (gᵢ · vⱼ) Dᵢⱼ Pᵢⱼ = gᵢ · oᵢ, the inner product
    of two vectors that are at hand, as in flash attention (Dao et al., NeurIPS 2022).
    """

    @staticmethod
    def forward(ctx: Any, mixed: Tensor, drop: PooledDropout) -> Tensor:
        """Attend; keeps the weights before dropout, and the masks, for the backward pass."""
        samples, tokens, _ = mixed.shape
        out = mixed.new_empty(samples, tokens, WIDTH)
        ctx.chunks = []
        for part in _chunks(samples, tokens):
            q, k, v = _heads(mixed[part], 3)
            weights = softmax_(torch.bmm(q, k.transpose(1, 2)).mul_(DEPTH**-0.5))
            mask = drop.cut(weights.shape, weights.device) if drop.active else None
            ctx.chunks.append((part, q, k, v, weights, mask))
            dropped = weights if mask is None else weights * mask
            _merge(torch.bmm(dropped, v), out[part], 1, 0)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of ``mixed``."""
        (out,) = ctx.saved_tensors
        gradient = gradient.contiguous()
        samples, tokens, _ = gradient.shape
        total = gradient.new_empty(samples, tokens, 3 * WIDTH)
        products = (gradient * out).view(samples, tokens, HEADS, DEPTH)
        r = products.sum(dim=-1).transpose(1, 2)
        for part, q, k, v, weights, mask in ctx.chunks:
            (g,) = _heads(gradient[part], 1)
            scores = _score_gradient(g, r[part].reshape(len(g), tokens, 1), v, weights, mask)
            # in place: this is the last use of the weights
            dropped = weights if mask is None else weights.mul_(mask)
            _merge(torch.bmm(scores, k), total[part], 3, 0)
            _merge(torch.bmm(scores.transpose(1, 2), q), total[part], 3, 1)
            _merge(torch.bmm(dropped.transpose(1, 2), g), total[part], 3, 2)
        # the chunks are no tensors of autograd's: it would keep them as long as the result
        ctx.chunks = []
        return total, None


def softmax_(scores: Tensor) -> Tensor:
    """Return the softmax over the last dimension, in the memory of ``scores``.

    On a CPU torch's own takes two to five times as long on rows of ten entries. Where all scores
    are within ±`LIMIT`, as those of normalized tokens are, no row's maximum needs subtracting.
    """
    if scores.device.type != "cpu" or not scores.numel():
        return scores.softmax(dim=-1)
    least, most = scores.aminmax()
    if least < -LIMIT or most > LIMIT:
        return scores.softmax(dim=-1)
    scores.exp_()
    return scores.mul_(scores.sum(dim=-1, keepdim=True).reciprocal_())


def _score_gradient(
    g: Tensor, r: Tensor, v: Tensor, weights: Tensor, mask: Tensor | None
) -> Tensor:
    """Return c dS of `Attend`, shape (heads, C, C), in one buffer; ``r`` is (heads, C, 1)."""
    if mask is None:
        buffer = torch.baddbmm(r, g, v.transpose(1, 2), beta=-1)
    else:
        buffer = torch.bmm(g, v.transpose(1, 2)).mul_(mask).sub_(r)
    return buffer.mul_(weights).mul_(DEPTH**-0.5)


def _chunks(samples: int, tokens: int) -> Iterator[slice]:
    step = max(1, CHUNK // (HEADS * tokens * tokens))
    return (slice(start, min(start + step, samples)) for start in range(0, samples, step))


def _heads(x: Tensor, kinds: int) -> Sequence[Tensor]:
    """Cut (B, C, kinds · 64) into ``kinds`` contiguous tensors of shape (B · heads, C, 16)."""
    samples, tokens, _ = x.shape
    parts = x.view(samples, tokens, kinds, HEADS, DEPTH).permute(2, 0, 3, 1, 4).contiguous()
    return parts.view(kinds, samples * HEADS, tokens, DEPTH).unbind(0)


def _merge(heads: Tensor, into: Tensor, kinds: int, place: int) -> None:
    """Undo `_heads` for the tensor at ``place``, writing into (B, C, kinds · 64)."""
    samples, tokens, _ = into.shape
    by_head = heads.view(samples, HEADS, tokens, DEPTH).transpose(1, 2)
    into.view(samples, tokens, kinds, HEADS, DEPTH)[:, :, place] = by_head


def attention_weights(mixed: Tensor) -> Tensor:
    """Return softmax(q kᵀ / 4) for queries, keys and values side by side: (B, heads, C, C)."""
    samples, tokens, _ = mixed.shape
    q, k, _ = _heads(mixed, 3)
    weights: Tensor = (torch.bmm(q, k.transpose(1, 2)) * DEPTH**-0.5).softmax(dim=-1)
    return weights.view(samples, HEADS, tokens, tokens)


class QueriesKeysValues(nn.Linear):
    """The map from tokens to queries, keys and values, started as nn.MultiheadAttention starts it.

    One Xavier-uniform matrix for all three, no biases. Its type tells it from the linear layers
    that a learned attack starts Xavier-normal.
    """

    def __init__(self) -> None:
        super().__init__(WIDTH, 3 * WIDTH)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)


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
        """Return (B, C, 64) for (B, C, 64)."""
        x = self.norm1(x + drop(self.out(Attend.apply(self.mix(x), drop))))
        return self.norm2(x + drop(self.down(drop(F.gelu(self.up(x))))))


class Network(nn.Module):
    """SAMIA's network: (B, 3C) inputs, as C tokens of three features, to two logits.

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
        self.classes = classes
        self.fast = fast
        self.normalize = nn.Identity() if fast else nn.BatchNorm1d(3 * classes)
        self.embed = nn.Linear(3, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.hidden = nn.Linear(WIDTH * classes, 64)
        self.head = nn.Linear(64, 2)
        self.inside = PooledDropout(0.0 if fast else 0.2)
        self.after = PooledDropout(0.2 if fast else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, shape (B, 2)."""
        x = self.embedded(x)
        for layer in self.layers:
            x = layer(x, self.inside)
        return self.head(F.relu(self.hidden(self.after(x.flatten(1)))))

    def embedded(self, x: Tensor) -> Tensor:
        """Return the tokens, (B, C, 64), before the first layer."""
        tokens = self.normalize(x).view(len(x), 3, self.classes).transpose(1, 2)
        return F.gelu(self.embed(tokens))

    def attention(self, x: Tensor) -> Tensor:
        """Return every layer's attention weights: (layers, B, heads, C, C), queries before keys."""
        x = self.embedded(x)
        weights = []
        for layer in self.layers:
            weights.append(attention_weights(layer.get_submodule("mix")(x)))
            x = layer(x, self.inside)
        return torch.stack(weights)


class PooledDropout(Dropout):
    """Dropout whose masks are cut from a pool, which is drawn anew after 16 uses per entry.

    Drawing fresh bits for each mask takes a quarter of a training step. A mask from the pool has
    the same distribution, but those of a few steps in a row are not independent.
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
        """Return a mask: 0 with probability p, else 1 / (1 - p); a view, not to be written."""
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
