"""Audit the way a network is made: shadows trained and pruned by the user's own functions.

The store keeps what each network *answered*, not its weights: nobody but the user knows how to
build the module again, and nothing is pickled. So a run that was killed repeats one network at
most, and a second run repeats none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from prunemia.audit.audit import Audit
from prunemia.audit.epsilon import DELTA
from prunemia.audit.evidence import gather
from prunemia.audit.fitting import chosen
from prunemia.audit.functions import Plan
from prunemia.audit.making import Making, Network
from prunemia.audit.reading import Answers, named_samples
from prunemia.lab import sweep
from prunemia.signals import Signals
from prunemia.store import Store, default_root

VICTIM = 0


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
    name : what identifies the two functions in the store. None: their source text, and that of
        nothing that they call: give another name when that changes, or what they train on.
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
    named = named_samples(ids, len(plan.labels))
    names = None if attacks is None else list(attacks)
    if names is not None:
        chosen(names, plan.example())  # refuses what there is not, before anything is trained
    making = Making(plan, Store(default_root() if store is None else Path(store)))
    making.store.require_usable()
    victim, *rest = _made(making, scheduler, progress)
    samples = named[victim.samples]
    of_victim = {
        k: Answers(answers, samples, f"the {k} network") for k, answers in victim.answers.items()
    }
    of_shadows = {k: _pooled([each.answers[k] for each in rest], k) for k in of_victim}
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
    return Audit(evidence)


def _made(making: Making, scheduler: str | None, progress: bool) -> list[Network]:
    """Return what each network answers, victim first; read, or made here or on the scheduler."""
    numbers = range(making.plan.shadows + 1)
    missing = [i for i in numbers if not making.has(i)]
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


def _pooled(parts: list[Signals], kind: str) -> Answers:
    return Answers.of(Signals.concatenate(parts), f"shadows, {kind}")
