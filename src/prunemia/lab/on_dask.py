"""A sweep on Dask: a plan's tasks, named by their content, on workers that share the store.

A task's result is in the store, not in Dask's memory: a worker that dies loses the stage that it
was at, and Dask gives that task to another. Tasks wait for their inputs, never for one another's
locks. Where the scheduler's workers offer the resource ``GPU`` (``dask worker ADDRESS --nthreads 4
--resources GPU=1``), every task asks for one, so a GPU has one network at a time. On the same kind
of device, results are those of one process, bit for bit.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunemia.errors import UsageError
from prunemia.experiment import content_key
from prunemia.lab import addresses
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.plan import Plan, describe
from prunemia.lab.scratch import scratch
from prunemia.lab.steps import Step

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 10
"""Seconds until a scheduler must have answered."""
DEATHS = 10
"""Workers that may die at one task before it fails, on a cluster started here."""
LOOPBACK = "127.0.0.1"
ENVIRONMENT = {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1}
"""Of worker processes. Dask's own has glibc give memory back after each tensor: twice the time."""


def carry_out(planned: Plan, scheduler: str, done: Callable[[str], None]) -> dict[str, str]:
    """Carry out a plan's tasks on a scheduler; return the errors by task.

    ``done`` is called after each with its title.
    """
    with connect(scheduler) as client:
        return _submit(client, planned, done)


@contextlib.contextmanager
def connect(address: str) -> Iterator[Client]:
    """Give a client of the scheduler; of a tls one with the certificates of Dask's settings.

    Warns of an address that others can use, with an `addresses.OpenSchedulerWarning`.

    Raises
    ------
    UsageError
        It is no address (`addresses.check`), or nobody answers there.
    """
    from distributed import Client

    addresses.check(address)
    addresses.warn_if_open(address)
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(describe(error).split())[:300]
        raise UsageError(
            f"--scheduler {address}: no Dask scheduler answers there ({reason})"
        ) from error
    with client:
        yield client


@contextlib.contextmanager
def local(workers: int, store: Path) -> Iterator[str]:
    """Start a scheduler and workers of one thread each on the loopback, and give its address."""
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.worker.memory.terminate": False,
        "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
    }
    with scratch(store.resolve()) as folder, dask.config.set(settings):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host=LOOPBACK,
            protocol="tcp",  # whatever Dask's settings say: nobody else reaches the loopback
            dashboard_address=f"{LOOPBACK}:0",
            worker_dashboard_address=f"{LOOPBACK}:0",
            memory_limit=0,
            local_directory=str(folder),
            silence_logs=logging.ERROR,
        )
        try:
            yield cluster.scheduler_address
        finally:
            cluster.close()


def work(step: Step, store: str, device: str | None, _inputs: list[None]) -> None:
    """Carry out one step in a worker."""
    Pipeline(store, device, progress=False).carry_out(step)


def _submit(client: Client, planned: Plan, done: Callable[[str], None]) -> dict[str, str]:
    from distributed import as_completed

    pipeline = planned.pipeline
    root = str(pipeline.store.root.resolve())
    place = content_key(root)[:8]  # two sweeps on one scheduler may have stores of their own
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    resources = {"GPU": 1} if any("GPU" in worker["resources"] for worker in workers) else None
    futures: dict[str, Any] = {}
    titles: dict[str, str] = {}
    for task in planned.todo:
        inputs = [futures[need] for need in task.needs if need in futures]
        key = f"{task.name}-{place}"
        arguments = (task.step, root, pipeline.chosen_device, inputs)
        urgency = planned.urgency[task.name]
        futures[task.name] = client.submit(
            work, *arguments, key=key, resources=resources, priority=urgency
        )
        titles[key] = pipeline.title(task.step)
    for future in as_completed(list(futures.values()), loop=client.loop, raise_errors=False):
        done(titles[future.key])
    return _errors(planned, futures)


def _errors(planned: Plan, futures: dict[str, Any]) -> dict[str, str]:
    """Return the errors by task; what needs a failed task has that one's."""
    errors: dict[str, str] = {}
    for task in planned.todo:
        causes = [errors[need] for need in task.needs if need in errors]
        if causes:
            errors[task.name] = causes[0]
        elif futures[task.name].status != "finished":
            error = futures[task.name].exception()
            errors[task.name] = f"{planned.pipeline.title(task.step)}: {describe(error)}"
    return errors
