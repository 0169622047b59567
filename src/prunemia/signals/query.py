"""Query a network: its posteriors, and how sensitive they are to small changes of the input."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from prunemia.models import one_thread

FOLDED_ON_CPU, FOLDED_ELSEWHERE = 256, 4096
"""Samples per forward pass, perturbed ones included: on a CPU few enough to stay in its cache."""


def posteriors(module: nn.Module, x: Tensor, batch: int = 1024) -> Tensor:
    """Return softmax f(x) in evaluation mode: shape (n, C), float64 probabilities."""
    with _answering(module):
        return torch.cat([_softmax(module(part)) for part in x.split(batch)])


def sensitivity(
    module: nn.Module,
    x: Tensor,
    epsilon: float = 1e-3,
    draws: int = 10,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return how much each class's posterior moves when the input is perturbed a little.

    The second of `answers`: shape (n, C), float64, >= 0, posterior per unit of input.
    """
    return answers(module, x, epsilon, draws, generator)[1]


def answers(
    module: nn.Module,
    x: Tensor,
    epsilon: float = 1e-3,
    draws: int = 10,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the posteriors, and how much each moves when the input is perturbed a little.

    s_c = mean over ``draws`` of |p_c(x + εu) − p_c(x)| / ε with u ~ N(0, I), in evaluation mode; it
    tends to √(2/π)·‖∇ₓ p_c‖ as ε → 0. With ten draws it carries about 16 % of sampling noise.

    The network computes in its own precision; softmax and difference are taken in float64. So an
    error of the logits is damped by p(1 − p) like the signal itself, and s keeps its digits where p
    is near 1.

    Parameters
    ----------
    module : maps (n, …) to logits (n, C).
    x : shape (n, …), the samples, in the units that the network takes.
    epsilon : the perturbation's standard deviation in those units, > 0.
    draws : perturbations per sample, >= 1.
    generator : of the perturbations, on x's device; None: torch's global one.

    Returns
    -------
    Posteriors, shape (n, C), float64 probabilities; sensitivities, shape (n, C), float64, >= 0,
    posterior per unit of input.

    Source: Yuan & Zhang (2022), section 5.1.
    """
    if not epsilon > 0 or draws < 1:
        raise ValueError(f"epsilon: {epsilon}, draws: {draws}; allowed: epsilon > 0 and draws >= 1")
    base, moved = [], []
    folded = FOLDED_ON_CPU if x.device.type == "cpu" else FOLDED_ELSEWHERE
    with _answering(module):
        for part in x.split(max(1, folded // (1 + draws))):
            # the samples themselves and all their perturbed copies share one forward pass
            asked = torch.empty((1 + draws, *part.shape), dtype=x.dtype, device=x.device)
            asked[1:].normal_(generator=generator).mul_(epsilon)
            asked[0] = 0
            logits = module(asked.add_(part).flatten(0, 1))
            p = _softmax(logits).unflatten(0, (1 + draws, len(part)))
            base.append(p[0])
            moved.append((p[1:] - p[0]).abs_().mean(dim=0).div_(epsilon))
    return torch.cat(base), torch.cat(moved)


def _softmax(logits: Tensor) -> Tensor:
    return logits.to(torch.float64).softmax(dim=1)


@contextlib.contextmanager
def _answering(module: nn.Module) -> Iterator[None]:
    """Set evaluation mode, without gradients, in full float32 precision; restore the mode."""
    before = module.training
    module.eval()
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
            one_thread(),
        ):
            yield
    finally:
        module.train(before)
