"""Many steps: planned, computed here or on Dask's workers, gathered into one tidy table.

A sweep is a set of tasks, each found by its content: interrupted, it resumes with what the store
has. One that fails takes with it what needs it; all others are computed. On Dask a task's result is
in the store, which all workers share, not in Dask's memory: a worker that dies loses the stage that
it was at, and Dask gives that task to another. On the same kind of device, results are those of one
process, bit for bit.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pandas as pd
from tqdm import tqdm

from prunemia.errors import RunError, UsageError
from prunemia.experiment import Adversary, Experiment, content_key
from prunemia.lab.attacking import read_evaluation
from prunemia.lab.context import Context
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Of, Step
from prunemia.store import StoreError

if TYPE_CHECKING:
    from distributed import Client

Errors = dict[str, str]
"""What went wrong, by the name of the task."""

PATIENCE = 10
"""Seconds until a scheduler must have answered."""
DEATHS = 10
"""Workers that may die at one task before it fails, on a cluster started here."""
LOOPBACK = "127.0.0.1"
ENCRYPTED = ("tls", "wss")
PROTOCOLS = ("tcp", "ws", "inproc", *ENCRYPTED)
ENVIRONMENT = {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1}
"""Of worker processes. Dask's own has glibc give memory back after each tensor: twice the time."""


class OpenSchedulerWarning(UserWarning):
    """The scheduler takes code from anybody who reaches it."""


@dataclass(frozen=True)
class Task:
    """One artefact to be: the step to it, its key, and the names of the tasks that come first.

    Tasks of one name have one result, whatever else their experiments say.
    """

    step: Step
    key: str
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        """The task's name among all tasks: the stage and the content key."""
        return f"{self.step.stage}-{self.key}"


@dataclass(frozen=True)
class Failure:
    """One experiment that failed, and why."""

    exp: Experiment
    error: str

    def __str__(self) -> str:
        fields = self.exp.model_dump(mode="json", exclude_defaults=True) | {"seed": self.exp.seed}
        return f"{', '.join(f'{name} {value}' for name, value in fields.items())}: {self.error}"


class SweepError(RunError):
    """Experiments of a sweep failed; the text lists them, ``table`` has the rows of the others."""

    def __init__(self, failures: list[Failure], table: pd.DataFrame) -> None:
        lines = "".join(f"\n  {failure}" for failure in failures)
        super().__init__(f"{len(failures)} experiments failed, the others are in the table:{lines}")
        self.failures = failures
        self.table = table


@dataclass(frozen=True, eq=False)
class Plan:
    """The tasks to the results that are wanted.

    Attributes
    ----------
    context : whose store and device the plan is for.
    rows : the steps that are wanted, and the task that each is.
    tasks : every task, by name; an input comes before what needs it.
    todo : the tasks to compute, in this order: those that are needed and not in the store.
    refused : experiments whose tasks cannot even be named, as their data cannot be had.
    """

    context: Context
    rows: dict[Step, Task] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    todo: dict[str, Task] = field(default_factory=dict)
    refused: dict[Experiment, Failure] = field(default_factory=dict)

    def describe(self) -> str:
        """Return what there is to do and what the store has, in sentences."""
        experiments = {step.exp for step in self.rows} | self.refused.keys()
        stored = sum(task.name not in self.todo for task in self.rows.values())
        kinds = ("original", "pruned")
        train, prune = (self._networks(self.todo.values(), kind) for kind in kinds)
        known = [
            t for t in self.tasks.values() if t.step.stage in kinds and self.context.has(t.step)
        ]
        lines = [
            f"{len(experiments):,} experiments, {len(self.rows):,} rows; "
            f"the results of {stored:,} are in the store.",
            f"Networks: {train:,} to train, {prune:,} to prune and fine-tune; "
            f"{sum(self._networks(known, kind) for kind in kinds):,} are in the store.",
        ]
        if self.refused:
            lines.append(
                f"{len(self.refused):,} experiments cannot be carried out; "
                f"the first: {next(iter(self.refused.values()))}"
            )
        if not self.todo:
            lines.append("Nothing to do but to read the results.")
        return "\n".join(lines)

    def failures(self, errors: Errors) -> list[Failure]:
        """Return the experiments that were refused, or whose tasks failed, each once."""
        found = dict(self.refused)
        for step, task in self.rows.items():
            if task.name in errors:
                found.setdefault(step.exp, Failure(step.exp, errors[task.name]))
        return list(found.values())

    @staticmethod
    def _networks(tasks: Iterable[Task], stage: str) -> int:
        """Return how many networks of a stage there are."""
        return sum(len(task.step.group) for task in tasks if task.step.stage == stage)


