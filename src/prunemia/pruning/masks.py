"""The four pruners, and the masks that they leave behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
WEIGHTED = (nn.Linear, *CONVOLUTIONS)
NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True, eq=False)
class Masks:
    """Which parameters of a network stay.

    Attributes
    ----------
    module : the pruned network; an ordinary module whose masked parameters are exactly zero.
    keep : parameter name → bool tensor of the parameter's shape, True where it stays.
    counted : the parameter names over which `sparsity` is taken.
    """

    module: nn.Module
    keep: dict[str, Tensor]
    counted: tuple[str, ...]

    @torch.no_grad()
    def apply_(self) -> None:
        """Set what was pruned to zero; call it after every optimizer step."""
        parameters = dict(self.module.named_parameters())
        for name, keep in self.keep.items():
            parameters[name].masked_fill_(~keep, 0)

    @property
    def sparsity(self) -> float:
        """The fraction removed of all prunable weights: every Conv's and Linear's; for slim, every BatchNorm scale."""
        sizes = {name: p.numel() for name, p in self.module.named_parameters()}
        removed = sum(
            int((~keep).sum()) for name, keep in self.keep.items() if name in self.counted
        )
        return removed / sum(sizes[name] for name in self.counted)


def prune(module: nn.Module, method: str, sparsity: float) -> Masks:
    """Zero the lowest-ranked parameters of ``module`` and return the masks.

    A parameter (or filter, or channel) stays iff its score is strictly greater than the
    ``int(n * sparsity)``-th smallest, so those tied with it all go.

    Parameters
    ----------
    module : any network of Conv1d, Conv2d, Linear and BatchNorm layers; changed in place.
    method : ``l1unstructured`` (|w|, per tensor of every Conv and Linear), ``l1structured`` or
        ``l2structured`` (norm of each filter, per Conv; its bias goes with it), ``slim``
        (|γ| pooled over all BatchNorm layers; γ and β go, and no layer is emptied).
    sparsity : the fraction to remove, 0 < sparsity < 1.

    Raises
    ------
    ValueError
        Unknown method, sparsity out of range, or a network without what the method ranks.

    Source: Yuan & Zhang (2022), section 3.2; Li et al. (2017) for filters; Liu et al. (2017) for
    slim.
    """
    if method not in METHODS:
        raise ValueError(f"pruner: {method!r} is not allowed; allowed: {', '.join(METHODS)}")
    if not 0 < sparsity < 1:
        raise ValueError(
            f"sparsity: {sparsity} is not allowed; allowed: greater than 0 and less than 1"
        )
    with torch.no_grad():
        keep = METHODS[method](module, sparsity)
    if not keep:
        what = {"slim": "BatchNorm", "l1unstructured": "Conv or Linear"}.get(method, "Conv")
        raise ValueError(f"pruner: {method!r} ranks {what} layers, and this network has none")
    kinds = NORMALIZATIONS if method == "slim" else WEIGHTED
    masks = Masks(module, keep, tuple(f"{name}.weight" for name, _ in _layers(module, kinds)))
    masks.apply_()
    return masks


def survivors(scores: Tensor, sparsity: float) -> Tensor:
    """Return True where a score, shape (n,), is strictly greater than the int(n * sparsity)-th smallest."""
    gone = int(scores.numel() * sparsity)
    if gone == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    return scores > scores.kthvalue(gone).values


def _unstructured(module: nn.Module, sparsity: float) -> dict[str, Tensor]:
    weights = {
        f"{name}.weight": layer.get_parameter("weight") for name, layer in _layers(module, WEIGHTED)
    }
    return {name: survivors(w.abs().flatten(), sparsity).view_as(w) for name, w in weights.items()}


def _structured(order: int) -> Callable[[nn.Module, float], dict[str, Tensor]]:
    def rank(module: nn.Module, sparsity: float) -> dict[str, Tensor]:
        keep = {}
        for name, layer in _layers(module, CONVOLUTIONS):
            weight = layer.get_parameter("weight")
            filters = survivors(weight.flatten(1).norm(p=order, dim=1), sparsity)
            keep[f"{name}.weight"] = (
                filters.view(-1, *[1] * (weight.ndim - 1)).expand_as(weight).clone()
            )
            if layer.bias is not None:
                keep[f"{name}.bias"] = filters
        return keep

    return rank


def _slim(module: nn.Module, sparsity: float) -> dict[str, Tensor]:
    layers = [(name, layer) for name, layer in _layers(module, NORMALIZATIONS) if layer.affine]
    if not layers:
        return {}
    scores = [layer.get_parameter("weight").abs() for _, layer in layers]
    pooled = survivors(torch.cat(scores), sparsity).split([len(s) for s in scores])
    keep = {}
    for (name, _), score, channels in zip(layers, scores, pooled, strict=True):
        stay = channels.clone()
        if not stay.any():
            stay[score.argmax()] = True
        keep[f"{name}.weight"] = keep[f"{name}.bias"] = stay
    return keep


def _layers(
    module: nn.Module, kinds: tuple[type[nn.Module], ...]
) -> Iterator[tuple[str, nn.Module]]:
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, kinds))


METHODS: dict[str, Callable[[nn.Module, float], dict[str, Tensor]]] = {
    "l1unstructured": _unstructured,
    "l1structured": _structured(1),
    "l2structured": _structured(2),
    "slim": _slim,
}
