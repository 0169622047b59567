"""Structured pruning carried through: filters that pruning zeroed are cut out, and the network gets smaller.

A pruned filter emits zeros, but the normalization after it turns them into a constant, β − γμ/σ,
and a zero-padding convolution turns a constant into something else at the image's border. So a cut
channel is not always silent: what it sends on is the same for every input, though not at every
place. `cut` finds such channels, removes them along the network's dependencies (torch-pruning), and
leaves what they contributed to the next layer as an offset of that layer. For inputs of the given
shape, the smaller network in evaluation mode then answers as the pruned one did, to rounding.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from prunemia.models import Dropout, macs, one_thread
from prunemia.pruning.masks import CONVOLUTIONS, WEIGHTED

PROBES = 4
"""Random inputs that tell channels that depend on the input from those that do not."""
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Cost:
    """What a network costs to keep and to run.

    Attributes
    ----------
    parameters : how many numbers training fitted.
    macs : multiplications with a weight for one sample, of convolutions and linear layers.
    bytes : size of its file (safetensors).
    seconds : median wall time of a batch in evaluation mode, one CPU thread or the network's GPU.
    """

    parameters: int
    macs: int
    bytes: int
    seconds: float


def cost(
    module: nn.Module, input_shape: tuple[int, ...], batch: int = 1, repeats: int = 30
) -> Cost:
    """Measure a network on ``batch`` inputs of a shape; the first three figures are exact."""
    device = next(module.parameters()).device
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    x = torch.zeros((batch, *input_shape), device=device)
    seconds = [_timed(module.eval(), x) for _ in range(repeats + 2)][2:]
    return Cost(
        sum(parameter.numel() for parameter in module.parameters()),
        macs(module, input_shape),
        len(safetensors.torch.save(state)),
        statistics.median(seconds),
    )


def cut(module: nn.Module, input_shape: tuple[int, ...]) -> nn.Module:
    """Return a smaller network that answers as ``module`` does, without the channels that no input moves.

    Channels that are tied to one another (by a residual sum) go together or stay together; one
    always stays. Where single weights were pruned (l1unstructured) there is nothing to cut, and the
    network comes back as a copy.

    Parameters
    ----------
    module : a pruned network; it stays as it is. Its convolutions have one group each.
    input_shape : the shape of one sample; the smaller network answers as before for this shape
        only.
    """
    import torch_pruning

    small = _copied(module).eval()
    for parameter in small.parameters():
        parameter.requires_grad_()
    first = next(small.parameters())
    probes = torch.randn((PROBES, *input_shape), generator=torch.Generator().manual_seed(0)).to(
        first.device
    )
    idle, constant = _idle(small, probes), _inputs(small, probes[:1])
    graph = torch_pruning.DependencyGraph().build_dependency(small, example_inputs=probes[:2])
    chosen = _chosen(graph, idle, torch_pruning.prune_conv_out_channels)
    offsets = {
        layer: _contribution(layer, constant[layer], channels)
        for layer, channels in chosen.read.items()
    }
    for root, channels in chosen.roots:
        graph.get_pruning_group(root, torch_pruning.prune_conv_out_channels, idxs=channels).prune()
    for layer, offset in offsets.items():
        stays = [row for row in range(len(offset)) if row not in chosen.written[layer]]
        _absorb(small, layer, offset[stays])
    return small


class Absorbed(nn.Module):
    """A layer, and the offset that the channels cut before it left behind: one value a filter and kind of place.

    Rows (and columns) of equal offset are kept once; ``places1`` and so on say which each place
    has.
    """

    offset: Tensor

    def __init__(self, layer: nn.Module, offset: Tensor) -> None:
        super().__init__()
        self.layer = layer
        for dimension in range(1, offset.ndim):
            offset, places = _compressed(offset, dimension)
            self.register_buffer(f"places{dimension}", places)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer gives, and the offset."""
        offset = self.offset
        for dimension in range(1, offset.ndim):
            offset = offset.index_select(dimension, self.get_buffer(f"places{dimension}"))
        answer: Tensor = self.layer(x) + offset
        return answer


@dataclass(frozen=True)
class _Choice:
    """What to cut: of each tied set the root and its channels; what layers read and write of them."""

    roots: list[tuple[nn.Module, list[int]]]
    read: dict[nn.Module, list[int]]
    written: dict[nn.Module, set[int]]