def plan(context: Context, steps: Iterable[Step]) -> Plan:
    """Return what is to be done for the results of these steps; nothing is computed."""
    made = Plan(context)
    named: dict[Step, Task] = {}

    def name(step: Step) -> Task:
        """Return a step's task; what it needs is named first."""
        if step not in named:
            needs = tuple(name(part).name for part in context.stages[step.stage].needs(step))
            task = Task(step, context.key(step), needs)
            named[step] = made.tasks.setdefault(task.name, task)
        return named[step]

    def require(task: Task) -> None:
        """Put a task on the list, and before it those that it needs, unless it is stored."""
        if task.name not in made.todo and not context.has(task.step):
            for need in task.needs:
                require(made.tasks[need])
            made.todo[task.name] = task

    for step in steps:
        if step.exp not in made.refused:
            try:
                made.rows[step] = name(step)
            except StoreError:
                raise
            except Exception as error:  # the data cannot be had: this one fails, others do not
                made.refused[step.exp] = Failure(step.exp, describe(error))
    for task in made.rows.values():
        require(task)
    return made


def compute(planned: Plan, scheduler: str | None) -> Errors:
    """Compute a plan's tasks, here or on a Dask scheduler; return the errors by task."""
    silent = not (planned.context.progress and planned.todo)
    with tqdm(total=len(planned.todo), unit="step", disable=silent) as bar:

        def done(task: Task) -> None:
            bar.set_postfix_str(planned.context.title(task.step), refresh=False)
            bar.update()

        if scheduler is None or not planned.todo:
            return _here(planned, done)
        with connect(scheduler) as client:
            return _on_dask(client, planned, done)


def tabulate(planned: Plan, errors: Errors) -> pd.DataFrame:
    """Return the evaluations of a plan's attacks; adds to ``errors`` what cannot be read."""
    rows = []
    for step, task in planned.rows.items():
        if task.name in errors:
            continue
        try:
            files = planned.context.store.get("attack", task.key, only=("evaluation.json",))
            if files is None:  # it was damaged, or removed meanwhile
                files = planned.context.get_or_compute(step)
            evaluation = read_evaluation(files)
        except Exception as error:
            errors[task.name] = describe(error)
        else:
            rows.append(_fields(step.exp, step.of) | {"attack": step.attack} | evaluation.row())
    columns = None if rows else [*_fields(Experiment(), "pruned"), "attack"]
    return pd.DataFrame(rows, columns=columns)


def _fields(exp: Experiment, of: Of) -> dict[str, Any]:
    """Return an experiment's fields as columns, the adversary's as ``adversary_*``."""
    assumed = (exp.adversary or Adversary()).model_dump(mode="json")
    columns = exp.model_dump(mode="json", exclude={"adversary"})
    columns |= {f"adversary_{name}": value for name, value in assumed.items()}
    return columns | {"key": exp.key, "of": of}


