"""How the attacks that are networks get fitted: two recipes, one loop, their own random numbers."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR
from tqdm import tqdm

from prunemia.attacks._precision import Precision, Weights
from prunemia.models import Dropout, one_thread
from prunemia.training import TrainingError, batches

MILESTONES = (1 / 2, 3 / 4)
"""After these shares of its epochs the published recipe divides its learning rate by ten."""


@dataclass(frozen=True)
class Recipe:
    """How a network is fitted to tell members from non-members, by cross-entropy.

    ``paper``: SGD 1e-3, momentum 0.9, L2 weight decay 5e-4, a tenth of the step after half and
    again after three quarters of the epochs, batches of 128 (the published code, with its 100
    epochs). ``fast``: AdamW with a one-cycle step of at most ``rate`` (Smith & Topin 2019), batches
    of ``size``: far fewer epochs for about the same accuracy. In ``precision`` bfloat16 the network
    computes in it, and the loss and the weights that the optimizer moves stay float32.
    """

    name: str
    epochs: int
    precision: Precision = "float32"
    rate: float = 1e-3
    size: int = 256

    @property
    def batch(self) -> int:
        """Samples per step."""
        return self.size if self.name == "fast" else 128

    def optimizer(
        self, weights: nn.Parameter, steps: int
    ) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """Return the optimizer and its schedule, which moves after each of ``steps`` per epoch."""
        if self.name == "fast":
            adam = torch.optim.AdamW([weights], lr=self.rate, fused=True)
            return adam, OneCycleLR(adam, max_lr=self.rate, total_steps=self.epochs * steps)
        sgd = torch.optim.SGD([weights], lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
        # counted in batches, so that one epoch alone can have its milestones, too
        milestones = [math.ceil(share * self.epochs * steps) for share in MILESTONES]
        return sgd, MultiStepLR(sgd, milestones, gamma=0.1)


@dataclass(frozen=True)
class Setting:
    """Where and how a fit runs: its device, the seed of its random numbers, its progress bar."""

    name: str
    device: torch.device
    seed: int
    progress: bool

    def build(self, make: Callable[[], nn.Module]) -> nn.Module:
        """Return ``make()`` on the device, its weights drawn from the seed.

        The caller's generator is not moved.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return make().to(self.device)

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Compute on one thread where the device is the CPU."""
        with one_thread() if self.device.type == "cpu" else contextlib.nullcontext():
            yield

    def bar(self, title: str, epochs: int) -> Any:
        """Return a progress bar on stderr, silent unless wanted."""
        return tqdm(
            total=epochs,
            desc=title,
            unit="epoch",
            disable=not self.progress,
            file=sys.stderr,
            leave=False,
        )


def fit(
    module: nn.Module,
    x: Tensor,
    members: Tensor,
    recipe: Recipe,
    setting: Setting,
) -> None:
    """Fit ``module`` in place, and leave it in evaluation mode.

    Parameters
    ----------
    module : from (n, features) to two logits: non-member, member.
    x : shape (n, features), float32.
    members : shape (n,), 1 for members, 0 for non-members.

    Raises
    ------
    TrainingError
        The loss became NaN or infinite.
    """
    weights = Weights(module, recipe.precision)
    x = x.to(setting.device, weights.dtype)
    members = members.to(setting.device)
    order = torch.Generator().manual_seed(setting.seed)
    cuts = batches(len(x), recipe.batch)
    optimizer, schedule = recipe.optimizer(weights.vector, len(cuts))
    title = f"{setting.name}, {recipe.name} recipe"
    with setting.computing(), _dropping(module, setting), setting.bar(title, recipe.epochs) as bar:
        module.train()
        for epoch in range(recipe.epochs):
            shuffled = torch.randperm(len(x), generator=order).to(setting.device)
            parts = [shuffled[a:b] for a, b in cuts]
            loss = _epoch(module, weights, x, members, parts, optimizer, schedule)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"{title}: the loss is {loss} in epoch {epoch + 1}; look for extreme inputs"
                )
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update()
    weights.release()
    module.eval()


def choose_epochs(
    make: Callable[[], nn.Module],
    x: Tensor,
    members: Tensor,
    held: NDArray[np.bool_],
    recipes: Sequence[Recipe],
    setting: Setting,
) -> int:
    """Return whose number of epochs, among ``recipes``, ranks the ``held`` samples best, by AUC.

    Each is fitted without those samples, and from the start: a schedule that was cut short says
    little of one that was carried through.
    """
    out = torch.from_numpy(held)
    aucs = []
    for recipe in recipes:
        trial = setting.build(make)
        named = replace(setting, name=f"{setting.name}, trial of {recipe.epochs}")
        fit(trial, x[~out], members[~out], recipe, named)
        aucs.append(roc_auc_score(members[out].numpy(), log_odds(trial, x[out], setting)))
    return recipes[int(np.argmax(aucs))].epochs


@contextlib.contextmanager
def _dropping(module: nn.Module, setting: Setting) -> Iterator[None]:
    """Let the network's dropout draw from the seed's own generator."""
    layers = [layer for layer in module.modules() if isinstance(layer, Dropout)]
    generator = torch.Generator(setting.device).manual_seed(setting.seed)
    for layer in layers:
        layer.generator = generator
    try:
        yield
    finally:
        for layer in layers:
            layer.generator = None


def _epoch(
    module: nn.Module,
    weights: Weights,
    x: Tensor,
    members: Tensor,
    parts: list[Tensor],
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler,
) -> float:
    """Take one step for each part; return the mean loss in nats."""
    total = torch.zeros((), device=x.device)
    for samples in parts:
        loss = F.cross_entropy(module(x[samples]).float(), members[samples])
        loss.backward()
        weights.collect()
        optimizer.step()
        schedule.step()
        weights.publish()
        # summed on the device: reading each loss would wait for each step
        total += loss.detach() * len(samples)
    return float(total) / len(x)


def log_odds(
    module: nn.Module, x: Tensor, setting: Setting, batch: int = 1024
) -> NDArray[np.float64]:
    """Return the logit of "member" minus that of "non-member", shape (n,), in evaluation mode."""
    module.eval()
    with torch.inference_mode(), setting.computing():
        parts = [module(part.to(setting.device)) for part in torch.split(x, batch)]
    logits = torch.cat(parts).to("cpu", torch.float64)
    return (logits[:, 1] - logits[:, 0]).numpy()
