"""Rounds of pruning and fine-tuning: how much is removed, and how long is fine-tuned, in each."""

from __future__ import annotations


def schedule(sparsity: float, epochs: int, rounds: int) -> list[tuple[float, int]]:
    """Return the sparsity and the fine-tuning epochs of each round.

    Every round removes the same share of what is left, so that the last one reaches ``sparsity``:
    after round r of R a share (1 − sparsity)^(r/R) is left. The epochs are divided as evenly as
    they can be; later rounds get what is over.

    Parameters
    ----------
    sparsity : the fraction that is removed in the end, 0 … 1; 0 for the control.
    epochs : of all rounds together.
    rounds : 1 or more; 1: pruned in one shot.

    Raises
    ------
    ValueError
        There are fewer epochs than rounds, or no round.

    Source: Frankle & Carbin (2019), section 1, for the shares.
    """
    if not 1 <= rounds <= epochs:
        raise ValueError(f"rounds: {rounds} is not allowed; allowed: 1 to {epochs}, its epochs")
    each, over = divmod(epochs, rounds)
    shares = [1 - (1 - sparsity) ** (turn / rounds) for turn in range(1, rounds)] + [sparsity]
    return [(share, each + (turn >= rounds - over)) for turn, share in enumerate(shares)]
