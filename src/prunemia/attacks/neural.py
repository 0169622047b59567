"""Attacks that are networks: what they share, and the nn family: nn, top3nn, nncls.

Sources: Shokri et al. (S&P 2017), Salem et al. (NDSS 2019); Yuan & Zhang (2022), section 5.2.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR
from tqdm import tqdm

from prunemia.attacks.base import Attack, Bools, Floats, Inputs, largest, one_hot
from prunemia.models import Dropout, draw_dropout_from, initialize, one_thread
from prunemia.signals import Signals, each_release
from prunemia.training import TrainingError, batches

Precision = Literal["float32", "bfloat16"]
Recipe = Literal["fast", "paper"]
WEIGHT = "network_."  # what the names of a kept network's weights start with
PAPER_EPOCHS, PAPER_BATCH = 100, 128
ENOUGH_SAMPLES = 8192  # with fewer the fast recipe takes more epochs, for enough steps


@dataclass(eq=False, repr=False)
class NeuralAttack(Attack):
    """A network that learns on the shadows' samples to tell members from non-members.

    Its score is the logit of "member" minus that of "non-member": log-odds, in nats. ``recipe``
    "fast" fits standardized inputs (``mean_``, ``scale_``) by AdamW under a one-cycle schedule,
    "paper" as published (`optimizer`). ``seed``: of weights, batches and dropout. ``epochs`` None:
    100 for "paper", for "fast" ``usual_epochs``, or more with few samples, as chosen on held-back
    shadow networks (Location and MNIST-1D, seeds 0 and 1). ``device`` None: cuda where there is
    one, else cpu. ``precision``: of the fit (decisions are float32); None: float32 for "paper", for
    "fast" the device's fastest. ``progress``: show the epochs on stderr. Linear weights start
    Xavier-normal: from torch's own start nncls barely learns in the paper's 100 epochs.
    """

    name: ClassVar[str]
    usual_epochs: ClassVar[int]
    fast_rate: ClassVar[float] = 1e-3  # the fast recipe's largest step of the optimizer
    fast_batch: ClassVar[int] = 256  # and its samples per step

    seed: NonNegativeInt = 0
    recipe: Recipe = "fast"
    epochs: PositiveInt | None = None
    device: str | torch.device | None = None
    progress: bool = False
    precision: Precision | None = None

    @abstractmethod
    def features(self, signals: Signals) -> Inputs:
        """Return what the network is given, shape (n, features), before it is standardized."""

    @abstractmethod
    def network(self, width: int, classes: int) -> nn.Module:
        """Return a fresh network, from (n, width) to two logits: non-member, member."""

    @property
    def version(self) -> int:  # type: ignore[override]
        """2 where the paper's schedule was another: its steps once fell at epochs 50 and 75."""
        return 2 if self.recipe == "paper" and self.epochs not in (None, PAPER_EPOCHS) else 1

    @property
    def used_precision(self) -> Precision:
        """What the fit computes in."""
        if self.precision is not None:
            return self.precision
        return "float32" if self.recipe == "paper" else fastest(self._device())

    def identity(self) -> dict[str, Any]:
        """Return the options that decide what it learns; bfloat16 alone stands in them."""
        options = {name: value for name, value in super().identity().items() if name != "precision"}
        used = self.used_precision
        return options if used == "float32" else options | {"precision": used}

    def _device(self) -> torch.device:
        name = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device: {self.device!r} is not usable here; allowed: cpu, or a device of yours"
            ) from error

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        raw = self.features(shadow)
        self.mean_ = np.zeros(raw.shape[1])
        self.scale_ = np.ones(raw.shape[1])
        usual = PAPER_EPOCHS
        if self.recipe == "fast":
            deviation = raw.std(axis=0, dtype=np.float64)
            self.mean_ = raw.mean(axis=0, dtype=np.float64)
            # an input that never varies, as one that SAMIA may not see, becomes zero
            self.scale_ = np.where(deviation > 0, deviation, 1)
            usual = round(self.usual_epochs * min(10.0, max(1.0, ENOUGH_SAMPLES / len(shadow))))
        self.epochs_ = int(self.epochs or usual)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = initialize(self.network(raw.shape[1], shadow.classes)).to(self._device())
        members = torch.from_numpy(membership.astype(np.int64))
        self.network_ = self._trained(network, self._standardized(raw), members.to(self._device()))

    def _trained(self, network: nn.Module, x: Tensor, members: Tensor) -> nn.Module:
        """Fit in place by cross-entropy; TrainingError where the loss is no number."""
        weights = FlatWeights(network, self.used_precision)
        x = x.to(weights.dtype)
        order = torch.Generator().manual_seed(int(self.seed))
        draw_dropout_from(torch.Generator(x.device).manual_seed(int(self.seed)), network)
        cuts = batches(len(x), self.fast_batch if self.recipe == "fast" else PAPER_BATCH)
        moves, schedule = optimizer(
            self.recipe, weights.vector, self.epochs_, len(cuts), self.fast_rate
        )
        title, hidden = f"{self.name}, {self.recipe} recipe", not self.progress
        epochs = tqdm(range(self.epochs_), title, unit="epoch", leave=False, disable=hidden)
        network.train()
        with one_thread(), epochs:
            for epoch in epochs:
                shuffled = torch.randperm(len(x), generator=order).to(x.device)
                total = torch.zeros((), device=x.device)
                for samples in [shuffled[a:b] for a, b in cuts]:
                    loss = F.cross_entropy(network(x[samples]).float(), members[samples])
                    loss.backward()
                    weights.collect()
                    moves.step()
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
        draw_dropout_from(None, network)
        weights.release()
        return network.eval()

    def _standardized(self, raw: Inputs) -> Tensor:
        x = ((raw - self.mean_) / self.scale_).astype(np.float32)
        return torch.from_numpy(x).to(self._device())

    def _decide(self, target: Signals) -> Floats:
        raw = self.features(target)
        if raw.shape[1] != len(self.mean_):
            seen = f"{raw.shape[1]} inputs per sample; allowed: {len(self.mean_)}"
            raise ValueError(f"target: {seen}, as the shadows have")
        x = self._standardized(raw)
        self.network_.eval()
        with torch.inference_mode(), one_thread():
            logits = torch.cat([self.network_(part) for part in torch.split(x, 1024)])
        non_member, member = logits.to("cpu", torch.float64).T.numpy()
        return member - non_member

    def _as_arrays(self, learned: dict[str, Any]) -> dict[str, Any]:
        """Return the network as its weights: ``network_.`` and their name."""
        weights = learned.pop("network_").state_dict()
        return learned | {f"{WEIGHT}{name}": value.cpu().numpy() for name, value in weights.items()}

    def restore(self, learned: Mapping[str, NDArray[Any]]) -> Self:
        super().restore({n: value for n, value in learned.items() if not n.startswith(WEIGHT)})
        network = self.network(len(self.mean_), self.n_classes_)
        weights = {n: torch.from_numpy(v) for n, v in learned.items() if n.startswith(WEIGHT)}
        network.load_state_dict({n.removeprefix(WEIGHT): v for n, v in weights.items()})
        self.network_ = network.to(self._device()).eval()
        return self


