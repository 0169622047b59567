"""The pruners, the masks that they leave behind, rounds of pruning, and rounded weights."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prunemia.registry import PRUNERS, load

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
WEIGHTED = (nn.Linear, *CONVOLUTIONS)
NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True, eq=False)
class Masks:
    """Which parameters of ``module`` stay; the masked ones are exactly zero in it."""

    module: nn.Module
    keep: dict[str, Tensor]  # by name, of bool: True where it stays
    counted: tuple[str, ...]  # names that `sparsity` is over

    @torch.no_grad()
    def apply_(self) -> None:
        """Set what was pruned to zero; call it after every optimizer step."""
        for name, keep in self.keep.items():
            self.module.get_parameter(name).masked_fill_(~keep, 0)

    @property
    def sparsity(self) -> float:
        """The fraction removed of all prunable weights (every Conv and Linear); slim: of scales."""
        removed = sum(int((~self.keep[name]).sum()) for name in self.counted if name in self.keep)
        return removed / sum(self.module.get_parameter(name).numel() for name in self.counted)


def prune(module: nn.Module, method: str, sparsity: float) -> Masks:
    """Zero the lowest-ranked parameters of ``module``, in place, and return the masks.

    What scores no more than the ``int(n * sparsity)``-th smallest goes, ties too. ``method``:
    "l1unstructured" (|w|, per tensor of every Conv and Linear), "l1structured" or "l2structured"
    (norm of each filter, per Conv; its bias goes with it), "slim" (|γ| over all BatchNorm layers; γ
    and β go, no layer is emptied), "dense" (the control: nothing goes). ``sparsity``: the fraction
    to remove, 0 < sparsity < 1; 0 for the control. ValueError: unknown method, sparsity out of
    range, nothing to rank. Source: Yuan & Zhang (2022), section 3.2; Li et al., Liu et al. (2017).
    """
    kind = PRUNERS.find(method)
    if not (sparsity == 0 if kind.control else 0 < sparsity < 1):
        allowed = "0 (it removes nothing)" if kind.control else "greater than 0 and less than 1"
        raise ValueError(f"sparsity: {sparsity} is not allowed; allowed with {method!r}: {allowed}")
    with torch.no_grad():
        keep: dict[str, Tensor] = load(kind.import_path)(module, sparsity)
    if not keep:
        raise ValueError(f"pruner: {method!r} ranks {kind.ranks}, and this network has none")
    # slim removes channels through their scales: its sparsity is that of the scales
    kinds = NORMALIZATIONS if kind.ranks == "BatchNorm scales" else WEIGHTED
    # a parameter that layers share has one name: that under which torch lists it
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    keep = {names[id(module.get_parameter(name))]: each for name, each in keep.items()}
    counted = tuple(names[id(layer.weight)] for _, layer in layers(module, kinds))
    masks = Masks(module, keep, counted)
    masks.apply_()
    return masks


def survivors(scores: Tensor, sparsity: float) -> Tensor:
    """Return where scores, (n,), are strictly greater than the int(n * sparsity)-th smallest."""
    gone = int(scores.numel() * sparsity)
    if gone == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    return scores > scores.kthvalue(gone).values


def unstructured(module: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """Rank |w| within each tensor of every Conv and Linear; at sparsity 0, keep all (dense)."""
    keep = {}
    for name, layer in layers(module, WEIGHTED):
        weight = layer.get_parameter("weight")
        keep[f"{name}.weight"] = survivors(weight.abs().flatten(), sparsity).view_as(weight)
    return keep


def slim(module: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """Rank |γ| pooled over all BatchNorm layers; γ and β go together, and no layer is emptied."""
    scaled = [(name, layer) for name, layer in layers(module, NORMALIZATIONS) if layer.affine]
    if not scaled:
        return {}
    scores = [layer.get_parameter("weight").abs() for _, layer in scaled]
    pooled = survivors(torch.cat(scores), sparsity).split([len(score) for score in scores])
    keep = {}
    for (name, _), score, stay in zip(scaled, scores, pooled, strict=True):
        if not stay.any():
            stay[score.argmax()] = True
        keep[f"{name}.weight"] = keep[f"{name}.bias"] = stay
    return keep


def _filters(module: nn.Module, sparsity: float, order: int) -> dict[str, Tensor]:
    keep = {}
    for name, layer in layers(module, CONVOLUTIONS):
        weight = layer.get_parameter("weight")
        filters = survivors(weight.flatten(1).norm(p=order, dim=1), sparsity)
        where = filters.view(-1, *[1] * (weight.ndim - 1))
        keep[f"{name}.weight"] = where.expand_as(weight).clone()
        if layer.bias is not None:
            keep[f"{name}.bias"] = filters
    return keep


l1_filters = functools.partial(_filters, order=1)
l2_filters = functools.partial(_filters, order=2)


def layers(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[tuple[str, nn.Module]]:
    """Return the layers of these kinds by name, once a weight; ValueError: one computes its own."""
    found: list[tuple[str, nn.Module]] = []
    seen: set[int] = set()
    for name, layer in module.named_modules():
        if not isinstance(layer, kinds):
            continue
        for what in ("weight", "bias"):
            if what not in layer._parameters:
                raise ValueError(
                    f"network: layer {name!r} computes its {what} from others, so nothing was "
                    f"changed; first make it a plain parameter: torch.nn.utils.prune.remove, "
                    f".parametrize.remove_parametrizations, .remove_weight_norm, "
                    f".remove_spectral_norm, or layer.register_parameter"
                )
        if id(layer.weight) not in seen or layer.weight is None:
            found.append((name, layer))
        seen.add(id(layer.weight))
    return found


def rounded(weight: Tensor, bits: int) -> Tensor:
    """Return the weights of one layer, (channels, …), rounded to 2 … 8 bits; ValueError: others.

    They go to the nearest multiple of the channel's step, max |w| / (2^(bits − 1) − 1): zero stays
    exactly zero, the largest keeps its size, and 2 bits leave −max, 0 and max. Source:
    Krishnamoorthi (2018, arXiv 1806.08342), section 2; weights alone, no fine-tuning.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits: {bits} is not allowed; allowed: 2 to 8")
    largest = weight.abs().flatten(1).amax(dim=1).view(-1, *[1] * (weight.ndim - 1))
    step = largest / (2 ** (bits - 1) - 1)
    return torch.round(weight / step.masked_fill(step == 0, 1)) * step  # zeros stay so


@torch.no_grad()
def round_(module: nn.Module, bits: int) -> None:
    """Round the weights of every Conv and Linear in place, as `rounded`; all else stays."""
    for _, layer in layers(module, WEIGHTED):
        weight = layer.get_parameter("weight")
        weight.copy_(rounded(weight, bits))


def schedule(sparsity: float, epochs: int, rounds: int) -> list[tuple[float, int]]:
    """Return each round's sparsity and epochs; ValueError: fewer epochs than rounds.

    After round r of R a share (1 − sparsity)^(r/R) is left (Frankle & Carbin 2019, section 1).
    """
    if not 1 <= rounds <= epochs:
        raise ValueError(f"rounds: {rounds} is not allowed; allowed: 1 to {epochs}, its epochs")
    each, over = divmod(epochs, rounds)
    shares = [1 - (1 - sparsity) ** (turn / rounds) for turn in range(1, rounds)] + [sparsity]
    return [(share, each + (turn >= rounds - over)) for turn, share in enumerate(shares)]
