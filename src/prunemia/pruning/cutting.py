"""Structured pruning carried through: pruned filters are cut out, and the network gets smaller.

A pruned filter emits zeros, of which normalization makes a constant, β − γμ/σ, and a zero-padding
convolution something else at the border; it stays behind as an offset of the next layer. Which
channels no input moves follows from one pass of NaN: whatever a NaN enters becomes one, but for
products with weights that are exactly zero. Probing would miss what only rare inputs move.
"""

import copy
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from prunemia.models import evaluating, macs, one_thread
from prunemia.pruning.masks import CONVOLUTIONS, NORMALIZATIONS, WEIGHTED, layers

SCALES, SHIFTS = (0.1, 1.0, 10.0, 100.0, 1000.0), (0.0, 3.0, -3.0)
# of the inputs that prove a cut, in deviations: at 1000, filters fire whatever their bias is
PROVED = 1e-6  # the largest difference of answers in float64, as a share of the largest logit
ROUNDING = 1e-9  # differences of offsets below this share of the largest value are rounding
REORDERING = {"sort", "argsort", "topk", "kthvalue", "median", "nan_to_num", "nonzero", "unique"}
# what loses track of NaN


@one_thread()
def cut(module: nn.Module, input_shape: Sequence[int], samples: Tensor | None = None) -> nn.Module:
    """Return a smaller network that answers as ``module``, without the channels no input moves.

    ``module`` stays as it is. The answers are as before for samples of ``input_shape`` only: both
    networks answer random inputs of five scales and three shifts in float64, and ``samples``, shape
    (n, …), where given; what would change an answer stays. Channels that are tied (by a residual
    sum) go or stay together; one always stays. Those stay, too, that a layer called twice reads,
    that enter or leave a convolution of several groups (but for depthwise ones), or that
    torch-pruning does not follow. ValueError: a weight is computed from others, the network does
    not take such samples, or chooses by its activations, or torch-pruning does not follow it.
    """
    layers(module, (*WEIGHTED, *NORMALIZATIONS))  # refuses weights that are computed
    types = {p.dtype for p in module.parameters()}
    if len(types) != 1:
        raise ValueError(f"cut: parameters of one type are needed, not {len(types)}")
    whole = copy.deepcopy(module).eval().double()
    for parameter in whole.parameters():
        parameter.requires_grad_()  # torch-pruning follows the graph of gradients
    inputs = _inputs(whole, tuple(input_shape), samples)
    try:
        answers = [_logits(whole, x) for x in inputs]
    except Exception as error:
        what = f"the network does not answer samples of shape {tuple(input_shape)} in float64"
        raise ValueError(f"cut: {what}: {error}") from error
    few = inputs[0][:2]
    constants = _constants(whole, few)

    def proved(sets: list[_Tied]) -> nn.Module | None:
        try:
            small = _without(whole, few, constants, sets)
            same = (_agree(a, _logits(small, x)) for x, a in zip(inputs, answers, strict=True))
            return small if all(same) else None
        except Exception:  # torch-pruning cannot take them out, or layers no longer fit together
            return None

    sets = _tied_sets(whole, few, constants)
    if (small := proved(sets)) is None:  # what torch-pruning ties together, misread, stays
        held: list[_Tied] = []
        for each in sets:
            held += [] if proved([*held, each]) is None else [each]
        small = proved(held)
    if small is None:
        raise ValueError("cut: the network answers the same samples differently each time")
    return small.to(types.pop())


def _inputs(whole: nn.Module, shape: tuple[int, ...], samples: Tensor | None) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn((len(SCALES), len(SHIFTS), *shape), generator=draw, dtype=torch.float64)
    places = [1] * len(shape)
    moved = noise + noise.new_tensor(SHIFTS).view(1, -1, *places)
    made = (moved * noise.new_tensor(SCALES).view(-1, 1, *places)).flatten(0, 1)
    given = [] if samples is None else torch.as_tensor(samples).split(64)
    return [x.to(next(whole.parameters())) for x in (made, *given)]


@torch.no_grad()
def _logits(module: nn.Module, x: Tensor) -> Tensor:
    answer = module(x)
    leaves = tree_leaves(getattr(answer, "logits", answer))
    return torch.cat([leaf.flatten(1) for leaf in leaves if isinstance(leaf, Tensor)], dim=1)


def _agree(a: Tensor, b: Tensor) -> bool:
    size = a.nan_to_num(0, 0, 0).abs().amax(dim=1, keepdim=True).clamp_min(1e-300)
    return a.shape == b.shape and torch.allclose(a / size, b / size, 0, PROVED, equal_nan=True)


