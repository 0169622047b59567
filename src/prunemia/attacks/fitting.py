"""How the attacks that are networks get fitted: two recipes, one loop, their own random numbers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR
from tqdm import tqdm

from prunemia.attacks.base import Floats
from prunemia.models import Dropout, one_thread
from prunemia.training import TrainingError, batches

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
CPU = torch.device("cpu")
MILESTONES = (1 / 2, 3 / 4)
"""After these shares of its epochs the published recipe divides its learning rate by ten."""


@dataclass(frozen=True)
class AttackFitConfig:
    """How and where a network is fitted to tell members from non-members, by cross-entropy.

    ``paper``: SGD 1e-3, momentum 0.9, L2 weight decay 5e-4, a tenth of the step after half and
    again after three quarters of the epochs, batches of 128 (the published code, with its 100
    epochs). ``fast``: AdamW with a one-cycle step of at most ``rate`` (Smith & Topin 2019), batches
    of ``size``: far fewer epochs for about the same accuracy. In ``precision`` bfloat16 the network
    computes in it, and the loss and the weights that the optimizer moves stay float32.
    """

    recipe: str
    epochs: int
    rate: float = 1e-3
    size: int = 256
    precision: Precision = "float32"
    device: torch.device = CPU
    seed: int = 0
    title: str = "attack"
    progress: bool = False

    @property
    def batch(self) -> int:
        """Samples per step."""
        return self.size if self.recipe == "fast" else 128

    def optimizer(
        self, weights: nn.Parameter, steps: int
    ) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """Return the optimizer and its schedule, which moves after each of ``steps`` per epoch."""
        if self.recipe == "fast":
            adam = torch.optim.AdamW([weights], lr=self.rate, fused=True)
            return adam, OneCycleLR(adam, max_lr=self.rate, total_steps=self.epochs * steps)
        sgd = torch.optim.SGD([weights], lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
        # counted in batches, so that one epoch alone can have its milestones, too
        milestones = [math.ceil(share * self.epochs * steps) for share in MILESTONES]
        return sgd, MultiStepLR(sgd, milestones, gamma=0.1)


def build(make: Callable[[], nn.Module], config: AttackFitConfig) -> nn.Module:
    """Return ``make()`` as `start` starts it, from the seed; torch's generator is not moved."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return start(make()).to(config.device)


def start(network: nn.Module) -> nn.Module:
    """Start linear layers with Xavier-normal weights and no biases; return the network."""
    for layer in network.modules():
        if type(layer) is nn.Linear:  # a subclass, as SAMIA's attention has, starts itself
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


def fit(module: nn.Module, x: Tensor, members: Tensor, config: AttackFitConfig) -> None:
    """Fit ``module`` in place, and leave it in evaluation mode.

    Parameters
    ----------
    module : from (n, features) to two logits: non-member, member.
    x : shape (n, features), float32.
    members : shape (n,), 1 for members, 0 for non-members.

    TrainingError where the loss becomes NaN or infinite.
    """
    weights = FlatWeights(module, config.precision)
    x = x.to(config.device, weights.dtype)
    members = members.to(config.device)
    order = torch.Generator().manual_seed(config.seed)
    _draw_dropout_from(module, torch.Generator(config.device).manual_seed(config.seed))
    cuts = batches(len(x), config.batch)
    optimizer, schedule = config.optimizer(weights.vector, len(cuts))
    title = f"{config.title}, {config.recipe} recipe"
    hidden = not config.progress
    module.train()
    with (
        single_threaded(config.device),
        tqdm(range(config.epochs), title, unit="epoch", leave=False, disable=hidden) as epochs,
    ):
        for epoch in epochs:
            shuffled = torch.randperm(len(x), generator=order).to(config.device)
            total = torch.zeros((), device=config.device)
            for samples in [shuffled[a:b] for a, b in cuts]:
                loss = F.cross_entropy(module(x[samples]).float(), members[samples])
                loss.backward()
                weights.collect()
                optimizer.step()
                schedule.step()
                weights.publish()
                # summed on the device: reading each loss would wait for each step
                total += loss.detach() * len(samples)
            mean = float(total) / len(x)
            if not math.isfinite(mean):
                raise TrainingError(
                    f"{title}: the loss is {mean} in epoch {epoch + 1}; look for extreme inputs"
                )
            epochs.set_postfix_str(f"loss {mean:.3f}", refresh=False)
    _draw_dropout_from(module, None)
    weights.release()
    module.eval()


def _draw_dropout_from(module: nn.Module, generator: torch.Generator | None) -> None:
    for layer in module.modules():
        if isinstance(layer, Dropout):
            layer.generator = generator


def single_threaded(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Compute on one thread where the device is the CPU."""
    return one_thread() if device.type == "cpu" else contextlib.nullcontext()


def member_log_odds(
    module: nn.Module, x: Tensor, device: torch.device, batch: int = 1024
) -> Floats:
    """Return the logit of "member" minus that of "non-member", shape (n,), in evaluation mode."""
    module.eval()
    with torch.inference_mode(), single_threaded(device):
        parts = [module(part.to(device)) for part in torch.split(x, batch)]
    logits = torch.cat(parts).to("cpu", torch.float64)
    return (logits[:, 1] - logits[:, 0]).numpy()


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
