"""Audit the way a network is made: shadows trained and pruned by the user's own functions.

The store keeps what each network *answered*, not its weights: nobody but the user knows how to
build the module again, and nothing is pickled. So a run that was killed repeats one network at
most, and a second run repeats none.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from prunemia import checks
from prunemia.audit.answers import Answers
from prunemia.audit.audit import Audit, warned
from prunemia.audit.epsilon import DELTA
from prunemia.audit.evidence import gather
from prunemia.audit.fitting import chosen
from prunemia.audit.identity import identity
from prunemia.data import Dataset, split
from prunemia.errors import UsageError
from prunemia.experiment import content_key, seed_of
from prunemia.files import pack_arrays, unpack_arrays
from prunemia.lab import sweep
from prunemia.models import one_thread
from prunemia.signals import Signals, SignalWarning, query
from prunemia.store import Store, default_root

VICTIM = 0
STAGE = "audit"
VERSION = 2
"""Raised when the same functions and features would give other answers."""
KINDS = ("pruned", "original", "dense")
LEAST = 100
"""Samples: below, the victim has hardly twenty members."""
FEW = 16
"""Samples that the first network is asked right after its training, before anything else."""


def network(
    train: Callable[..., Any],
    prune: Callable[..., Any],
    features: Any,
    labels: Any,
    shadows: int = 5,
    *,
    name: str | None = None,
    ids: Any = None,
    attacks: Iterable[str] | None = None,
    seed: int = 0,
    epsilon: float = 1e-3,
    draws: int = 10,
    delta: float = DELTA,
    store: str | Path | None = None,
    scheduler: str | None = None,
    progress: bool = True,
) -> Audit:
    """Train, prune and audit a network of one's own, against shadow networks made alike.

    Half of the samples are the victim's, half the adversary's; each network trains on 45 % of its
    half (its members), and as many are its non-members (`prunemia.data.split`). Originals and
    pruned networks are queried, the attacks are fitted on the shadows and judged on the victim, and
    the pruned network is compared with the original, sample by sample.

    Parameters
    ----------
    train : ``train(rows, seed) -> nn.Module``, from the numbers of the samples to train on, shape
        (m,) of int64, to a network that maps ``features[rows]`` to logits (m, C).
    prune : ``prune(module, rows, seed) -> nn.Module``: a copy of that network comes in, the pruned
        and fine-tuned one goes out. If it takes ``dense=``, it is called again with ``dense=True``:
        the same fine-tuning with nothing removed. That control joins the comparison.
    features : shape (n, …), array or tensor, as the network takes them; on any device.
    labels : shape (n,), 0 … C-1.
    shadows : how many shadow networks, 1 or more.
    name : what identifies the two functions in the store; give another when they change. None:
        their code and all that it refers to (defaults, closures, globals, functions of your own),
        but for globals that they only write to, and files that they read.
    ids : shape (n,), what the samples are called; None: their numbers.
    attacks, seed, delta : see `signals`. torch's global generator is seeded before each call of the
        functions, and put back; they compute on one CPU thread, so that a run can be repeated,
        unless they set more themselves.
    epsilon, draws : of the sensitivities (`prunemia.query.sensitivity`); none are asked for where
        the features are whole numbers.
    store : a folder; None: ``$PRUNEMIA_STORE``, else as `Lab`.
    scheduler : the address of a Dask scheduler, whose workers share the store's folder and have
        this package; they make the networks side by side. The functions travel there.
    progress : show on stderr what is being done.

    Raises
    ------
    UsageError
        An argument is not as above: before any training, except for what the functions return.
    """
    options = {"shadows": shadows, "seed": seed, "epsilon": epsilon, "draws": draws}
    plan = Plan.of(train, prune, features, labels, name, **options)
    named = checks.ids(ids, len(plan.labels))
    names = None if attacks is None else list(attacks)
    if names is not None:
        chosen(names, plan.example())  # refuses what there is not, before anything is trained
    making = Making(plan, Store(default_root() if store is None else Path(store)))
    making.store.require_usable()
    victim, *rest = _made(making, scheduler, progress)
    of_victim = {
        kind: Answers(answers, named[victim.samples], f"the {kind} network")
        for kind, answers in victim.answers.items()
    }
    of_shadows = {
        kind: Answers.of(Signals.concatenate([e.answers[kind] for e in rest]), f"shadows, {kind}")
        for kind in of_victim
    }
    evidence = gather(
        of_victim["pruned"],
        of_shadows["pruned"],
        {k: (answers, of_shadows[k]) for k, answers in of_victim.items() if k != "pruned"},
        names,
        seed=seed,
        delta=delta,
        command=plan.called,
        tell=lambda line: tqdm.write(f"{line} …", file=sys.stderr) if progress else None,
    )
    return warned(Audit(evidence))


def _made(making: Making, scheduler: str | None, progress: bool) -> list[Network]:
    """Return what each network answers, victim first; read, or made here or on the scheduler."""
    numbers = range(making.plan.shadows + 1)
    missing = [i for i in numbers if not making.store.has(STAGE, making.key(i))]
    with tqdm(total=len(missing), unit="network", disable=not (progress and missing)) as bar:
        if scheduler is not None and missing:
            _on_dask(making, missing, scheduler, bar)
        else:
            for i in missing:
                bar.set_postfix_str("the victim" if i == VICTIM else f"shadow {i}")
                making.make(i)
                bar.update()
    return [making.read(i) for i in numbers]


def _on_dask(making: Making, missing: list[int], scheduler: str, bar: Any) -> None:
    """Make the networks on a scheduler's workers; an error of one is raised here."""
    from distributed import as_completed

    with sweep.connect(scheduler) as client:
        [shared] = client.scatter([making])
        futures = [client.submit(_make, shared, i, key=f"audit-{making.key(i)}") for i in missing]
        for future in as_completed(futures, loop=client.loop):
            future.result()
            bar.update()


