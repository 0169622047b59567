"""Structured pruning carried through: pruned filters are cut out, and the network gets smaller.

A pruned filter emits zeros, but the normalization after it turns them into a constant, β − γμ/σ,
and a zero-padding convolution turns a constant into something else at the image's border. So a cut
channel is not always silent: what it sends on is the same for every input, though not at every
place. `cut` finds such channels, removes them along the network's dependencies (torch-pruning),
leaves what they contributed to the next layer as an offset of that layer, and proves the result.

Which channels no input moves follows from one pass of NaN: whatever a NaN enters becomes one,
through any activation, sum or reshape, but for products with weights that are exactly zero, which
`_Moved` stops. No probing would do: a channel can be silent for all but the rarest inputs.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from prunemia.models import Dropout, one_thread
from prunemia.pruning.costs import Cost as Cost  # `pm.cutting.cost` goes on working
from prunemia.pruning.costs import cost as cost
from prunemia.pruning.masks import CONVOLUTIONS, NORMALIZATIONS, WEIGHTED, layers

SCALES, SHIFTS = (0.1, 1.0, 10.0, 100.0, 1000.0), (0.0, 3.0, -3.0)
"""Of the inputs that prove a cut, in deviations: at 1000, filters fire whatever their bias is."""
PROVED = 1e-6
"""The largest difference of two answers in float64, as a share of a sample's largest logit."""
ROUNDING = 1e-9
"""Differences below this share of the largest value are rounding."""


@one_thread()
def cut(module: nn.Module, input_shape: Sequence[int], samples: Tensor | None = None) -> nn.Module:
    """Return a smaller network that answers as ``module``, without the channels no input moves.

    Channels that are tied to one another (by a residual sum) go together or stay together; one
    always stays. Where single weights were pruned (l1unstructured), only channels that happened to
    lose all their weights can go; without any, the network comes back as a copy. Channels stay,
    too, where they are read by a layer that is called twice, enter or leave a convolution of
    several groups (but for depthwise ones), or torch-pruning does not follow them.

    Before it returns, both networks answer random inputs of five scales and three shifts, and
    ``samples``, in float64.

    Parameters
    ----------
    module : a pruned network; it stays as it is.
    input_shape : the shape of one sample; the smaller network answers as before for this shape
        only.
    samples : shape (n, …), each of ``input_shape``; more inputs that the smaller network must
        answer as before.

    Raises
    ------
    ValueError
        A weight is computed from others; the network does not take such samples, or chooses by its
        activations what to compute; or it would answer differently. The message names the layer.
    """
    layers(module, (*WEIGHTED, *NORMALIZATIONS))  # refuses weights that are computed
    types = {p.dtype for p in module.parameters()}
    if len(types) != 1:
        raise ValueError(f"cut: parameters of one type are needed, not {len(types)}")
    whole = _copied(module).eval().double()
    for parameter in whole.parameters():
        parameter.requires_grad_()  # torch-pruning follows the graph of gradients
    shape = tuple(input_shape)
    proof = _Proof(whole, shape, samples)
    sets = _tied_sets(whole, shape)
    small = _without(whole, shape, sets)
    if not proof.holds(small):
        # Where torch-pruning misreads a dependency, what it ties together must stay.
        sets = [each for each in sets if proof.holds(_without(whole, shape, [each]))]
        small = _without(whole, shape, sets)
        if not proof.holds(small):
            names = ", ".join(repr(each.root) for each in sets)
            raise ValueError(
                f"cut: without channels of layer {names}, which no input moves, the network "
                f"answers differently; it cannot be cut"
            )
    assert small is not None  # what holds is a network
    return small.to(types.pop())


