"""Attacks that are networks: what they share, and the nn family: nn, top3nn, nncls.

Sources: Shokri et al. (S&P 2017) and Salem et al. (NDSS 2019) for the attacks, Yuan & Zhang (2022),
section 5.2, for their networks. The published code's recipe is ``recipe="paper"``. Linear weights
start Xavier-normal, as in the victim's networks: from torch's own start nncls barely learns in the
paper's 100 epochs.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prunemia.attacks._fit import Recipe, Setting, choose_epochs, fit, log_odds
from prunemia.attacks.base import Attack, Bools, Floats, require_choice, require_integer
from prunemia.models import Dropout
from prunemia.signals import Signals

Inputs = NDArray[np.float32]
HELD_BACK = "held-back"
WEIGHT = "network_."
"""What the names of a kept network's weights start with."""
PAPER_EPOCHS = 100
ENOUGH_ROWS = 8192
"""With fewer rows the fast recipe takes more epochs, so that it still takes enough steps."""


class NeuralAttack(Attack):
    """A network that learns on the shadows' rows to tell members from non-members.

    Its score is the logit of "member" minus that of "non-member": log-odds, in nats.

    Parameters
    ----------
    seed : of the weights, the batches and dropout. Nothing depends on, or moves, torch's global
        generator.
    recipe : ``"fast"`` standardizes the inputs and fits by AdamW under a one-cycle schedule;
        ``"paper"`` is the published recipe (see `Recipe`).
    epochs : how many; None: 100 for ``"paper"``, `usual_epochs` for ``"fast"`` (more with few
        rows), which was chosen on held-back shadow networks (Location and MNIST-1D, seeds 0 and 1;
        never on a target). ``"held-back"`` chooses for the shadows at hand: half, one or two times
        the usual, whichever ranks the last shadow network's rows best by AUC when fitted without
        them; then it fits all rows. That takes four times as long.
    device : where it computes; None: cuda where there is one, else cpu.
    progress : show the epochs on stderr.

    Attributes
    ----------
    network_ : the fitted network, in evaluation mode.
    epochs_ : how many epochs it was fitted for.
    mean_, scale_ : shape (features,); the inputs are shifted and divided by them (0 and 1 for
        ``"paper"``).
    """

    name: ClassVar[str]
    usual_epochs: ClassVar[int]

    def __init__(
        self,
        seed: int = 0,
        recipe: str = "fast",
        epochs: int | str | None = None,
        device: str | torch.device | None = None,
        progress: bool = False,
    ) -> None:
        self.seed = seed
        self.recipe = recipe
        self.epochs = epochs
        self.device = device
        self.progress = progress

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
        self._setting()

    def _setting(self) -> Setting:
        try:
            device = torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, TypeError) as error:
            raise ValueError(
                f"device: {self.device!r} is not usable here; allowed: cpu, or a device of yours"
            ) from error
        return Setting(self.name, device, int(self.seed), self.progress)

    def _fit(self, shadow: Signals, membership: Bools) -> None:
        raw = self.features(shadow)
        self.mean_, self.scale_ = np.zeros(raw.shape[1]), np.ones(raw.shape[1])
        if self.recipe == "fast":
            deviation = raw.std(axis=0, dtype=np.float64)
            self.mean_, self.scale_ = (
                raw.mean(axis=0, dtype=np.float64),
                np.where(deviation > 0, deviation, 1),
            )
        x, members = self._tensor(raw), torch.from_numpy(membership.astype(np.int64))
        setting = self._setting()

        def make() -> nn.Module:
            network = self.network(raw.shape[1], shadow.classes)
            for layer in network.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_normal_(layer.weight)
                    nn.init.zeros_(layer.bias)
            return network

        self.epochs_ = self._usual(shadow) if self.epochs in (None, HELD_BACK) else int(self.epochs)
        if self.epochs == HELD_BACK:
            held = _held_back(shadow, membership)
            tried = [
                Recipe(self.recipe, n)
                for n in (max(1, self.epochs_ // 2), self.epochs_, 2 * self.epochs_)
            ]
            self.epochs_ = choose_epochs(make, x, members, held, tried, setting)
        self.network_ = setting.build(make)
        fit(self.network_, x, members, Recipe(self.recipe, self.epochs_), setting)

    def _usual(self, shadow: Signals) -> int:
        """Return the recipe's number of epochs."""
        if self.recipe == "paper":
            return PAPER_EPOCHS
        return round(self.usual_epochs * min(10.0, max(1.0, ENOUGH_ROWS / len(shadow))))

    def _tensor(self, raw: Inputs) -> torch.Tensor:
        return torch.from_numpy(((raw - self.mean_) / self.scale_).astype(np.float32))

    def _remembered(self) -> dict[str, Any]:
        """Return what a fit left, the network as its weights: ``network_.`` and their name."""
        found = super()._remembered()
        weights = found.pop("network_").state_dict()
        return found | {f"{WEIGHT}{name}": value.cpu().numpy() for name, value in weights.items()}

    def restore(self, learned: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `learned` gave."""
        super().restore(
            {name: value for name, value in learned.items() if not name.startswith(WEIGHT)}
        )
        weights = {
            n.removeprefix(WEIGHT): torch.from_numpy(v)
            for n, v in learned.items()
            if n.startswith(WEIGHT)
        }
        network = self.network(len(self.mean_), self.n_classes_)
        network.load_state_dict(weights)
        self.network_ = network.to(self._setting().device).eval()
        return self

    def _decide(self, target: Signals) -> Floats:
        return log_odds(self.network_, self._tensor(self.features(target)), self._setting())


def _held_back(shadow: Signals, membership: Bools) -> Bools:
    """Return True for the rows of the last shadow network; ValueError where that leaves a side empty."""
    assert shadow.model is not None
    held: Bools = shadow.model == shadow.model.max()
    if not all(0 < membership[rows].sum() < rows.sum() for rows in (held, ~held)):
        raise ValueError(
            f"epochs: {HELD_BACK!r} needs two or more shadow networks, each with members and non-members; "
            f"here: {len(np.unique(shadow.model))}"
        )
    return held


class _Perceptron(NeuralAttack):
    """An MLP 512-256-128-2 with ReLU and dropout 0.2."""

    usual_epochs = 12

    def network(self, width: int, classes: int) -> nn.Module:  # noqa: ARG002 (SAMIA needs the classes)
        """Return the MLP."""
        return nn.Sequential(*_layers((width, 512, 256, 128)), nn.Linear(128, 2))


class Posterior(_Perceptron):
    """nn: an MLP on the posterior, shape (n, C)."""

    name = "nn"

    def features(self, signals: Signals) -> Inputs:
        """Return the posterior."""
        return signals.posteriors


class TopThree(_Perceptron):
    """top3nn: an MLP on the three largest posteriors, descending; with two classes, on both and a zero."""

    name = "top3nn"

    def features(self, signals: Signals) -> Inputs:
        """Return the three largest posteriors, shape (n, 3), descending."""
        return top_three(signals.posteriors)


class PosteriorAndLabel(_Perceptron):
    """nncls: an MLP on the posterior and the true class, one-hot: shape (n, 2C)."""

    name = "nncls"

    def features(self, signals: Signals) -> Inputs:
        """Return the posterior and the one-hot label side by side."""
        return np.concatenate([signals.posteriors, one_hot(signals)], axis=1)


def one_hot(signals: Signals) -> Inputs:
    """Return the true classes as rows of the unit matrix, shape (n, C)."""
    return np.eye(signals.classes, dtype=np.float32)[signals.labels]


def top_three(posteriors: Inputs) -> Inputs:
    """Return the three largest of each row, descending, shape (n, 3); a third of zero where there are two classes."""
    largest = -np.sort(-posteriors, axis=1)[:, :3]
    return np.pad(largest, ((0, 0), (0, 3 - largest.shape[1])))


def _layers(widths: tuple[int, ...]) -> Iterator[nn.Module]:
    for before, after in itertools.pairwise(widths):
        yield from (nn.Linear(before, after), nn.ReLU(), Dropout(0.2))