class _Perceptron(NeuralAttack):
    """An MLP 512-256-128-2 with ReLU and dropout 0.2."""

    usual_epochs = 12

    def network(self, width: int, classes: int) -> nn.Module:
        layers: list[nn.Module] = []
        for before, after in ((width, 512), (512, 256), (256, 128)):
            layers += [nn.Linear(before, after), nn.ReLU(), Dropout(0.2)]
        return nn.Sequential(*layers, nn.Linear(128, 2))


class Posterior(_Perceptron):
    """nn: an MLP on the posterior, shape (n, C)."""

    name = "nn"

    def features(self, signals: Signals) -> Inputs:
        return signals.posteriors


class TopThree(_Perceptron):
    """top3nn: an MLP on the three largest posteriors, descending; of two classes, and a zero."""

    name = "top3nn"

    def features(self, signals: Signals) -> Inputs:
        three = largest(signals.posteriors, 3)
        return np.pad(three, ((0, 0), (0, 3 - three.shape[1])))


class PosteriorAndLabel(_Perceptron):
    """nncls: an MLP on the posterior and the true class, one-hot: shape (n, 2C), of one release."""

    name = "nncls"

    def features(self, signals: Signals) -> Inputs:
        posteriors = [each.posteriors for each in each_release(signals)]
        return np.concatenate([*posteriors, one_hot(signals)], axis=1)


def optimizer(
    recipe: Recipe, weights: nn.Parameter, epochs: int, steps: int, rate: float = 1e-3
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Return the recipe's optimizer and its schedule, which moves ``steps`` times an epoch.

    "paper": SGD 1e-3, momentum 0.9, L2 weight decay 5e-4, a tenth of the rate after ½ and ¾ of the
    epochs (published code). "fast": AdamW, one-cycle rate of at most ``rate`` (Smith & Topin 2019).
    """
    if recipe == "fast":
        adam = torch.optim.AdamW([weights], lr=rate, fused=True)
        return adam, OneCycleLR(adam, max_lr=rate, total_steps=epochs * steps)
    sgd = torch.optim.SGD([weights], lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
    # counted in batches, so that one epoch alone can have its milestones, too
    milestones = [math.ceil(share * epochs * steps) for share in (1 / 2, 3 / 4)]
    return sgd, MultiStepLR(sgd, milestones, gamma=0.1)


def fastest(device: torch.device) -> Precision:
    """Return bfloat16 where the device multiplies it in hardware, a CPU by AVX512-BF16 or AMX."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        abilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
        native = bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return "bfloat16" if native else "float32"


class FlatWeights:
    """A network's parameters as one float32 ``vector``, of which (or of a copy) it reads views."""

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
