"""In which precision a learned attack computes while it is fitted, and the weights for that."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def fastest(device: torch.device) -> Precision:
    """Return bfloat16 where the device multiplies it in hardware, else float32.

    A CPU does by AVX512-BF16 or AMX; elsewhere bfloat16 would be emulated, and slower.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        abilities = torch.cpu.get_capabilities()
        native = bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    else:
        native = False
    return "bfloat16" if native else "float32"


class Weights:
    """A network's parameters as one float32 vector, which the optimizer moves.

    The network reads them in ``precision``: in float32 they are views of the vector, else of a
    copy that `publish` renews after each step. One vector is one operation of the optimizer
    instead of forty.

    Attributes
    ----------
    vector : the float32 parameters, one after the other.
    dtype : what the network computes in.
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
        parts = [_gradient(p).flatten() for p in self._parameters]
        self.vector.grad = torch.cat(parts).to(torch.float32)
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


def _gradient(parameter: nn.Parameter) -> Tensor:
    """Return the gradient; zeros for a parameter that the loss does not depend on."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