def _make(making: Making, number: int) -> None:
    making.make(number)


@dataclass(frozen=True, eq=False)
class Plan:
    """The arguments of `network`, checked.

    Attributes
    ----------
    identity : what the two functions are known by in the store: their name, else `identity`.
    dense : whether ``prune`` takes ``dense=`` and so offers the control.
    """

    train: Callable[..., Any]
    prune: Callable[..., Any]
    features: torch.Tensor
    labels: NDArray[np.int64]
    shadows: int
    seed: int
    epsilon: float
    draws: int
    identity: str
    dense: bool

    @classmethod
    def of(
        cls, train: Any, prune: Any, features: Any, labels: Any, name: str | None, **options: Any
    ) -> Plan:
        """Return the plan; UsageError names the argument that is wrong, and what is allowed."""
        _require_callable("train", train, (None, 0), "train(rows, seed)")
        _require_callable("prune", prune, (None, None, 0), "prune(module, rows, seed)")
        for what, least in (("shadows", 1), ("seed", 0), ("draws", 1)):
            value = options[what]
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{what}: {value!r}; allowed: a whole number from {least}")
        if not options["epsilon"] > 0:
            raise UsageError(f"epsilon: {options['epsilon']}; allowed: more than 0")
        inputs = _features(features)
        classes = checks.labels(labels, len(inputs))
        known = name if name is not None else identity(train=train, prune=prune)
        dense = "dense" in inspect.signature(prune).parameters
        return cls(train, prune, inputs, classes, **options, identity=known, dense=dense)

    @cached_property
    def content(self) -> str:
        """SHA-256 of the features and labels, once for all networks."""
        digest = hashlib.sha256()
        for array in (self.features.numpy(), self.labels):
            digest.update(f"{array.shape} {array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def called(self) -> str:
        """What a report says of how it was called."""
        return (
            f"pm.audit.network(…, shadows={self.shadows}, seed={self.seed}), "
            f"functions {content_key(self.identity)[:12]}"
        )

    def example(self) -> Signals:
        """Return signals of the kind that the networks will give, to check attacks by.

        A small change of features that are whole numbers means nothing: no sensitivities.
        """
        flat = np.full((2, 2), 0.5, dtype=np.float32)
        moved = flat if self.features.is_floating_point() else None
        return Signals(flat, moved, np.array([0, 1]), np.array([True, False]))


def _features(value: Any) -> torch.Tensor:
    inputs = checks.as_array(value)
    if inputs.ndim < 2 or inputs.dtype.kind not in "fiub" or not np.isfinite(inputs).all():
        raise UsageError(
            f"features: shape {inputs.shape}, type {inputs.dtype}; "
            "allowed: finite numbers of shape (n, …)"
        )
    if len(inputs) < LEAST:
        raise UsageError(f"features: {len(inputs)} samples; allowed: {LEAST} or more")
    return torch.tensor(inputs)


def _require_callable(name: str, function: Any, arguments: tuple[Any, ...], form: str) -> None:
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        raise UsageError(f"{name}: cannot be called as {form}") from None


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
        options = [plan.seed, plan.epsilon, plan.draws, plan.dense]
        return content_key([VERSION, plan.content, plan.identity, options, number])

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
        return Network(samples, {k: Signals.from_arrays(each) for k, each in arrays.items()})

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
        whole = Dataset(
            "", np.zeros((len(plan.labels), 1), np.float32), plan.labels, int(plan.labels.max()) + 1
        )
        parts = split(whole, plan.seed, number)
        rows, samples = parts.train, np.concatenate([parts.train, parts.test])
        member = np.arange(len(samples)) < len(rows)
        seed = seed_of(plan.seed, "audit", number) % 2**31  # what any generator takes
        with _seeded(seed):
            original = _module("train", plan.train(rows.copy(), seed))
        self._query("train", original, samples[:FEW], member[:FEW], number)
        networks = {"original": original}
        for kind, options in (("pruned", {}), ("dense", {"dense": True})):
            if kind == "pruned" or plan.dense:
                given = copy.deepcopy(original)  # it may be pruned in place
                with _seeded(seed):
                    networks[kind] = _module(
                        "prune", plan.prune(given, rows.copy(), seed, **options)
                    )
        answers = {
            kind: self._query(
                "train" if kind == "original" else "prune", module, samples, member, number
            )
            for kind, module in networks.items()
        }
        return samples, answers

    def _query(
        self,
        name: str,
        module: nn.Module,
        samples: NDArray[np.int64],
        member: NDArray[np.bool_],
        number: int,
    ) -> Signals:
        plan = self.plan
        x = plan.features[torch.from_numpy(samples)]
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        generator = torch.Generator(device).manual_seed(seed_of(plan.seed, "query", number))
        moved: Any = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SignalWarning)  # the audit tells it by what is kept
                z = query.logits(module, x)
                if plan.features.is_floating_point():
                    moved = query.sensitivity(module, x, plan.epsilon, plan.draws, generator)
        except ValueError as error:
            raise UsageError(f"{name}: its network: {error}") from None
        classes = int(plan.labels.max()) + 1
        if z.shape[1] < classes:
            hint = " (do the labels count from 1?)" if plan.labels.min() == 1 else ""
            raise UsageError(
                f"{name}: its network answers with shape {tuple(z.shape)}; "
                f"allowed: logits of shape ({len(x)}, C), C {classes} or more{hint}"
            )
        p: Any = z.softmax(dim=1).cpu().numpy()
        model: Any = np.full(len(samples), number)
        return Signals(
            p,
            moved,
            plan.labels[samples],
            member,
            model,
            logits=z.cpu().numpy(),
        )


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
