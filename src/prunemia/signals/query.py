"""Query a network: its logits, its posteriors, and how sensitive they are to small changes.

Every query checks the answers (`_asking`) and leaves no trace: no mode changed, no gradient.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prunemia.checks import PROBABILITIES, SignalWarning, are_probabilities, as_array
from prunemia.models import evaluating, one_thread

FOLDED_ON_CPU, FOLDED_ELSEWHERE = 256, 4096  # samples per pass: a CPU's cache holds few
PROBED = 16  # samples that are asked twice
ROUNDINGS = 4  # times the rounding of the type in use that a perturbation has to be, at least
TWICE = (
    "module: two queries of the same samples differ by up to {:.3g}; allowed: an answer that stays "
    "the same (does F.dropout run without training=self.training, or does the network draw noise?)"
)
BESIDE = (
    "module: its answers to the same samples differ by up to {:.3g} with the other samples that it "
    "is asked; allowed: an answer to each sample by itself (does a BatchNorm use the batch's "
    "statistics, by track_running_stats=False or training=True?)"
)


def logits(module: nn.Module, x: Any, batch: int = 1024) -> Tensor:
    """Return what the network answers in evaluation mode: shape (n, C), float64.

    ``module`` maps (n, …) to logits (n, C), an object with ``.logits``, or a tuple whose first
    matrix they are (no later one may be narrower). ``x``, tensor or array, is brought to its device
    and type. ValueError: it cannot take the samples, or its answers are no finite logits, C ≥ 2, or
    change between queries or with the samples beside. `SignalWarning`: they are probabilities.
    """
    with _asking(module, x) as samples:
        z = torch.cat([_ask(module, part).double() for part in samples.split(batch)])
    _warn_of_probabilities(z)
    return z


def posteriors(module: nn.Module, x: Any, batch: int = 1024) -> Tensor:
    """Return the softmax of `logits`: shape (n, C), float64 probabilities."""
    return logits(module, x, batch).softmax(dim=1)


def sensitivity(
    module: nn.Module,
    x: Any,
    epsilon: float = 1e-3,
    draws: int = 10,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the second of `answers`: shape (n, C), float64, >= 0, posterior per unit of input."""
    return answers(module, x, epsilon, draws, generator)[1]


