"""The nn family: multilayer perceptrons on posteriors; nn, top3nn, nncls.

Sources: Shokri et al. (S&P 2017) and Salem et al. (NDSS 2019) for the attacks, Yuan & Zhang (2022),
section 5.2, for their networks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from torch import nn

from prunemia.attacks._inputs import Inputs, largest, one_hot
from prunemia.attacks.neural import NeuralAttack
from prunemia.models import Dropout
from prunemia.signals import Signals


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


def _layers(widths: tuple[int, ...]) -> Iterator[nn.Module]:
    """Yield a linear layer, ReLU and dropout for each step from a width to the next."""
    for before, after in itertools.pairwise(widths):
        yield from (nn.Linear(before, after), nn.ReLU(), Dropout(0.2))