class _Tracing(TorchFunctionMode):
    """Refuse what NaN does not trace, choices by activations; zero times whatever moves is zero."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name in {"mul", "__mul__", "__rmul__"} and len(args) == 2:
            zeros = [torch.as_tensor(factor == 0) for factor in args]
            return result.masked_fill(zeros[0] | zeros[1], 0)
        hides = isinstance(result, Tensor) and not result.is_floating_point()
        if hides or name in REORDERING:
            given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            if any(bool(x.isnan().any()) for x in given):
                raise ValueError(
                    f"cut: the network chooses by its activations ({name}), so what moves which "
                    f"channel cannot be told; it cannot be cut"
                )
        return result


def _trace(layer: nn.Module) -> None:
    """Make a layer let NaN through only where a weight carries it: zero times NaN is zero."""
    kinds = (*WEIGHTED, *NORMALIZATIONS)
    own = type(layer).forward not in {kind.forward for kind in kinds}
    if own or (isinstance(layer, NORMALIZATIONS) and layer.running_var is None):
        return  # NaN goes through all of it
    plain, carries = copy.deepcopy(layer), copy.deepcopy(layer)
    for name, value in carries.state_dict().items():
        value.copy_(value != 0 if name == "weight" else torch.tensor(name == "running_var"))

    def traced(_: nn.Module, given: tuple[Tensor, ...], __: Tensor) -> Tensor:
        with torch._C.DisableTorchFunction():
            moved = given[0].isnan()
            reached = ~(carries(moved.to(given[0])) < 0.5)  # it counts the weights that carry
            return torch.masked_fill(plain(given[0].masked_fill(moved, 0)), reached, torch.nan)

    layer.register_forward_hook(traced)


@torch.no_grad()
def _constants(whole: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return each weighted layer's input, (1, channels, …), NaN where the network's moves it."""
    module = copy.deepcopy(whole)
    seen: dict[str, list[Tensor]] = defaultdict(list)
    for name, layer in module.named_modules():
        _trace(layer)
        if isinstance(layer, WEIGHTED):  # an in-place activation may change an input later
            layer.register_forward_pre_hook(
                lambda _, given, name=name: seen[name].append(given[0].clone())
            )
    with _Tracing():
        module(torch.full_like(x[:1], torch.nan))
    inputs = {name: x[0] if len(x) == 1 else x[0] * torch.nan for name, x in seen.items()}
    for name, rows in inputs.items():
        if isinstance(module.get_submodule(name), nn.Linear):
            places = rows.flatten(0, -2)
            inputs[name] = places[:1].masked_fill((places != places[:1]).any(dim=0), torch.nan)
    return inputs


Channels = list[tuple[str, int, int]]  # a layer, a channel of it, the root's that it is tied to


class _Tied(NamedTuple):
    """Channels of ``root``, the first layer to write them, that only go together with others'."""

    root: str
    channels: list[int]
    read: Channels
    written: Channels


def _tied_sets(whole: nn.Module, x: Tensor, constants: dict[str, Tensor]) -> list[_Tied]:
    """Return what can be cut: channels that no input moves in any layer that reads them."""
    still = {
        name: ~value.transpose(0, 1).flatten(1).isnan().any(dim=1)
        for name, value in constants.items()
    }
    first = next((name for name, channels in still.items() if channels.any()), None)
    if first is None:
        return []
    try:
        graph, pruner = _graph(whole, x)
    except Exception as error:
        raise ValueError(
            f"cut: torch-pruning does not follow where layer {first!r} has its channels from, so "
            f"those that no input moves cannot be cut: {error}"
        ) from error
    names = {layer: name for name, layer in whole.named_modules()}
    sets: list[_Tied] = []
    visited: set[str] = set()
    for root in still:
        # Every layer that writes a tied set leads to the same set, so the first one stands for it.
        # A linear layer's outputs are no channels here: the last one's are the classes.
        layer = whole.get_submodule(root)
        if root in visited or not isinstance(layer, CONVOLUTIONS) or layer.groups > 1:
            continue
        count = layer.out_channels
        try:
            group = graph.get_pruning_group(layer, pruner, idxs=list(range(count)))
        except Exception:  # torch-pruning does not follow these channels, so they stay
            continue
        # A group also names normalizations, sums and the like; weights are read and written only
        # by weighted layers, and where these stand still, so does all between them.
        tied = [item for item in group if names.get(item.dep.target.module) in still]
        read, written = (
            [
                (names[item.dep.target.module], channel, source)
                for item in tied
                if of_kind(item.dep.handler)
                for channel, source in zip(item.idxs, item.root_idxs, strict=True)
            ]
            for of_kind in (graph.is_in_channel_pruning_fn, graph.is_out_channel_pruning_fn)
        )
        visited |= {name for name, _, _ in written}
        fits = all(channel < len(still[name]) for name, channel, _ in read)
        if not read or not fits or any(_in_groups(item.dep.target.module) for item in tied):
            continue
        moving = {source for name, channel, source in read if not still[name][channel]}
        dead = [channel for channel in range(count) if channel not in moving]
        if gone := set(dead[: count - 1]):  # a layer without channels is no layer
            parts = ([each for each in part if each[2] in gone] for part in (read, written))
            sets.append(_Tied(root, sorted(gone), *parts))
    return sets


