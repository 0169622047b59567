"""What a defense may change of training; the class itself is no defense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

if TYPE_CHECKING:
    from prunemia.training.fit import Run


class TrainingError(RuntimeError):
    """Training diverged, or a defense cannot take the network; the message names network and cause."""


class Defense:
    """No defense: cross-entropy, and the epoch of the best validation accuracy.

    The others override some of these methods. Each call of `training.fit` takes a fresh object and
    calls, in this order: ``start``; every epoch ``batches``, every batch ``penalty``; after each
    epoch ``score``, and ``keep`` when networks have stopped; at last ``finish``.

    Parameters
    ----------
    strength : in the units of `experiment.DEFENSES`; 0 where the defense has none.
    """

    one_by_one: ClassVar[bool] = False
    """Whether networks must be trained one at a time, never as a stack."""

    keeps_early: ClassVar[bool] = False
    """Whether an epoch of the warm-up can be the one that is kept."""

    def __init__(self, strength: float = 0.0) -> None:
        self.strength = strength

    def start(self, run: Run) -> None:
        """Prepare for the networks of ``run``; called once."""

    def batches(self, run: Run) -> Iterator[Tensor]:
        """Return one epoch's batches: row numbers, shape (M, b), each network's rows in its own order."""
        return run.shuffled()

    def penalty(self, run: Run, x: Tensor, labels: Tensor, logits: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return what is added to each network's cross-entropy, shape (M,), in nats; None: nothing.

        ``x`` is (M, b, …), ``labels`` (M, b), ``logits`` (M, b, C), with gradients.
        """
        return None

    def keep(self, rows: list[int]) -> None:
        """Go on with these networks of the stack only."""

    def score(self, accuracy: float, loss: float) -> float:  # noqa: ARG002
        """Return how good an epoch is by its validation accuracy and loss; the best one is kept."""
        return accuracy

    def finish(self, run: Run) -> dict[str, Any]:  # noqa: ARG002
        """Clean up, and return what the defense guarantees, as JSON."""
        return {}
