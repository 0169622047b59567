"""samia: the self-attention attack.

Source: Yuan & Zhang (2022), section 5.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from prunemia.attacks._attention import HEADS, LAYERS, Network
from prunemia.attacks._inputs import Inputs, one_hot
from prunemia.attacks._precision import Precision
from prunemia.attacks.base import Floats
from prunemia.attacks.neural import NeuralAttack
from prunemia.signals import Signals

INPUTS = ("posterior", "sensitivity", "label")


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
        zeros = np.zeros_like(signals.posteriors)
        moved = signals.require_sensitivities() if "sensitivity" in self.inputs else zeros
        parts = (signals.posteriors, moved, one_hot(signals))
        visible = [
            part if name in self.inputs else zeros for name, part in zip(INPUTS, parts, strict=True)
        ]
        return np.concatenate(visible, axis=1)

    def network(self, width: int, classes: int) -> nn.Module:  # noqa: ARG002 (3C always)
        """Return the self-attention network."""
        return Network(classes, fast=self.recipe == "fast")

    def attention(self, target: Signals, batch: int = 256) -> Floats:
        """Return how much each class attends to each, on average over the target's samples.

        Returns
        -------
        shape (layers, heads, C, C): [l, h, i, j] is the weight that class i gives to class j; over
        j it sums to one.
        """
        x = self._tensor(self.features(self._observed(target)))
        setting = self._setting()
        tokens = x.shape[1] // 3
        total = torch.zeros(LAYERS, HEADS, tokens, tokens, dtype=torch.float64)
        network = self.network_
        assert isinstance(network, Network)
        with torch.inference_mode(), setting.computing():
            for part in torch.split(x, batch):
                weights = network.attention(part.to(setting.device))
                total += weights.sum(dim=1, dtype=torch.float64).cpu()
        return (total / len(x)).numpy()
