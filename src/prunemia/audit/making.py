"""One network of the user's own functions: split, trained, pruned, queried, kept by its content."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from prunemia.audit.functions import Plan
from prunemia.data import Dataset, split
from prunemia.errors import UsageError
from prunemia.experiment import content_key, seed_of
from prunemia.models import one_thread
from prunemia.signals import Signals, posteriors, sensitivity
from prunemia.store import Store, pack_arrays, unpack_arrays

STAGE = "audit"
VERSION = 1
"""Raised when the same functions and features would give other answers."""
KINDS = ("pruned", "original", "dense")


@dataclass(frozen=True, eq=False)
class Network:
    """What one network answered.

    Attributes
    ----------
    samples : shape (m,), the numbers of the samples that it was asked: members, then non-members.
    answers : "pruned", "original" and, where there is a control, "dense".
    """

    samples: NDArray[np.int64]
    answers: dict[str, Signals]


@dataclass(frozen=True, eq=False)
class Making:
    """Makes the networks of a plan, each kept in the store by what it depends on."""

    plan: Plan
    store: Store

    def key(self, number: int) -> str:
        """Return the key of a network: features, labels, functions, options, its number.

        The number of shadows is no part of it: more shadows reuse those that are there.
        """
        plan = self.plan
        digest = hashlib.sha256()
        for array in (plan.features.numpy(), plan.labels):
            digest.update(f"{array.shape} {array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).data)
        options = [plan.seed, plan.epsilon, plan.draws, plan.dense]
        return content_key([VERSION, digest.hexdigest(), plan.identity, options, number])

    def has(self, number: int) -> bool:
        """Say whether the store has what the network answered."""
        return self.store.has(STAGE, self.key(number))

    def read(self, number: int) -> Network:
        """Return what the network answered, made first where the store has it not."""
        key = self.key(number)
        files = self.store.get(STAGE, key)
        if files is None:
            self.make(number)
            files = self.store.get(STAGE, key)
        assert files is not None
        samples = unpack_arrays(files["samples.npz"])["samples"]
        arrays = {k: unpack_arrays(files[f"{k}.npz"]) for k in KINDS if f"{k}.npz" in files}
        answers = {k: Signals.from_arrays(each) for k, each in arrays.items()}
        return Network(samples, answers)

    def make(self, number: int) -> None:
        """Train, prune and query a network, and keep its answers; others wait meanwhile."""
        key = self.key(number)
        with self.store.lock(STAGE, key):
            if self.store.has(STAGE, key):
                return
            samples, answers = self._answers(number)
            files = {f"{kind}.npz": pack_arrays(s.arrays()) for kind, s in answers.items()}
            files["samples.npz"] = pack_arrays({"samples": samples})
            self.store.put(STAGE, key, files, {"what": f"audit, network {number}"})

    def _answers(self, number: int) -> tuple[NDArray[np.int64], dict[str, Signals]]:
        plan = self.plan
        # the split looks at the number of samples alone
        whole = Dataset("", np.zeros((len(plan.labels), 1), np.float32), plan.labels, plan.classes)
        parts = split(whole, plan.seed, number)
        rows = parts.train
        seed = seed_of(plan.seed, "audit", number) % 2**31  # what any generator takes
        with _seeded(seed):
            original = _module("train", plan.train(rows.copy(), seed))
        networks = {"original": original}
        for kind, options in (("pruned", {}), ("dense", {"dense": True})):
            if kind == "pruned" or plan.dense:
                given = copy.deepcopy(original)  # it may be pruned in place
                with _seeded(seed):
                    networks[kind] = _module(
                        "prune", plan.prune(given, rows.copy(), seed, **options)
                    )
        samples = np.concatenate([rows, parts.test])
        member = np.arange(len(samples)) < len(rows)
        answers = {k: self._query(m, samples, member, number) for k, m in networks.items()}
        return samples, answers

    def _query(
        self, module: nn.Module, samples: NDArray[np.int64], member: NDArray[np.bool_], number: int
    ) -> Signals:
        plan = self.plan
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        x = plan.features[torch.from_numpy(samples)].to(device)
        answers = posteriors(module, x)
        if answers.ndim != 2 or answers.shape[1] < plan.classes:
            raise UsageError(
                f"train: its network answers with shape {tuple(answers.shape)}; "
                f"allowed: logits of shape ({len(x)}, C), C {plan.classes} or more"
            )
        moved = None
        if plan.features.is_floating_point():
            generator = torch.Generator(device).manual_seed(seed_of(plan.seed, "query", number))
            moved = sensitivity(module, x, plan.epsilon, plan.draws, generator).cpu().numpy()
        model = np.full(len(samples), number)
        p: Any = answers.cpu().numpy()
        return Signals(p, moved, plan.labels[samples], member, model)


def _module(name: str, value: Any) -> nn.Module:
    if not isinstance(value, nn.Module):
        raise UsageError(f"{name}: returned {type(value).__name__}; allowed: a torch.nn.Module")
    return value


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators for the user's function, and put them back.

    On one thread: with several, sums round differently from run to run.
    """
    with torch.random.fork_rng(), one_thread():
        torch.manual_seed(seed)
        yield
