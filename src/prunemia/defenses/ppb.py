"""The paper's defense: align the posteriors of pairs of training samples."""

from __future__ import annotations

from torch import Tensor

from prunemia.training import DefendedRun, Defense


def ppb_divergence(logits: Tensor) -> Tensor:
    """Return PPB's Kullback–Leibler term, without its strength.

    With h = ⌊B/2⌋, each sample's logits sorted in descending order, z′ the first h samples and z″
    the next h: (1/h) Σᵢ KL(softmax(zᵢ″) ‖ softmax(zᵢ′)), with gradients through both. An odd
    batch's last sample is left out; a batch of one sample gives 0.

    Parameters
    ----------
    logits : shape (B, C); or (…, B, C), several batches.

    Returns
    -------
    shape (), or (…): nats, ≥ 0.

    Raises
    ------
    ValueError
        ``logits`` has fewer than two dimensions.

    Source: Yuan & Zhang (2022), section 7.1; the order within the pair is that of their published
    code.
    """
    if logits.ndim < 2:
        raise ValueError(f"logits: shape {tuple(logits.shape)}; allowed: (B, C), or (…, B, C)")
    half = logits.shape[-2] // 2
    ranked = logits.sort(dim=-1, descending=True).values.log_softmax(dim=-1)
    first = ranked[..., :half, :]
    second = ranked[..., half : 2 * half, :]
    return (second.exp() * (second - first)).sum(dim=(-2, -1)) / max(half, 1)


class PosteriorAlignment(Defense):
    """PPB: cross-entropy + λ · `ppb_divergence` of the batch; the strength is λ.

    Source: Yuan & Zhang (2022), section 7.1.
    """

    def penalty(self, run: DefendedRun, x: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        """Return λ times each network's divergence."""
        return self.strength * ppb_divergence(logits)
