"""Structured pruning carried through: pruned filters are cut out, and the network gets smaller.

A pruned filter emits zeros, but the normalization after it turns them into a constant, β − γμ/σ,
and a zero-padding convolution turns a constant into something else at the image's border. So a cut
channel is not always silent: what it sends on is the same for every input, though not at every
place. `cut` finds such channels, removes them along the network's dependencies (torch-pruning), and
leaves what they contributed to the next layer as an offset of that layer. For inputs of the given
shape, the smaller network in evaluation mode then answers as the pruned one did, to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from prunemia.models import Dropout
from prunemia.pruning.absorbing import TOLERANCE, absorb, contribution
from prunemia.pruning.costs import Cost as Cost  # `pm.cutting.cost` goes on working
from prunemia.pruning.costs import cost as cost
from prunemia.pruning.masks import CONVOLUTIONS, WEIGHTED

PROBES = 4
"""Random inputs that tell channels that depend on the input from those that do not."""


def cut(module: nn.Module, input_shape: tuple[int, ...]) -> nn.Module:
    """Return a smaller network that answers as ``module``, without the channels no input moves.

    Channels that are tied to one another (by a residual sum) go together or stay together; one
    always stays. Where single weights were pruned (l1unstructured), only channels that happened to
    lose all their weights can go; without any, the network comes back as a copy.

    Parameters
    ----------
    module : a pruned network; it stays as it is. Its convolutions have one group each.
    input_shape : the shape of one sample; the smaller network answers as before for this shape
        only.
    """
    import torch_pruning

    small = _copied(module).eval()
    for parameter in small.parameters():
        parameter.requires_grad_()  # torch-pruning follows the graph of gradients
    probes = _probes(small, input_shape)
    idle = _idle_channels(small, probes)
    constant = _inputs(small, probes[:1])
    graph = torch_pruning.DependencyGraph().build_dependency(small, example_inputs=probes[:2])
    pruner = torch_pruning.prune_conv_out_channels
    choice = _choose(graph, idle, pruner)
    # Before anything is cut: afterwards, the layers no longer have these channels.
    offsets = {
        layer: contribution(layer, constant[layer], channels)
        for layer, channels in choice.read.items()
    }
    for root, channels in choice.roots:
        graph.get_pruning_group(root, pruner, idxs=channels).prune()
    for layer, offset in offsets.items():
        stays = [i for i in range(len(offset)) if i not in choice.written[layer]]
        absorb(small, layer, offset[stays])
    return small


@dataclass(frozen=True)
class _Choice:
    """What to cut.

    Attributes
    ----------
    roots : of each tied set of channels the first layer that writes them, and its channels that go.
    read : the input channels that go, by the layer that reads them.
    written : the output channels that go, by the layer that writes them.
    """

    roots: list[tuple[nn.Module, list[int]]] = field(default_factory=list)
    read: dict[nn.Module, list[int]] = field(default_factory=dict)
    written: dict[nn.Module, set[int]] = field(default_factory=dict)


class _Linearized(TorchFunctionMode):
    """Let everything through rectifiers: a channel then stands still only if no input can move it.

    With rectifiers, a channel that happens to be negative for every probe would look constant.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.relu, torch.relu_, nn.functional.relu):
            return args[0]
        return func(*args, **(kwargs or {}))


def _choose(graph: Any, idle: dict[nn.Module, Tensor], pruner: Any) -> _Choice:
    """Return what can be cut: channels that are idle in every layer that reads them."""
    choice = _Choice(written={layer: set() for layer in idle})
    visited: set[nn.Module] = set()
    for root in idle:
        # Every layer that writes a tied set leads to the same set, so the first one stands for it.
        # A linear layer's outputs are no channels here: the last one's are the classes.
        if root in visited or not isinstance(root, CONVOLUTIONS):
            continue
        count = len(root.get_parameter("weight"))
        tied = graph.get_pruning_group(root, pruner, idxs=list(range(count)))
        # A group also names normalizations, sums and the like; weights are read and written only
        # by weighted layers, and where these stand still, so does all between them.
        tied = [item for item in tied if item.dep.target.module in idle]
        readers = [item for item in tied if graph.is_in_channel_pruning_fn(item.dep.handler)]
        writers = [item for item in tied if graph.is_out_channel_pruning_fn(item.dep.handler)]
        visited |= {item.dep.target.module for item in writers}
        dead = _dead_channels(count, readers, idle)
        if dead and readers:
            choice.roots.append((root, dead))
            for item in readers:
                layer = item.dep.target.module
                choice.read.setdefault(layer, []).extend(_channels(item, dead))
            for item in writers:
                choice.written[item.dep.target.module].update(_channels(item, dead))
    return choice


def _dead_channels(count: int, readers: list[Any], idle: dict[nn.Module, Tensor]) -> list[int]:
    """Return the root's channels that no reader sees move; at most all but one of ``count``."""
    moving = {
        root_channel
        for item in readers
        for channel, root_channel in _pairs(item)
        if not idle[item.dep.target.module][channel]
    }
    # A layer without channels is no layer, so of all that are dead the last one stays.
    return [channel for channel in range(count) if channel not in moving][: count - 1]


def _channels(item: Any, dead: list[int]) -> list[int]:
    """Return a layer's channels that are tied to the root's dead ones."""
    doomed = set(dead)
    return [channel for channel, root_channel in _pairs(item) if root_channel in doomed]


def _pairs(item: Any) -> Iterator[tuple[int, int]]:
    """Yield each of a layer's channels, and the root's channel that it is tied to.

    A linear layer after a flattened image reads several features of each channel.
    """
    return zip(item.idxs, item.root_idxs, strict=True)


def _probes(module: nn.Module, input_shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    device = next(module.parameters()).device
    return torch.randn((PROBES, *input_shape), generator=generator).to(device)


def _idle_channels(module: nn.Module, probes: Tensor) -> dict[nn.Module, Tensor]:
    """Return for each weighted layer which of its input channels stand still: bool, (channels,)."""
    with _Linearized():
        inputs = _inputs(module, probes)
    idle = {}
    for layer, x in inputs.items():
        spread = (x - x[:1]).abs().transpose(0, 1).flatten(1).amax(dim=1)
        idle[layer] = spread <= TOLERANCE * x.abs().max()
    return idle


@torch.no_grad()
def _inputs(module: nn.Module, x: Tensor) -> dict[nn.Module, Tensor]:
    """Return each weighted layer's input, (n, channels, …), in evaluation mode."""
    inputs: dict[nn.Module, Tensor] = {}

    def note(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs[layer] = arguments[0].clone()  # an in-place rectifier may change it later

    layers = [layer for layer in module.modules() if isinstance(layer, WEIGHTED)]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return inputs


def _copied(module: nn.Module) -> nn.Module:
    """Copy a network but for the generators of dropout, which are not used in evaluation mode."""
    generators = [layer.generator for layer in module.modules() if isinstance(layer, Dropout)]
    return copy.deepcopy(module, {id(generator): None for generator in generators})