def describe(error: BaseException) -> str:
    """Return an error as one line: its type, and what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _here(planned: Plan, done: Callable[[Task], None]) -> Errors:
    """Compute the tasks in this process.

    What another process is at is left for later, so that two pages with tasks in common share the
    work instead of waiting for each other.
    """
    context = planned.context.changed(progress=False)
    errors: Errors = {}
    left = dict(planned.todo)
    for waits in (False, True):
        for name, task in list(left.items()):
            busy = any(need in left for need in task.needs) or context.store.busy(
                task.step.stage, task.key
            )
            if waits or not busy:
                _attempt(context, task, errors)
                done(task)
                del left[name]
    return errors


def _cause(task: Task, errors: Errors) -> str:
    """Return why a task cannot be: the error of one that it needs, "" where none failed."""
    return next((errors[need] for need in task.needs if need in errors), "")


def _attempt(context: Context, task: Task, errors: Errors) -> None:
    """Compute a task unless one that it needs failed."""
    if cause := _cause(task, errors):
        errors[task.name] = cause
    elif not context.store.has(task.step.stage, task.key):
        try:
            context.get_or_compute(task.step)
        except Exception as error:
            errors[task.name] = f"{context.title(task.step)}: {describe(error)}"


def work(step: Step, store: str, device: str | None, _inputs: list[None]) -> None:
    """Compute one step in a worker."""
    Context(STAGES, store, device, progress=False).get_or_compute(step)


def _on_dask(client: Client, planned: Plan, done: Callable[[Task], None]) -> Errors:
    """Compute the tasks on a scheduler: each waits for its inputs, not for another's lock.

    Where workers offer the resource ``GPU`` (``dask worker ADDRESS --nthreads 4 --resources
    GPU=1``), every task asks for one, so a GPU has one network at a time.
    """
    from distributed import as_completed

    context = planned.context
    root = str(context.store.root.resolve())
    place = content_key(root)[:8]  # two sweeps on one scheduler may have stores of their own
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    resources = {"GPU": 1} if any("GPU" in worker["resources"] for worker in workers) else None
    futures: dict[str, Any] = {}
    for name, task in planned.todo.items():
        inputs = [futures[need] for need in task.needs if need in futures]
        arguments = (task.step, root, context.chosen_device, inputs)
        key = f"{name}-{place}"
        futures[name] = client.submit(work, *arguments, key=key, resources=resources)
    tasks = {futures[name].key: task for name, task in planned.todo.items()}
    for future in as_completed(list(futures.values()), loop=client.loop, raise_errors=False):
        done(tasks[future.key])
    errors: Errors = {}
    for name, task in planned.todo.items():
        if cause := _cause(task, errors):
            errors[name] = cause
        elif futures[name].status != "finished":
            errors[name] = f"{context.title(task.step)}: {describe(futures[name].exception())}"
    return errors


@contextlib.contextmanager
def connect(address: str) -> Iterator[Client]:
    """Give a client of the scheduler; of a tls one with the certificates of Dask's settings.

    Warns of an address that others can use, with an `OpenSchedulerWarning`: a scheduler runs what
    its clients send, and over tcp anybody who reaches the port is one.

    Raises
    ------
    UsageError
        It is no address, or nobody answers there.
    """
    from distributed import Client

    if text := risk(address):
        warnings.warn(text, OpenSchedulerWarning, stacklevel=3)
    try:
        _require_certificate(address)
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError, TimeoutError) as error:
        reason = describe(error)[:300]
        raise UsageError(
            f"--scheduler {address}: no Dask scheduler answers there ({reason})"
        ) from error
    with client:
        yield client


def _require_certificate(address: str) -> None:
    """Raise a ValueError where the address is encrypted and Dask's settings hold no certificate.

    Dask says so as well, but leaves a client behind that holds the process up at its end.
    """
    import dask
    from distributed.security import Security

    found = Security().get_connection_args("client")["ssl_context"]
    made = dask.config.get("distributed.client.security-loader", None)
    if urlsplit(address).scheme in ENCRYPTED and found is None and not made:
        raise ValueError("it needs a certificate, and Dask's settings distributed.comm.tls lack it")


def risk(address: str) -> str:
    """Return a sentence on a scheduler that strangers may reach and use; "" where they cannot.

    Raises
    ------
    UsageError
        It is no address, or its host is unknown.
    """
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        if parts.scheme == "inproc":  # in this very process: no host, no port
            return ""
        if parts.scheme not in PROTOCOLS:
            raise ValueError(f"no protocol {parts.scheme[:20]!r}")
        if not (parts.hostname and parts.port):
            raise ValueError("no HOST:PORT")
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--scheduler {address[:80]}: is no address of a Dask scheduler ({error}); "
            "an address looks like tls://10.0.0.5:8786 or tcp://127.0.0.1:8786"
        ) from error
    hosts = [str(place[0]).partition("%")[0] for *_, place in found]  # without an IPv6 zone
    if parts.scheme in ENCRYPTED or all(ipaddress.ip_address(h).is_loopback for h in hosts):
        return ""
    return (
        f"--scheduler {address}: whoever reaches this address can run code on its workers and "
        "on this machine; use tls:// (the book's page on sweeps says how)"
    )


@contextlib.contextmanager
def local_workers(workers: int) -> Iterator[str]:
    """Start a scheduler and workers of one thread each on the loopback, and give its address.

    They end with this process, however it ends: each watches a pipe that the system then closes.
    """
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.worker.memory.terminate": False,
        "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host=LOOPBACK,
            protocol="tcp",  # whatever Dask's settings say: nobody else reaches the loopback
            dashboard_address=f"{LOOPBACK}:0",
            worker_dashboard_address=f"{LOOPBACK}:0",
            memory_limit=0,
            silence_logs=logging.ERROR,
        ) as cluster,
    ):
        yield cluster.scheduler_address