def answers(
    module: nn.Module,
    x: Any,
    epsilon: float = 1e-3,
    draws: int = 10,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the posteriors, and how much each moves when the input is perturbed a little.

    Both (n, C), float64. s_c = mean over ``draws`` of |p_c(x + εu) − p_c(x)| / ε, u ~ N(0, I),
    which tends to √(2/π)·‖∇ₓ p_c‖ as ε → 0; ten draws carry about 16 % of sampling noise. Taken in
    float64, s keeps its digits where p is near 1. ValueError: as `logits`; x is of whole numbers,
    or ε is lost in its rounding. Source: Yuan & Zhang (2022), section 5.1.

    Parameters
    ----------
    module, x : as for `logits`; x in the units that the network takes.
    epsilon, draws : the perturbation's deviation in those units, > 0, and how many a sample, >= 1.
    generator : of the perturbations, on the network's device; None: torch's global one.
    """
    if not epsilon > 0 or draws < 1:
        raise ValueError(f"epsilon: {epsilon}, draws: {draws}; allowed: epsilon > 0 and draws >= 1")
    plain, base, moved = [], [], []
    with _asking(module, x) as samples:
        if not samples.is_floating_point():
            allowed = "allowed for a sensitivity: numbers with a fraction"
            raise ValueError(f"x: whole numbers, as indices; {allowed}")
        size = float(samples.double().square().mean().sqrt()) if samples.numel() else 0.0
        dtype = samples.dtype
        least = ROUNDINGS * torch.finfo(dtype).eps * size
        if epsilon < least:
            raise ValueError(
                f"epsilon: {epsilon:g} is lost in the rounding of "
                f"{str(dtype).removeprefix('torch.')} at samples of this size; allowed: "
                f"{least:.2g} or more, or a network in float32"
            )
        folded = FOLDED_ON_CPU if samples.device.type == "cpu" else FOLDED_ELSEWHERE
        for part in samples.split(max(1, folded // (1 + draws))):
            # the samples themselves and all their perturbed copies share one forward pass
            asked = torch.empty((1 + draws, *part.shape), dtype=part.dtype, device=part.device)
            asked[1:].normal_(generator=generator).mul_(epsilon)
            asked[0] = 0
            z = _ask(module, asked.add_(part).flatten(0, 1)).double()
            plain.append(z[: len(part)])
            p = z.softmax(dim=1).unflatten(0, (1 + draws, len(part)))
            base.append(p[0])
            moved.append((p[1:] - p[0]).abs_().mean(dim=0).div_(epsilon))
    _warn_of_probabilities(torch.cat(plain))
    return torch.cat(base), torch.cat(moved)


@contextlib.contextmanager
def _asking(module: nn.Module, x: Any) -> Iterator[Tensor]:
    """Evaluate deterministically, on one thread; give the samples as taken; ask some twice."""
    with (
        evaluating(module),
        torch.no_grad(),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        one_thread(),
    ):
        samples = _brought(module, x)
        probe = samples[:PROBED]
        first = _ask(module, probe)
        rounding = torch.finfo(first.dtype).eps if first.is_floating_point() else 0.0
        coarse = max(1e-2, 64 * rounding)
        some = (len(probe) + 1) // 2
        for part, tolerance, sentence in ((len(probe), 1e-5, TWICE), (some, coarse, BESIDE)):
            apart = (_ask(module, probe[:part]).double() - first[:part].double()).abs()
            if apart.numel() and apart.max() > tolerance * (1 + first.double().abs().max()):
                raise ValueError(sentence.format(apart.max()))
        yield samples


def _brought(module: nn.Module, x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        array = as_array(x)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"x: type {array.dtype}; allowed: numbers")
        native = np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
        x = torch.from_numpy(np.require(array, native, ["C", "W"]))
    if not x.ndim:
        raise ValueError("x: one number; allowed: samples of shape (n, …)")
    parts = [*module.parameters(), *module.buffers()]
    device = parts[0].device if parts else x.device
    floating = next((p.dtype for p in parts if p.is_floating_point()), None)
    types = [floating or x.dtype]
    if not x.is_floating_point():  # what a network of indices takes, or what one of numbers takes
        types = [floating or torch.float32, torch.int64]
        if any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in module.modules()):
            types.reverse()
    failures: list[Exception] = []
    for dtype in types:
        samples: Tensor = x.to(device, dtype)
        try:
            module(samples[:PROBED])
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            failures.append(error)
        else:
            return samples
    reason = (str(failures[0]).splitlines() or [type(failures[0]).__name__])[0]
    shape = tuple(x.shape[1:])
    said = f"module: cannot be asked samples of shape {shape}, {x.dtype}: {reason}"
    raise ValueError(said) from failures[0]


def _ask(module: nn.Module, part: Tensor) -> Tensor:
    """Return a network's logits, finite and of shape (n, C), to n samples."""
    n, answer = len(part), module(part)
    if hasattr(answer, "logits"):
        answer = answer.logits
    elif isinstance(answer, Mapping) and "logits" in answer:
        answer = answer["logits"]
    elif isinstance(answer, tuple | list):
        tensors = [each for each in answer if isinstance(each, Tensor)]
        matrices = [each for each in tensors if each.ndim == 2 and each.shape[1] > 1]
        if matrices and matrices[0].shape[1] > min(each.shape[1] for each in matrices):
            shapes = ", ".join(str(tuple(each.shape)) for each in matrices)
            hint = "the logits first (wrap the network in one that returns its logits alone)"
            raise ValueError(f"module: answers with matrices of shapes {shapes}; allowed: {hint}")
        answer = next(iter(matrices or tensors), None)
    allowed = f"allowed: logits of shape ({n}, C)"
    if not isinstance(answer, Tensor):
        raise ValueError(f"module: answers with {type(answer).__name__}; {allowed}")
    if answer.ndim != 2 or len(answer) != n or answer.shape[1] < 2:
        single = answer.numel() == n
        hint = "; of one logit z for two classes make torch.stack([0 * z, z], 1)" if single else ""
        shape = tuple(answer.shape)
        raise ValueError(f"module: answers with shape {shape}; {allowed}, C 2 or more{hint}")
    if not torch.isfinite(answer).all():
        row = int((~torch.isfinite(answer)).any(dim=1).int().argmax())
        raise ValueError(f"module: answers sample {row} with NaN or infinity; allowed: numbers")
    return answer


def _warn_of_probabilities(z: Tensor) -> None:
    if are_probabilities(z.cpu().numpy()):
        warnings.warn(f"module: {PROBABILITIES}", SignalWarning, stacklevel=3)