class _Linearized(TorchFunctionMode):
    """Let everything through rectifiers, so that a channel stands still only if no input can move it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.relu, torch.relu_, nn.functional.relu):
            return args[0]
        return func(*args, **(kwargs or {}))


def _idle(module: nn.Module, probes: Tensor) -> dict[nn.Module, Tensor]:
    """Return for each weighted layer which input channels (or features) depend on no input: bool, shape (channels,)."""
    with _Linearized():
        seen = _inputs(module, probes)
    idle = {}
    for layer, x in seen.items():
        spread = (x - x[:1]).abs().transpose(0, 1).flatten(1).amax(dim=1)
        idle[layer] = spread <= TOLERANCE * x.abs().max()
    return idle


@torch.no_grad()
def _inputs(module: nn.Module, x: Tensor) -> dict[nn.Module, Tensor]:
    """Return what each convolution and linear layer is given, shape (n, channels, …), in evaluation mode."""
    seen: dict[nn.Module, Tensor] = {}

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen[layer] = given[0].clone()

    layers = [layer for layer in module.modules() if isinstance(layer, WEIGHTED)]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _chosen(graph: Any, idle: dict[nn.Module, Tensor], pruner: Any) -> _Choice:
    """Return what can be cut: channels that reach every layer that reads them without depending on the input."""
    choice = _Choice([], {}, {layer: set() for layer in idle})
    visited: set[nn.Module] = set()
    for root in idle:
        if root in visited or not isinstance(root, CONVOLUTIONS):
            continue
        count = len(root.get_parameter("weight"))
        tied = graph.get_pruning_group(root, pruner, idxs=list(range(count)))
        tied = [item for item in tied if item.dep.target.module in idle]
        readers = [item for item in tied if graph.is_in_channel_pruning_fn(item.dep.handler)]
        writers = [item for item in tied if graph.is_out_channel_pruning_fn(item.dep.handler)]
        visited |= {item.dep.target.module for item in writers}
        moved = {
            of
            for item in readers
            for own, of in _pairs(item)
            if not idle[item.dep.target.module][own]
        }
        dead = [channel for channel in range(count) if channel not in moved][: count - 1]
        if dead and readers:
            choice.roots.append((root, dead))
            for item in readers:
                lost = choice.read.setdefault(item.dep.target.module, [])
                lost += [own for own, of in _pairs(item) if of in set(dead)]
            for item in writers:
                choice.written[item.dep.target.module] |= {
                    own for own, of in _pairs(item) if of in set(dead)
                }
    return choice


def _pairs(item: Any) -> Iterator[tuple[int, int]]:
    """Yield (the layer's own channel, the root's that it is tied to)."""
    return zip(item.idxs, item.root_idxs, strict=True)


@torch.no_grad()
def _contribution(layer: nn.Module, given: Tensor, channels: list[int]) -> Tensor:
    """Return what these constant channels add to the layer's answer: shape (filters, …)."""
    alone = torch.zeros_like(given)
    alone[:, channels] = given[:, channels]
    answer: Tensor = layer(alone)[0] - layer(torch.zeros_like(given))[0]
    return answer


@torch.no_grad()
def _absorb(module: nn.Module, layer: nn.Module, offset: Tensor) -> None:
    """Leave the offset in the layer's bias if it is the same everywhere, else around the layer."""
    if not offset.any():
        return
    flat = offset.flatten(1) if offset.ndim > 1 else offset[:, None]
    if (flat - flat[:, :1]).abs().max() <= TOLERANCE * flat.abs().max():
        old = layer._parameters.get("bias")
        layer.register_parameter(
            "bias", nn.Parameter(flat[:, 0] if old is None else old + flat[:, 0])
        )
        return
    name = next(name for name, found in module.named_modules() if found is layer)
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, Absorbed(layer, offset))


def _compressed(offset: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """Return the runs of equal slices along a dimension, each once, and for each place the number of its run."""
    moved = offset.movedim(dimension, 0).flatten(1)
    changes = (moved[1:] - moved[:-1]).abs().amax(dim=1) > TOLERANCE * moved.abs().max()
    places = torch.cat([changes.new_zeros(1), changes]).cumsum(0)
    firsts = torch.cat([changes.new_ones(1), changes]).nonzero().flatten()
    return offset.index_select(dimension, firsts), places


@contextmanager
def _synchronized(device: torch.device) -> Iterator[None]:
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def _timed(module: nn.Module, x: Tensor) -> float:
    with one_thread():
        started = time.perf_counter()
        with _synchronized(x.device):
            module(x)
        return time.perf_counter() - started


def _copied(module: nn.Module) -> nn.Module:
    """Copy a network but for the generators of dropout, which are not used in evaluation mode."""
    generators = [layer.generator for layer in module.modules() if isinstance(layer, Dropout)]
    return copy.deepcopy(module, {id(generator): None for generator in generators})
