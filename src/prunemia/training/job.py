"""What a fit is given and what it gives back: its settings, the networks, their histories."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from prunemia.pruning import Masks
from prunemia.registry import PrivateConfig


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted: Adam, cross-entropy, early stopping on validation accuracy.

    Training stops after the ``patience``-th epoch in a row without a better validation accuracy and
    keeps the best. The first ``warmup`` epochs neither count for patience nor can be kept
    (fine-tuning a heavily pruned network starts below what it reaches later); they never outnumber
    ``epochs`` - 1.

    Source: Yuan & Zhang (2022), section 6.1; the warm-up is ours.
    """

    epochs: int
    patience: int = 6
    warmup: int = 0
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 5e-4
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: products and convolutions of a step; weights, losses, validation stay float32."""
    keeps_last: bool = False
    """No selection: every epoch is taken, and the last is kept."""
    private: PrivateConfig = field(default_factory=PrivateConfig)
    """What the defense ``dp`` changes."""

    @property
    def first_counted(self) -> int:
        """The epoch that ends the warm-up: the first that patience counts."""
        return min(self.warmup, self.epochs - 1)


@dataclass(frozen=True, eq=False)
class Job:
    """One network to fit.

    Attributes
    ----------
    name : what messages call it.
    train, validation, test : numbers of the data's samples.
    seed : of the batches and of dropout.
    masks : what pruning left; applied after every step.
    floor : the validation accuracy below which patience never ends the training.
    original : the network before pruning, where the defense needs it.
    spent : noise multiplier, sampling rate and number of the steps of DP-SGD that came before.
    """

    name: str
    module: nn.Module
    train: Tensor
    validation: Tensor
    test: Tensor
    seed: int
    masks: Masks | None = None
    floor: float = 0.0
    original: nn.Module | None = None
    spent: list[tuple[float, float, int]] = field(default_factory=list)


@dataclass
class History:
    """What happened, epoch by epoch.

    Attributes
    ----------
    loss : the training loss in nats, a defense's penalty included.
    validation, validation_loss : the validation accuracy, and cross-entropy in nats.
    best_epoch : the epoch kept.
    guarantee : what the defense guarantees.
    """

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best_epoch: int = -1
    validation_loss: list[float] = field(default_factory=list)
    guarantee: dict[str, Any] = field(default_factory=dict)