class _Proof:
    """What a network answers to inputs of several scales and shifts, and to the samples."""

    def __init__(self, whole: nn.Module, shape: tuple[int, ...], samples: Tensor | None) -> None:
        parameter = next(whole.parameters())
        draw = torch.Generator().manual_seed(0)
        noise = torch.randn((len(SCALES), len(SHIFTS), *shape), generator=draw, dtype=torch.float64)
        one = (1,) * len(shape)
        shifts = torch.tensor(SHIFTS, dtype=torch.float64).view(1, -1, *one)
        scales = torch.tensor(SCALES, dtype=torch.float64).view(-1, 1, *one)
        inputs = [((noise + shifts) * scales).flatten(0, 1)]
        inputs += [] if samples is None else torch.as_tensor(samples).split(64)
        self.inputs = [x.to(parameter) for x in inputs]
        try:
            self.answers = [_logits(whole, x) for x in self.inputs]
        except Exception as error:
            raise ValueError(
                f"cut: the network does not answer samples of shape {shape} in float64: {error}"
            ) from error

    def holds(self, small: nn.Module | None) -> bool:
        """Tell whether a network gives the same answers."""
        try:
            return small is not None and all(
                _agree(answers, _logits(small, x))
                for x, answers in zip(self.inputs, self.answers, strict=True)
            )
        except (RuntimeError, ValueError, IndexError, TypeError):  # layers no longer fit together
            return False


@torch.no_grad()
def _logits(module: nn.Module, x: Tensor) -> Tensor:
    answer = module(x)
    tensors = [
        leaf for leaf in tree_leaves(getattr(answer, "logits", answer)) if isinstance(leaf, Tensor)
    ]
    return torch.cat([tensor.flatten(1) for tensor in tensors], dim=1)


