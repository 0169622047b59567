"""Audit the way a network is made: shadows trained and pruned by the user's own functions.

The store keeps what each network *answered*, not its weights: only the user knows how to build the
module again, and nothing is pickled. A run that was killed repeats one network at most.
"""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from prunemia import checks
from prunemia.audit.answers import Answers
from prunemia.audit.audit import Audit, signals
from prunemia.audit.epsilon import DELTA
from prunemia.audit.fitting import chosen
from prunemia.audit.identity import identity
from prunemia.data import Dataset, split
from prunemia.errors import UsageError
from prunemia.experiment import content_key, seed_of
from prunemia.files import pack_arrays, require_folder, unpack_arrays
from prunemia.lab import sweep
from prunemia.models import one_thread
from prunemia.signals import Signals, SignalWarning, query
from prunemia.store import Store, default_root

STAGE = "audit"
VERSION = 2  # raised when the same functions and features would give other answers
KINDS = ("pruned", "original", "dense")
LEAST = 100  # samples: below, the victim has hardly twenty members


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

    Half of the samples are the victim's, half the adversary's; a network trains on 45 % of its half
    and as many are its non-members (`prunemia.data.split`). The attacks are fitted on the shadows
    and judged on the victim; pruned and original are compared, paired.

    Parameters
    ----------
    train : ``train(rows, seed) -> nn.Module``, from the numbers of the samples to train on, shape
        (m,) of int64, to a network that maps ``features[rows]`` to logits (m, C).
    prune : ``prune(module, rows, seed) -> nn.Module``: a copy of that network comes in, the pruned
        and fine-tuned one goes out. If it takes ``dense=``, it is called again with ``dense=True``:
        the same fine-tuning with nothing removed. That control joins the comparison.
    features, labels : shape (n, …), as the network takes them, on any device; shape (n,), 0 … C-1.
    shadows : how many shadow networks, 1 or more.
    name : what identifies the two functions in the store; give another when they change. None:
        their code and all that it refers to, but for globals that they only write to, and files.
    ids : shape (n,), what the samples are called; None: their numbers.
    attacks, seed, delta : see `signals`. torch's global generator is seeded before each call of the
        functions, and put back; they compute on one CPU thread unless they set more themselves.
    epsilon, draws : of the sensitivities (`prunemia.query.sensitivity`); none where the features
        are whole numbers.
    store, progress : a folder, None: as `Lab`; show on stderr what is being done.
    scheduler : the address of a Dask scheduler, whose workers share the store's folder and have
        this package; they make the networks side by side.

    UsageError, before any training: an argument is not as above. Later: what the functions return.
    """
    for function, form in ((train, "train(rows, seed)"), (prune, "prune(module, rows, seed)")):
        try:
            inspect.signature(function).bind(*form.split(","))
        except (TypeError, ValueError):
            what = form.partition("(")[0]
            raise UsageError(f"{what}: cannot be called as {form}") from None
    for what, value, least in (("shadows", shadows, 1), ("seed", seed, 0), ("draws", draws, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"{what}: {value!r}; allowed: a whole number from {least}")
    if not epsilon > 0:
        raise UsageError(f"epsilon: {epsilon}; allowed: more than 0")
    array = checks.as_array(features)
    if array.ndim < 2 or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise UsageError(
            f"features: shape {array.shape}, type {array.dtype}; "
            "allowed: finite numbers of shape (n, …)"
        )
    if len(array) < LEAST:
        raise UsageError(f"features: {len(array)} samples; allowed: {LEAST} or more")
    inputs = torch.tensor(array)
    classes = checks.labels(labels, len(inputs))
    named = checks.ids(ids, len(inputs))
    known = identity(train=train, prune=prune) if name is None else name
    where = Store(default_root() if store is None else Path(store))
    options = seed, epsilon, draws, "dense" in inspect.signature(prune).parameters
    all_of_it = [VERSION, joblib.hash([inputs.numpy(), classes]), known, options]
    making = Making(train, prune, inputs, classes, *options, content_key(all_of_it), where)
    if attacks is not None:  # refuses what there is not, before anything is trained
        attacks, flat = list(attacks), np.full((2, 2), 0.5, np.float32)
        moved = flat if inputs.is_floating_point() else None
        chosen(attacks, Signals(flat, moved, classes[:2] * 0))
    require_folder(where.root, f"the store {where.root}")
    (samples, victim), *others = _made(making, shadows + 1, scheduler, progress)
    pairs = {}
    for kind, answers in victim.items():
        mine = Answers(answers, named[samples], f"the {kind} network")
        theirs = Signals.concatenate([each[kind] for _, each in others])
        pairs[kind] = mine, Answers.of(theirs, f"shadows, {kind}")
    made = f"pm.audit.network(…, shadows={shadows}, seed={seed})"
    return signals(
        *pairs.pop("pruned"),
        pairs,
        attacks=attacks,
        seed=seed,
        delta=delta,
        command=f"{made}, functions {content_key(known)[:12]}",
        tell=lambda line: tqdm.write(f"{line} …", file=sys.stderr) if progress else None,
    )


Made = tuple[NDArray[np.int64], dict[str, Signals]]
"""The samples that a network was asked, members first, and its answers: pruned, original, dense."""


def _made(making: Making, count: int, scheduler: str | None, progress: bool) -> list[Made]:
    """Return what each network answers, victim first; read, or made here or on the scheduler."""
    missing = [i for i in range(count) if not making.store.has(STAGE, making.key(i))]
    with tqdm(total=len(missing), unit="network", disable=not (progress and missing)) as bar:
        if scheduler is None or not missing:
            for i in missing:
                bar.set_postfix_str(f"shadow {i}" if i else "the victim")
                making.make(i)
                bar.update()
        else:
            from distributed import as_completed

            with sweep.connect(scheduler) as client:
                [shared] = client.scatter([making])
                keys = [f"audit-{making.key(i)}" for i in missing]
                futures = client.map(Making.make, [shared] * len(missing), missing, key=keys)
                for future in as_completed(futures, loop=client.loop):
                    future.result()  # an error of a worker is raised here
                    bar.update()
    return [making.read(i) for i in range(count)]


@dataclass(frozen=True, eq=False)
class Making:
    """Makes the victim (number 0) and the shadows; ``identity``: a hash of all that is above it."""

    train: Callable[..., Any]
    prune: Callable[..., Any]
    features: torch.Tensor
    labels: NDArray[np.int64]
    seed: int
    epsilon: float
    draws: int
    dense: bool
    identity: str
    store: Store

    def key(self, number: int) -> str:
        """Return a network's key; without the number of shadows, so that more reuse the first."""
        return content_key([self.identity, number])

    def read(self, number: int) -> Made:
        """Return what a network answered, made first where the store has it not."""
        while (files := self.store.get(STAGE, self.key(number))) is None:
            self.make(number)
        samples = unpack_arrays(files["samples.npz"])["samples"]
        arrays = {k: unpack_arrays(files[f"{k}.npz"]) for k in KINDS if f"{k}.npz" in files}
        return samples, {k: Signals.from_arrays(each) for k, each in arrays.items()}

    def make(self, number: int) -> None:
        """Train, prune and query a network, and keep its answers; others wait meanwhile."""
        key = self.key(number)
        with self.store.lock(STAGE, key):
            if not self.store.has(STAGE, key):
                samples, answers = self._answers(number)
                files = {f"{kind}.npz": pack_arrays(s.arrays()) for kind, s in answers.items()}
                files["samples.npz"] = pack_arrays({"samples": samples})
                self.store.put(STAGE, key, files, what=f"audit, network {number}")

    def _answers(self, number: int) -> Made:
        n = len(self.labels)
        blank = Dataset("", np.zeros((n, 1), np.float32), self.labels, int(self.labels.max()) + 1)
        parts = split(blank, self.seed, number)  # it looks at the number of samples alone
        rows, samples = parts.train, parts.asked
        original = self._call("train", number, rows)
        answers = {"original": self._query("train", original, samples, len(rows), number)}
        for kind in ("pruned", "dense") if self.dense else ("pruned",):
            given = copy.deepcopy(original)  # it may be pruned in place
            options = {"dense": True} if kind == "dense" else {}
            module = self._call("prune", number, rows, given, **options)
            answers[kind] = self._query("prune", module, samples, len(rows), number)
        return samples, answers

    def _call(
        self, name: str, number: int, rows: NDArray[np.int64], *given: nn.Module, **options: bool
    ) -> nn.Module:
        """Call a function of the user's: seeded, and on one thread, since more round otherwise."""
        seed = seed_of(self.seed, "audit", number) % 2**31  # what any generator takes
        with torch.random.fork_rng(), one_thread():
            torch.manual_seed(seed)
            module = getattr(self, name)(*given, rows.copy(), seed, **options)
        if not isinstance(module, nn.Module):
            found = type(module).__name__
            raise UsageError(f"{name}: returned {found}; allowed: a torch.nn.Module")
        return module

    def _query(
        self, name: str, module: nn.Module, samples: NDArray[np.int64], members: int, number: int
    ) -> Signals:
        """Return a network's answers to samples, of which the members come first."""
        x = self.features[torch.from_numpy(samples)]
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
        generator = torch.Generator(device).manual_seed(seed_of(self.seed, "query", number))
        moved: Any = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SignalWarning)  # the audit tells it by what is kept
                z = query.logits(module, x)
                if self.features.is_floating_point():
                    moved = query.sensitivity(module, x, self.epsilon, self.draws, generator)
        except ValueError as error:
            raise UsageError(f"{name}: its network: {error}") from None
        if z.shape[1] <= self.labels.max():
            hint = " (do the labels count from 1?)" if self.labels.min() == 1 else ""
            raise UsageError(
                f"{name}: its network answers with shape {tuple(z.shape)}; allowed: "
                f"logits of shape ({len(x)}, C), C {self.labels.max() + 1} or more{hint}"
            )
        p: Any = z.softmax(dim=1)
        model, member = np.full(len(x), number), np.arange(len(x)) < members
        return Signals(p, moved, self.labels[samples], member, model, logits=z.cpu().numpy())
