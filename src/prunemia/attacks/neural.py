"""Attacks that are networks: what they share, and the nn family: nn, top3nn, nncls.

Sources: Shokri et al. (S&P 2017) and Salem et al. (NDSS 2019) for the nn family, Yuan & Zhang
(2022), section 5.2, for its networks.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from tqdm import tqdm

from prunemia.attacks import fitting
from prunemia.attacks.base import Attack, Bools, Floats, Inputs, largest, one_hot
from prunemia.attacks.fitting import Precision, Recipe
from prunemia.models import Dropout, one_thread
from prunemia.signals import Signals
from prunemia.training import TrainingError, batches

WEIGHT = "network_."
"""What the names of a kept network's weights start with."""
PAPER_EPOCHS, PAPER_BATCH = 100, 128
ENOUGH_SAMPLES = 8192
"""With fewer samples the fast recipe takes more epochs, so that it still takes enough steps."""


class NeuralAttack(Attack):
    """A network that learns on the shadows' samples to tell members from non-members.

    Its score is the logit of "member" minus that of "non-member": log-odds, in nats. Linear weights
    start Xavier-normal: from torch's own start nncls barely learns in the paper's 100 epochs.

    Parameters
    ----------
    seed : of the weights, the batches and dropout; torch's global generator has no part in them.
    recipe : ``"fast"`` standardizes the inputs and fits by AdamW under a one-cycle schedule;
        ``"paper"`` is the published recipe (see `fitting.optimizer`).
    epochs : None: 100 for ``"paper"``; for ``"fast"`` `usual_epochs`, or more with few samples.
        These were chosen on held-back shadow networks (Location and MNIST-1D, seeds 0 and 1; never
        on a target).
    device : where it computes; None: cuda where there is one, else cpu.
    progress : show the epochs on stderr.
    precision : of the fit (decisions are float32); None: float32 for ``"paper"``, for ``"fast"``
        what is fastest on the device.

    Attributes
    ----------
    network_, epochs_ : the network, and how many epochs it was fitted for.
    mean_, scale_ : shape (features,); the inputs are shifted and divided by them.
    """

    name: ClassVar[str]
    usual_epochs: ClassVar[int]
    fast_rate: ClassVar[float] = 1e-3
    fast_batch: ClassVar[int] = 256
    """The fast recipe's largest step of the optimizer, and its samples per step."""

    def __init__(
        self,
        seed: NonNegativeInt = 0,
        recipe: Recipe = "fast",
        epochs: PositiveInt | None = None,
        device: str | torch.device | None = None,
        progress: bool = False,
        precision: Precision | None = None,
    ) -> None:
        self.seed = seed
        self.recipe = recipe
        self.epochs = epochs
        self.device = device
        self.progress = progress
        self.precision = precision

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
        """What the fit computes in, where ``precision`` is None as well."""
        if self.precision is not None:
            return self.precision
        return "float32" if self.recipe == "paper" else fitting.fastest(self._device())

    def identity(self) -> dict[str, Any]:
        """Return the options that decide what it learns; bfloat16 alone stands in them."""
        options = {name: value for name, value in super().identity().items() if name != "precision"}
        used = self.used_precision
        return options if used == "float32" else options | {"precision": used}

    def _check_options(self) -> None:
        super()._check_options()
        self._device()

    def _device(self) -> torch.device:
        try:
            device = torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"device: {self.device!r} is not usable here; allowed: cpu, or a device of yours"
            ) from error
        return device

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
            network = fitting.start(self.network(raw.shape[1], shadow.classes)).to(self._device())
        members = torch.from_numpy(membership.astype(np.int64))
        self.network_ = self._trained(network, self._standardized(raw), members.to(self._device()))

    def _trained(self, network: nn.Module, x: Tensor, members: Tensor) -> nn.Module:
        """Fit the network in place by cross-entropy; TrainingError where the loss is no number.

        Batches and dropout have generators of their own. The network computes in `used_precision`;
        the loss and the weights that the optimizer moves are float32.
        """
        weights = fitting.FlatWeights(network, self.used_precision)
        x = x.to(weights.dtype)
        order = torch.Generator().manual_seed(int(self.seed))
        fitting.draw_dropout_from(torch.Generator(x.device).manual_seed(int(self.seed)), network)
        cuts = batches(len(x), self.fast_batch if self.recipe == "fast" else PAPER_BATCH)
        optimizer, schedule = fitting.optimizer(
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
        fitting.draw_dropout_from(None, network)
        weights.release()
        return network.eval()

    def _standardized(self, raw: Inputs) -> Tensor:
        x = ((raw - self.mean_) / self.scale_).astype(np.float32)
        return torch.from_numpy(x).to(self._device())

    def _decide(self, target: Signals) -> Floats:
        x = self._standardized(self.features(target))
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
        """Take back what `learned` gave."""
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
    """nncls: an MLP on the posterior and the true class, one-hot: shape (n, 2C)."""

    name = "nncls"

    def features(self, signals: Signals) -> Inputs:
        return np.concatenate([signals.posteriors, one_hot(signals)], axis=1)
