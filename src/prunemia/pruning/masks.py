"""The pruners, their control, and the masks that they leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prunemia.registry import PRUNERS, load

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
        """The fraction removed of all prunable weights, those of every Conv and Linear.

        For slim: of all BatchNorm scales.
        """
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
        (|γ| pooled over all BatchNorm layers; γ and β go, and no layer is emptied), ``dense``
        (the control: nothing goes).
    sparsity : the fraction to remove, 0 < sparsity < 1; 0 for the control.

    Raises
    ------
    ValueError
        Unknown method, sparsity out of range, or a network without what the method ranks.

    Source: Yuan & Zhang (2022), section 3.2; Li et al. (2017) for filters; Liu et al. (2017) for
    slim.
    """
    kind = PRUNERS.find(method)
    if kind.control and sparsity != 0:
        raise ValueError(f"sparsity: {sparsity} is not allowed; {method!r} removes nothing: 0")
    if not kind.control and not 0 < sparsity < 1:
        raise ValueError(
            f"sparsity: {sparsity} is not allowed; allowed: greater than 0 and less than 1"
        )
    with torch.no_grad():
        keep: dict[str, Tensor] = load(kind.import_path)(module, sparsity)
    if not keep:
        raise ValueError(f"pruner: {method!r} ranks {kind.ranks}, and this network has none")
    # slim removes channels through their scales: its sparsity is that of the scales
    scales = kind.ranks == "BatchNorm scales"
    kinds = NORMALIZATIONS if scales else WEIGHTED
    masks = Masks(module, keep, tuple(f"{name}.weight" for name, _ in layers(module, kinds)))
    masks.apply_()
    return masks


def survivors(scores: Tensor, sparsity: float) -> Tensor:
    """Return where scores, (n,), are strictly greater than the int(n * sparsity)-th smallest."""
    gone = int(scores.numel() * sparsity)
    if gone == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    return scores > scores.kthvalue(gone).values


def unstructured(module: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """Rank |w| within each tensor of every Conv and Linear."""
    weights = {
        f"{name}.weight": layer.get_parameter("weight") for name, layer in layers(module, WEIGHTED)
    }
    return {name: survivors(w.abs().flatten(), sparsity).view_as(w) for name, w in weights.items()}


def nothing(module: nn.Module, sparsity: float) -> dict[str, Tensor]:  # noqa: ARG001
    """Keep every weight."""
    return {
        f"{name}.weight": torch.ones_like(layer.get_parameter("weight"), dtype=torch.bool)
        for name, layer in layers(module, WEIGHTED)
    }


def l1_filters(module: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """Rank the filters of each Conv by their L1 norm."""
    return _filters(module, sparsity, order=1)


def l2_filters(module: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """Rank the filters of each Conv by their L2 norm."""
    return _filters(module, sparsity, order=2)


def slim(module: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """Rank |γ| pooled over all BatchNorm layers; γ and β go together, and no layer is emptied."""
    scaled = [(name, layer) for name, layer in layers(module, NORMALIZATIONS) if layer.affine]
    if not scaled:
        return {}
    scores = [layer.get_parameter("weight").abs() for _, layer in scaled]
    pooled = survivors(torch.cat(scores), sparsity).split([len(score) for score in scores])
    keep = {}
    for (name, _), score, channels in zip(scaled, scores, pooled, strict=True):
        stay = channels.clone()
        if not stay.any():
            stay[score.argmax()] = True
        keep[f"{name}.weight"] = stay
        keep[f"{name}.bias"] = stay
    return keep


def _filters(module: nn.Module, sparsity: float, order: int) -> dict[str, Tensor]:
    keep = {}
    for name, layer in layers(module, CONVOLUTIONS):
        weight = layer.get_parameter("weight")
        filters = survivors(weight.flatten(1).norm(p=order, dim=1), sparsity)
        shape = (-1, *[1] * (weight.ndim - 1))
        keep[f"{name}.weight"] = filters.view(shape).expand_as(weight).clone()
        if layer.bias is not None:
            keep[f"{name}.bias"] = filters
    return keep


def layers(
    module: nn.Module, kinds: tuple[type[nn.Module], ...]
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of these kinds with their names."""
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, kinds))