def _graph(module: nn.Module, x: Tensor) -> tuple[Any, Any]:
    import torch_pruning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch_pruning.DependencyGraph()
        graph.build_dependency(module, example_inputs=x, verbose=False)
    return graph, torch_pruning.prune_conv_out_channels


def _in_groups(layer: nn.Module) -> bool:
    groups = getattr(layer, "groups", 1)
    return groups > 1 and not groups == layer.in_channels == layer.out_channels


def _without(
    whole: nn.Module, x: Tensor, constants: dict[str, Tensor], sets: list[_Tied]
) -> nn.Module:
    """Return a copy without these channels; what they add to other layers is an offset there."""
    small = copy.deepcopy(whole)
    if not sets:
        return small
    graph, pruner = _graph(small, x)
    for each in sets:
        layer = small.get_submodule(each.root)
        graph.get_pruning_group(layer, pruner, idxs=each.channels).prune()
    for reader in {name for each in sets for name, _, _ in each.read}:
        read = [channel for each in sets for name, channel, _ in each.read if name == reader]
        gone = {channel for each in sets for name, channel, _ in each.written if name == reader}
        layer, constant = whole.get_submodule(reader), constants[reader]
        alone = torch.zeros_like(constant)
        alone[:, read] = constant[:, read]
        with torch.no_grad():  # the difference leaves the layer's own bias out, which it keeps
            offset = layer(alone)[0] - layer(torch.zeros_like(alone))[0]
            left = [channel for channel in range(len(offset)) if channel not in gone]
            _absorb(small, reader, offset[left])
    return small


def _absorb(module: nn.Module, name: str, offset: Tensor) -> None:
    """Leave an offset, (filters, …), in the layer's bias; around it where places differ."""
    step = ROUNDING * offset.abs().max()
    if step == 0:
        return
    offset = (offset / step).round() * step
    layer = module.get_submodule(name)
    flat = offset.flatten(1) if offset.ndim > 1 else offset[:, None]
    if bool((flat == flat[:, :1]).all()):
        old = layer._parameters.get("bias")
        bias = flat[:, 0] if old is None else old + flat[:, 0]
        layer.register_parameter("bias", nn.Parameter(bias))
    else:
        module.set_submodule(name, Absorbed(layer, offset))


class Absorbed(nn.Module):
    """A layer and the offset of the channels cut before it, lines of equal places kept once."""

    offset: Tensor

    def __init__(self, layer: nn.Module, offset: Tensor) -> None:
        super().__init__()
        self.layer = layer
        for dimension in range(1, offset.ndim):
            offset, places = torch.unique_consecutive(offset, return_inverse=True, dim=dimension)
            self.register_buffer(f"places{dimension}", places)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer gives, and the offset."""
        offset = self.offset
        for dimension in range(1, offset.ndim):
            offset = offset.index_select(dimension, self.get_buffer(f"places{dimension}"))
        return torch.add(self.layer(x), offset)


@dataclass(frozen=True)
class Cost:
    """What a network costs: ``bytes`` of its safetensors file, ``parameters`` that were fitted.

    ``macs``: multiplications for one sample (Conv, Linear); ``seconds``: median wall time of a
    sample, on one CPU thread or the network's GPU.
    """

    parameters: int
    macs: int
    bytes: int
    seconds: float


@one_thread()
def cost(module: nn.Module, input_shape: tuple[int, ...], repeats: int = 30) -> Cost:
    """Measure a network on one input of a shape; the first three figures are exact."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    x = torch.zeros((1, *input_shape)).to(next(module.parameters()))
    seconds = []
    with evaluating(module), torch.inference_mode():
        for _ in range(2 + repeats):
            started = time.perf_counter()
            module(x)
            if x.device.type == "cuda":  # a GPU computes on after the call returned
                torch.cuda.synchronize(x.device)
            seconds.append(time.perf_counter() - started)
    return Cost(
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=macs(module, input_shape),
        bytes=len(safetensors.torch.save(state)),
        seconds=statistics.median(seconds[2:]),  # the first passes allocate memory
    )