def _agree(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or not torch.equal(a.isfinite(), b.isfinite()):
        return False
    a, b = (x.nan_to_num(0, 0, 0) for x in (a, b))
    return bool(((a - b).abs().amax(dim=1) <= PROVED * a.abs().amax(dim=1)).all())


# --- which channels no input moves ---


class _Moved(TorchFunctionMode):
    """Compute with NaN in place of all that inputs can move, and with what is constant besides."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.inside = [""]
        for name, layer in module.named_modules():
            layer.register_forward_pre_hook(lambda *_, name=name: self.inside.append(name))
            layer.register_forward_hook(lambda *_: self.inside.pop() and None)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        rule = _RULES.get(func)
        result = rule(func, *args, **kwargs) if rule else func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        hides = isinstance(result, Tensor) and not result.is_floating_point()
        if (hides or name in _REORDERING) and _any_moved((args, kwargs)):
            raise ValueError(
                f"cut: layer {self.inside[-1]!r} chooses by its activations ({name}), so what "
                f"moves which channel cannot be told; this network cannot be cut"
            )
        return result


def _any_moved(given: Any) -> bool:
    tensors = (x for x in tree_leaves(given) if isinstance(x, Tensor) and x.is_floating_point())
    return any(bool(x.isnan().any()) for x in tensors)


def _product(
    func: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Any = None, *rest: Any,
    **more: Any,
) -> Tensor:  # fmt: skip
    """Apply a convolution or linear layer: a weight of zero lets nothing through."""
    if weight.isnan().any():  # weights that inputs move
        return func(x, weight, bias, *rest, **more)
    moved = x.isnan()
    reached = func(moved.to(x), (weight != 0).to(weight), None, *rest, **more) > 0
    return func(x.masked_fill(moved, 0), weight, bias, *rest, **more).masked_fill(
        reached, torch.nan
    )


def _normalized(
    func: Callable[..., Tensor], x: Tensor, mean: Any, variance: Any, weight: Any = None,
    bias: Any = None, training: bool = False, *rest: Any, **more: Any,
) -> Tensor:  # fmt: skip
    """Apply batch normalization: a scale of zero lets nothing through."""
    if training or weight is None:
        return func(x, mean, variance, weight, bias, training, *rest, **more)
    moved = x.isnan()
    answer = func(x.masked_fill(moved, 0), mean, variance, weight, bias, training, *rest, **more)
    scaled = (weight != 0).view(1, -1, *[1] * (x.ndim - 2))
    return answer.masked_fill(moved & scaled, torch.nan)


def _times(func: Callable[..., Tensor], a: Any, b: Any, **more: Any) -> Tensor:
    """Multiply: zero times whatever inputs move is zero."""
    zero = torch.as_tensor(a == 0) | torch.as_tensor(b == 0)
    return func(a, b, **more).masked_fill(zero, 0)


_RULES: dict[Any, Callable[..., Tensor]] = {
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d, F.linear), _product),
    **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), _times),
    F.batch_norm: _normalized,
}
_REORDERING = {"sort", "argsort", "topk", "kthvalue", "median", "nan_to_num", "nonzero", "unique"}


@torch.no_grad()
def _constants(whole: nn.Module, shape: tuple[int, ...]) -> dict[str, Tensor]:
    """Return each weighted layer's input, (1, channels, …): NaN wherever an input can move it.

    Of a linear layer after the last dimension's channels: (1, channels), NaN where places differ
    too. Of a layer that is called twice: NaN.
    """
    calls: dict[str, list[Tensor]] = {}
    module = copy.deepcopy(whole)
    for name, layer in module.named_modules():
        if isinstance(layer, WEIGHTED):  # an in-place activation may change an input later
            layer.register_forward_pre_hook(
                lambda _, given, name=name: calls.setdefault(name, []).append(given[0].clone())
            )
    with _Moved(module):
        module(torch.full((1, *shape), torch.nan).to(next(module.parameters())))
    inputs = {name: x[0] if len(x) == 1 else x[0] * torch.nan for name, x in calls.items()}
    for name, x in inputs.items():
        if isinstance(module.get_submodule(name), nn.Linear):
            places = x.flatten(0, -2)
            inputs[name] = places[:1].masked_fill((places != places[:1]).any(dim=0), torch.nan)
    return inputs


# --- what is cut, and how ---


@dataclass(frozen=True)
class _Tied:
    """Channels that can only go together.

    Attributes
    ----------
    root : the first layer that writes them, and ``channels``, those of its channels that go.
    offsets : what they add to each layer that reads them: (filters, …).
    written : the output channels that go, by the layer that writes them.
    """

    root: str
    channels: list[int]
    offsets: dict[str, Tensor] = field(default_factory=dict)
    written: dict[str, set[int]] = field(default_factory=dict)


def _tied_sets(whole: nn.Module, shape: tuple[int, ...]) -> list[_Tied]:
    """Return what can be cut: channels that no input moves in any layer that reads them."""
    constants = _constants(whole, shape)
    still = {
        name: ~x.transpose(0, 1).flatten(1).isnan().any(dim=1) for name, x in constants.items()
    }
    if not any(bool(channels.any()) for channels in still.values()):
        return []
    modules = dict(whole.named_modules())
    names = {layer: name for name, layer in modules.items()}
    try:
        graph, pruner = _graph(whole, shape)
    except Exception as error:
        name = next(name for name, channels in still.items() if channels.any())
        raise ValueError(
            f"cut: torch-pruning does not follow where layer {name!r} has its channels from, so "
            f"those that no input moves cannot be cut: {error}"
        ) from error
    sets: list[_Tied] = []
    visited: set[str] = set()
    for root in still:
        # Every layer that writes a tied set leads to the same set, so the first one stands for it.
        # A linear layer's outputs are no channels here: the last one's are the classes.
        layer = modules[root]
        if root in visited or not isinstance(layer, CONVOLUTIONS) or layer.groups > 1:
            continue
        try:
            group = graph.get_pruning_group(layer, pruner, idxs=list(range(layer.out_channels)))
        except Exception:  # torch-pruning does not follow these channels, so they stay
            continue
        # A group also names normalizations, sums and the like; weights are read and written only
        # by weighted layers, and where these stand still, so does all between them.
        tied = [item for item in group if names.get(item.dep.target.module) in still]
        readers = [item for item in tied if graph.is_in_channel_pruning_fn(item.dep.handler)]
        writers = [item for item in tied if graph.is_out_channel_pruning_fn(item.dep.handler)]
        visited |= {names[item.dep.target.module] for item in writers}
        fit = all(max(item.idxs) < len(still[names[item.dep.target.module]]) for item in readers)
        if not readers or not fit or any(_in_groups(item.dep.target.module) for item in tied):
            continue
        dead = _dead_channels(layer.out_channels, readers, names, still)
        if not dead:
            continue
        chosen = _Tied(root, dead)
        read: dict[str, list[int]] = {}
        for item in readers:
            read.setdefault(names[item.dep.target.module], []).extend(_channels(item, dead))
        for item in writers:
            writes = chosen.written.setdefault(names[item.dep.target.module], set())
            writes.update(_channels(item, dead))
        for name, channels in read.items():
            chosen.offsets[name] = _contribution(modules[name], constants[name], channels)
        sets.append(chosen)
    return sets


def _graph(module: nn.Module, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return torch-pruning's graph of the network's channels, and what removes filters."""
    import torch_pruning

    example = torch.zeros((2, *shape)).to(next(module.parameters()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch_pruning.DependencyGraph()
        graph.build_dependency(module, example_inputs=example, verbose=False)
    return graph, torch_pruning.prune_conv_out_channels


def _in_groups(layer: nn.Module) -> bool:
    """Tell whether a convolution has several groups and is not depthwise."""
    groups = getattr(layer, "groups", 1)
    return groups > 1 and not groups == layer.in_channels == layer.out_channels


def _dead_channels(
    count: int, readers: list[Any], names: dict[nn.Module, str], still: dict[str, Tensor]
) -> list[int]:
    """Return the root's channels that no reader sees move; at most all but one of ``count``."""
    moving = {
        root_channel
        for item in readers
        for channel, root_channel in _pairs(item)
        if not still[names[item.dep.target.module]][channel]
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


@torch.no_grad()
def _contribution(layer: nn.Module, x: Tensor, channels: list[int]) -> Tensor:
    """Return what these constant channels of ``x`` add to the layer's answer, (filters, …)."""
    alone = torch.zeros_like(x)
    alone[:, channels] = x[:, channels]
    # The difference leaves the layer's own bias out, which it keeps.
    answer: Tensor = layer(alone)[0] - layer(torch.zeros_like(x))[0]
    return answer


def _without(whole: nn.Module, shape: tuple[int, ...], sets: list[_Tied]) -> nn.Module | None:
    """Return a copy without these channels; None where torch-pruning cannot take them out."""
    small = copy.deepcopy(whole)
    if not sets:
        return small
    modules = dict(small.named_modules())
    graph, pruner = _graph(small, shape)
    try:
        for each in sets:
            graph.get_pruning_group(modules[each.root], pruner, idxs=each.channels).prune()
    except Exception:
        return None
    for name in {name for each in sets for name in each.offsets}:
        offset = torch.stack([e.offsets[name] for e in sets if name in e.offsets]).sum(dim=0)
        written = {i for each in sets for i in each.written.get(name, ())}
        _absorb(small, modules[name], offset[[i for i in range(len(offset)) if i not in written]])
    return small


def _copied(module: nn.Module) -> nn.Module:
    """Copy a network but for the generators of dropout, which are not used in evaluation mode."""
    generators = [layer.generator for layer in module.modules() if isinstance(layer, Dropout)]
    return copy.deepcopy(module, {id(generator): None for generator in generators})


class Absorbed(nn.Module):
    """A layer and the offset of the channels cut before it: a value per filter and kind of place.

    Lines of places with equal offsets are kept once; ``places1`` and so on say, for each dimension,
    which of them each place has.
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


@torch.no_grad()
def _absorb(module: nn.Module, layer: nn.Module, offset: Tensor) -> None:
    """Leave the offset in the layer's bias if it is the same everywhere, else around the layer."""
    if not offset.any():
        return
    flat = offset.flatten(1) if offset.ndim > 1 else offset[:, None]
    if (flat - flat[:, :1]).abs().max() <= ROUNDING * flat.abs().max():
        old = layer._parameters.get("bias")
        bias = flat[:, 0] if old is None else old + flat[:, 0]
        layer.register_parameter("bias", nn.Parameter(bias))
        return
    # A zero-padding convolution: the constant counts for less at the border than inside.
    name = next(name for name, child in module.named_modules() if child is layer)
    parent, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(parent), attribute, Absorbed(layer, offset))


def _compressed(offset: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """Return the runs of equal slices along a dimension, each once, and the run of each place."""
    moved = offset.movedim(dimension, 0).flatten(1)
    changes = (moved[1:] - moved[:-1]).abs().amax(dim=1) > ROUNDING * moved.abs().max()
    places = torch.cat([changes.new_zeros(1), changes]).cumsum(0)
    firsts = torch.cat([changes.new_ones(1), changes]).nonzero().flatten()
    return offset.index_select(dimension, firsts), places
