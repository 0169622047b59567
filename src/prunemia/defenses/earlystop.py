"""The basic defense: stop early."""

from __future__ import annotations

from prunemia.training import Defense


class EarlyStopping(Defense):
    """Stop at the best validation loss.

    The validation loss of an overfitting network is best early, so an epoch of the warm-up can be
    kept too.

    Source: Yuan & Zhang (2022), section 7, the basic defense.
    """

    keeps_early = True

    def score(self, accuracy: float, loss: float) -> float:
        """Return the validation loss, sign turned."""
        return -loss
