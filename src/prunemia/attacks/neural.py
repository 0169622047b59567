"""Attacks that are networks: what they share, and the nn family: nn, top3nn, nncls.

The published code's recipe is ``recipe="paper"``. Linear weights start Xavier-normal, as in the
victim's networks: from torch's own start nncls barely learns in the paper's 100 epochs. SAMIA's
queries, keys and values keep the start of their own.

Sources: Shokri et al. (S&P 2017) and Salem et al. (NDSS 2019) for the nn family, Yuan & Zhang
(2022), section 5.2, for its networks.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

from prunemia.attacks import fitting
from prunemia.attacks.base import (
    Attack,
    Bools,
    Floats,
    Inputs,
    largest,
    one_hot,
    require_choice,
    require_integer,
)
from prunemia.attacks.fitting import PRECISIONS, AttackFitConfig, Precision
from prunemia.models import Dropout
from prunemia.signals import Signals

HELD_BACK = "held-back"
WEIGHT = "network_."
"""What the names of a kept network's weights start with."""
PAPER_EPOCHS = 100
ENOUGH_SAMPLES = 8192
"""With fewer samples the fast recipe takes more epochs, so that it still takes enough steps."""


class NeuralAttack(Attack):
    """A network that learns on the shadows' samples to tell members from non-members.

    Its score is the logit of "member" minus that of "non-member": log-odds, in nats.

    Parameters
    ----------
    seed : of the weights, the batches and dropout. Nothing depends on, or moves, torch's global
        generator.
    recipe : ``"fast"`` standardizes the inputs and fits by AdamW under a one-cycle schedule;
        ``"paper"`` is the published recipe (see `AttackFitConfig`).
    epochs : how many; None: 100 for ``"paper"``, `usual_epochs` for ``"fast"`` (more with few
        samples), which was chosen on held-back shadow networks (Location and MNIST-1D, seeds 0 and
        1; never on a target). ``"held-back"`` chooses for the shadows at hand: half, one or two
        times the usual, whichever ranks the last shadow network's samples best by AUC when fitted
        without them; then it fits all. That takes four times as long.
    device : where it computes; None: cuda where there is one, else cpu.
    progress : show the epochs on stderr.
    precision : what the fit computes in, ``"float32"`` or ``"bfloat16"``; None: float32 for
        ``"paper"``, for ``"fast"`` what is fastest on the device. Decisions are always float32.

    Attributes
    ----------
    network_ : the fitted network, in evaluation mode.
    epochs_ : how many epochs it was fitted for.
    mean_, scale_ : shape (features,); the inputs are shifted and divided by them (0 and 1 for
        ``"paper"``).
    """

    name: ClassVar[str]
    usual_epochs: ClassVar[int]
    fast_rate: ClassVar[float] = 1e-3
    fast_batch: ClassVar[int] = 256
    """The fast recipe's largest step of the optimizer, and its samples per step."""

    def __init__(
        self,
        seed: int = 0,
        recipe: str = "fast",
        epochs: int | str | None = None,
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

    @abstractmethod
    def features(self, signals: Signals) -> Inputs:
        """Return what the network is given, shape (n, features), before it is standardized."""

    @abstractmethod
    def network(self, width: int, classes: int) -> nn.Module:
        """Return a fresh network, from (n, features) to two logits: non-member, member."""

    def _check_options(self) -> None:
        require_integer("seed", self.seed, 0)
        require_choice("recipe", self.recipe, ("fast", "paper"))
        if self.epochs not in (None, HELD_BACK):
            require_integer("epochs", self.epochs, 1)
        require_choice("progress", self.progress, (True, False))
        require_choice("precision", self.precision, (None, *PRECISIONS))
        self._device()

    def _device(self) -> torch.device:
        try:
            device = torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, TypeError) as error:
            raise ValueError(
                f"device: {self.device!r} is not usable here; allowed: cpu, or a device of yours"
            ) from error
        return device

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        raw = self.features(shadow)
        self.mean_ = np.zeros(raw.shape[1])
        self.scale_ = np.ones(raw.shape[1])
        if self.recipe == "fast":
            deviation = raw.std(axis=0, dtype=np.float64)
            self.mean_ = raw.mean(axis=0, dtype=np.float64)
            # an input that never varies, as one that SAMIA may not see, becomes zero
            self.scale_ = np.where(deviation > 0, deviation, 1)
        x = self._standardized(raw)
        members = torch.from_numpy(membership.astype(np.int64))

        def fitted(epochs: int, part: torch.Tensor | slice, title: str = self.name) -> nn.Module:
            how = self.fast_rate, self.fast_batch, self.used_precision, self._device()
            where = int(self.seed), title, self.progress
            config = AttackFitConfig(self.recipe, epochs, *how, *where)
            network = fitting.build(lambda: self.network(raw.shape[1], shadow.classes), config)
            fitting.fit(network, x[part], members[part], config)
            return network

        usual = PAPER_EPOCHS
        if self.recipe == "fast":
            more = min(10.0, max(1.0, ENOUGH_SAMPLES / len(shadow)))
            usual = round(self.usual_epochs * more)
        self.epochs_ = usual if self.epochs in (None, HELD_BACK) else int(self.epochs)
        if self.epochs == HELD_BACK:
            held = torch.from_numpy(_held_back(shadow, membership))
            aucs = {}
            # each from the start: a schedule cut short says little of one carried through
            for epochs in (max(1, usual // 2), usual, 2 * usual):
                trial = fitted(epochs, ~held, f"{self.name}, trial of {epochs}")
                scores = fitting.member_log_odds(trial, x[held], self._device())
                aucs[epochs] = roc_auc_score(members[held].numpy(), scores)
            self.epochs_ = max(aucs, key=aucs.__getitem__)
        self.network_ = fitted(self.epochs_, slice(None))

    def _standardized(self, raw: Inputs) -> torch.Tensor:
        return torch.from_numpy(((raw - self.mean_) / self.scale_).astype(np.float32))

    def _decide(self, target: Signals) -> Floats:
        x = self._standardized(self.features(target))
        return fitting.member_log_odds(self.network_, x, self._device())

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


def _held_back(shadow: Signals, membership: Bools) -> Bools:
    """Return True for the last shadow network's samples; ValueError where a part lacks a side."""
    assert shadow.model is not None
    held: Bools = shadow.model == shadow.model.max()
    if not all(0 < membership[part].sum() < part.sum() for part in (held, ~held)):
        raise ValueError(
            f"epochs: {HELD_BACK!r} needs two or more shadow networks, "
            "each with members and non-members; "
            f"here: {len(np.unique(shadow.model))}"
        )
    return held


class _Perceptron(NeuralAttack):
    """An MLP 512-256-128-2 with ReLU and dropout 0.2."""

    usual_epochs = 12

    def network(self, width: int, classes: int) -> nn.Module:  # noqa: ARG002 (SAMIA needs the classes)
        """Return the MLP."""
        layers: list[nn.Module] = []
        for before, after in ((width, 512), (512, 256), (256, 128)):
            layers += [nn.Linear(before, after), nn.ReLU(), Dropout(0.2)]
        return nn.Sequential(*layers, nn.Linear(128, 2))


class Posterior(_Perceptron):
    """nn: an MLP on the posterior, shape (n, C)."""

    name = "nn"

    def features(self, signals: Signals) -> Inputs:
        """Return the posterior."""
        return signals.posteriors


class TopThree(_Perceptron):
    """top3nn: an MLP on the three largest posteriors; with two classes, on both and a zero."""

    name = "top3nn"

    def features(self, signals: Signals) -> Inputs:
        """Return the three largest posteriors, shape (n, 3), descending."""
        three = largest(signals.posteriors, 3)
        return np.pad(three, ((0, 0), (0, 3 - three.shape[1])))


class PosteriorAndLabel(_Perceptron):
    """nncls: an MLP on the posterior and the true class, one-hot: shape (n, 2C)."""

    name = "nncls"

    def features(self, signals: Signals) -> Inputs:
        """Return the posterior and the one-hot label side by side."""
        return np.concatenate([signals.posteriors, one_hot(signals)], axis=1)
