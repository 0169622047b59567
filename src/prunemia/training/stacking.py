"""Several networks as one function: stacked where their layers allow it, one alone otherwise.

Both answer ``x`` (M, B, …) with logits (M, B, C); an optimizer that works entry by entry (Adam,
SGD) trains each network as it would alone.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own convention)
from torch import Tensor, nn

from prunemia.models import Dropout, Pool, draw_dropout_from, dropout_mask

STACKED = {nn.Linear, nn.Conv1d, nn.BatchNorm1d, nn.ReLU, nn.Flatten, Pool, Dropout}


def stackable(module: nn.Module) -> bool:
    """Tell whether every layer has a stacked form that pays (2-D convolutions have none)."""
    return type(module) is nn.Sequential and all(type(layer) in STACKED for layer in module)


class Alone:
    """One network of any kind behind the interface of M = 1."""

    def __init__(self, modules: Sequence[nn.Module], generators: Sequence[torch.Generator]) -> None:
        (self.module,) = modules
        self.parameters: dict[str, Tensor] = dict(self.module.named_parameters())
        draw_dropout_from(generators[0], self.module)

    def __call__(self, x: Tensor) -> Tensor:
        """Answer x (1, B, …) with logits (1, B, C)."""
        logits: Tensor = self.module(x[0])
        return logits[None]

    def train(self, mode: bool) -> None:
        """Switch dropout and batch statistics on or off."""
        self.module.train(mode)

    def state(self, slot: int) -> dict[str, Tensor]:
        """Return a copy of the network's state dict."""
        return {name: value.detach().clone() for name, value in self.module.state_dict().items()}


class Stack:
    """M networks of one plain nn.Sequential: batched matrix products and grouped convolutions.

    Activations are (M, B, F), or, for speed, (B, M·C, 1, L), channels last, between convolutions.
    """

    def __init__(self, modules: Sequence[nn.Module], generators: Sequence[torch.Generator]) -> None:
        self.layers = list(modules[0].children())
        self.generators = list(generators)
        self.training = True
        states = [module.state_dict() for module in modules]
        stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        names = dict(modules[0].named_parameters())
        self.parameters = {
            name: stacked[name].requires_grad_() for name in stacked if name in names
        }
        self.buffers = {name: stacked[name] for name in stacked if name not in names}

    def __call__(self, x: Tensor) -> Tensor:
        """Answer x (M, B, …) with logits (M, B, C)."""
        folded = x.ndim == 4 and isinstance(self.layers[0], nn.Conv1d)
        h = _channels_last(x.transpose(0, 1).flatten(1, 2)[:, :, None]) if folded else x
        for place, layer in enumerate(self.layers):
            h = self._answer(str(place), layer, h)
        return h

    def train(self, mode: bool) -> None:
        """Switch dropout and batch statistics on or off."""
        self.training = mode

    def state(self, slot: int) -> dict[str, Tensor]:
        """Return a copy of the state dict of the network in this slot, 0 to M - 1."""
        everything = self.parameters | self.buffers
        return {name: value[slot].detach().clone() for name, value in everything.items()}

    def keep(self, slots: list[int], optimizer: torch.optim.Optimizer) -> None:
        """Go on with the networks in these slots only, optimizer state included."""
        # an optimizer knows parameters by identity: it is given the smaller ones in place of the
        # old, each with its own networks' share of the momenta
        self.generators = [self.generators[slot] for slot in slots]
        self.buffers = {name: value[slots].contiguous() for name, value in self.buffers.items()}
        for name, old in list(self.parameters.items()):
            new = old.detach()[slots].contiguous().requires_grad_()
            state = optimizer.state.pop(old, {})
            # Momenta have the parameter's shape; the count of steps is one number for the stack.
            optimizer.state[new] = {
                what: value[slots].contiguous() if value.ndim else value
                for what, value in state.items()
            }
            self.parameters[name] = new
        (group,) = optimizer.param_groups
        group["params"] = list(self.parameters.values())

    def _answer(self, place: str, layer: nn.Module, h: Tensor) -> Tensor:
        match layer:
            case nn.Linear():
                weight = self.parameters[f"{place}.weight"].transpose(1, 2)
                return torch.baddbmm(self.parameters[f"{place}.bias"][:, None], h, weight)
            case nn.Conv1d():
                weight = self.parameters[f"{place}.weight"]
                bias = self.parameters.get(f"{place}.bias")
                kernel = _channels_last(weight.flatten(0, 1)[:, :, None])
                return F.conv2d(
                    h,
                    kernel,
                    None if bias is None else bias.flatten(),
                    stride=(1, *layer.stride),
                    padding=(0, *layer.padding),
                    dilation=(1, *layer.dilation),
                    groups=len(weight),
                )
            case nn.BatchNorm1d():
                assert layer.momentum is not None
                known, own, rate = self.buffers, self.parameters, layer.momentum
                mean, variance = (known[f"{place}.running_{x}"].view(-1) for x in ("mean", "var"))
                scale, shift = (own[f"{place}.{what}"].flatten() for what in ("weight", "bias"))
                if self.training:
                    known[f"{place}.num_batches_tracked"] += 1
                return F.batch_norm(h, mean, variance, scale, shift, self.training, rate, layer.eps)
            case nn.ReLU():
                return F.relu(h)
            case nn.Flatten() if place == "0":  # the input, (M, B, …)
                return h.flatten(2)
            case nn.Flatten():
                return h.reshape(len(h), len(self.generators), -1).transpose(0, 1)
            case Pool() if h.shape[-1] != layer.output_size:
                return F.adaptive_avg_pool2d(h, (1, layer.output_size))  # type: ignore[arg-type]
            case Dropout() if self.training and layer.p:
                masks = [dropout_mask(h.shape[1:], layer.p, g, h.device) for g in self.generators]
                return h * torch.stack(masks)
        return h


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
