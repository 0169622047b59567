"""What attacks that are networks are fitted with: two recipes, their precision, their weights."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from prunemia.models import Dropout

Precision = Literal["float32", "bfloat16"]
Recipe = Literal["fast", "paper"]
MILESTONES = (1 / 2, 3 / 4)
"""After these shares of its epochs the published recipe divides its learning rate by ten."""


def optimizer(
    recipe: Recipe, weights: nn.Parameter, epochs: int, steps: int, rate: float = 1e-3
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Return the recipe's optimizer and its schedule, which moves after each step.

    ``paper`` is the published code's: SGD 1e-3, momentum 0.9, L2 weight decay 5e-4, a tenth of the
    rate after half and again after three quarters of the epochs. ``fast``: AdamW with a one-cycle
    rate of at most ``rate`` (Smith & Topin 2019), far fewer epochs for about the same accuracy.
    ``steps``: per epoch.
    """
    if recipe == "fast":
        adam = torch.optim.AdamW([weights], lr=rate, fused=True)
        return adam, OneCycleLR(adam, max_lr=rate, total_steps=epochs * steps)
    sgd = torch.optim.SGD([weights], lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
    # counted in batches, so that one epoch alone can have its milestones, too
    milestones = [math.ceil(share * epochs * steps) for share in MILESTONES]
    return sgd, MultiStepLR(sgd, milestones, gamma=0.1)


def start(network: nn.Module) -> nn.Module:
    """Start linear layers with Xavier-normal weights and no biases; return the network."""
    for layer in network.modules():
        if type(layer) is nn.Linear:  # a subclass, as SAMIA's attention has, starts itself
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


def draw_dropout_from(generator: torch.Generator | None, module: nn.Module) -> None:
    """Give all dropout layers their generator; None: torch's global one."""
    for layer in module.modules():
        if isinstance(layer, Dropout):
            layer.generator = generator


def fastest(device: torch.device) -> Precision:
    """Return bfloat16 where the device multiplies it in hardware, else float32.

    A CPU does by AVX512-BF16 or AMX; elsewhere bfloat16 would be emulated, and slower.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        abilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
        native = bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return "bfloat16" if native else "float32"


class FlatWeights:
    """A network's parameters as one float32 ``vector``: one operation of the optimizer, not forty.

    The network reads them in ``dtype``: in float32 they are views of the vector, else of a copy
    that `publish` renews after each step.
    """

    def __init__(self, module: nn.Module, precision: Precision) -> None:
        self.dtype = torch.float32 if precision == "float32" else torch.bfloat16
        self._parameters = list(module.parameters())
        flat = torch.cat([p.detach().flatten() for p in self._parameters])
        self.vector = nn.Parameter(flat)
        self._read = flat.to(self.dtype)
        self._view(self._read)

    def collect(self) -> None:
        """Give the vector the gradients of the network's parameters, and clear those."""
        # a parameter that the loss does not depend on has none
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        self.vector.grad = torch.cat([g.flatten() for g in gradients]).to(torch.float32)
        for parameter in self._parameters:
            parameter.grad = None

    def publish(self) -> None:
        """Let the network read the vector as it is now."""
        if self.dtype != torch.float32:
            self._read.copy_(self.vector.detach())

    def release(self) -> None:
        """Leave the network with float32 parameters of its own."""
        self._view(self.vector.detach().clone())

    def _view(self, flat: Tensor) -> None:
        parts = flat.split([p.numel() for p in self._parameters])
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.data = part.view(parameter.shape)
