"""Many steps: planned, computed here or on Dask's workers, gathered into one tidy table.

A task that fails takes with it what needs it; all others are computed. On Dask a worker that dies
loses the stage that it was at, and another gets that task.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pandas as pd
from tqdm import tqdm

from prunemia.errors import RunError, UsageError
from prunemia.experiment import Adversary, Experiment, content_key
from prunemia.lab.context import Context, Report
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Of, Step
from prunemia.store import StoreError

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 10  # seconds until a scheduler must have answered
DEATHS = 10  # workers that may die at one task before it fails, on a cluster started here
LOOPBACK = "127.0.0.1"
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class SweepError(RunError):
    """Experiments of a sweep failed; the text lists them, ``table`` has the rows of the others."""

    def __init__(self, failures: dict[Experiment, str], table: pd.DataFrame) -> None:
        lines = "".join(f"\n  {_fields(exp)}: {error}" for exp, error in failures.items())
        super().__init__(f"{len(failures)} experiments failed, the others are in the table:{lines}")
        self.table = table


class Task(NamedTuple):
    """One artefact to be: stage and key as its name, the step to it, the tasks that come first."""

    name: str
    step: Step
    needs: list[str]


class Plan:
    """What is to be done for the results of some steps; nothing is computed before `compute`.

    ``rows``: the steps that are wanted, and the task that each is. ``tasks``: by name, inputs
    first; ``todo``: those to compute. ``errors``: by name; ``refused``: for want of data.
    """

    def __init__(self, context: Context, steps: Iterable[Step]) -> None:
        self.context = context
        self.rows: dict[Step, Task] = {}
        self.tasks: dict[str, Task] = {}
        self.errors: dict[str, str] = {}
        self.refused: dict[Experiment, str] = {}
        for step in steps:
            if step.exp not in self.refused:
                try:
                    self.rows[step] = self._task(step)
                except StoreError:
                    raise
                except Exception as error:  # this one fails, others do not
                    self.refused[step.exp] = describe(error)
        needed, todo = {task.name for task in self.rows.values()}, []
        for task in reversed(self.tasks.values()):
            if task.name in needed and not context.has(task.step):
                needed.update(task.needs)
                todo.append(task)
        self.todo = {task.name: task for task in reversed(todo)}

    def _task(self, step: Step) -> Task:
        """Return a step's task; what it needs is named first."""
        name = f"{step.stage}-{self.context.key(step)}"
        if name not in self.tasks:
            needs = [self._task(part).name for part in self.context.needs(step)]
            self.tasks[name] = Task(name, step, needs)
        return self.tasks[name]

    def describe(self) -> str:
        """Return what there is to do and what the store has, in sentences."""
        experiments = {step.exp for step in self.rows} | self.refused.keys()
        stored = sum(task.name not in self.todo for task in self.rows.values())
        networks: Counter[str] = Counter()
        for name, task in self.tasks.items():
            if name in self.todo:
                networks[task.step.stage] += len(task.step.group)
            elif task.step.stage in ("original", "pruned") and self.context.has(task.step):
                networks["there"] += len(task.step.group)
        lines = [
            f"{len(experiments):,} experiments, {len(self.rows):,} rows; "
            f"the results of {stored:,} are in the store.",
            f"Networks: {networks['original']:,} to train, {networks['pruned']:,} to prune and "
            f"fine-tune; {networks['there']:,} are in the store.",
        ]
        for exp, error in list(self.refused.items())[:1]:
            count = f"{len(self.refused):,} experiments cannot be carried out"
            lines.append(f"{count}; the first: {_fields(exp)}: {error}")
        if not self.todo:
            lines.append("Nothing to do but to read the results.")
        return "\n".join(lines)

    def failures(self) -> dict[Experiment, str]:
        """Return the experiments that were refused, or whose tasks failed, each with its error."""
        found = dict(self.refused)
        for step, task in self.rows.items():
            if task.name in self.errors:
                found.setdefault(step.exp, self.errors[task.name])
        return found

    def compute(self, scheduler: str | None) -> None:
        """Compute the tasks, here or on a Dask scheduler."""
        with self.context.bar("", len(self.todo), "step") as report:
            if scheduler is not None and self.todo:
                with connect(scheduler) as client:
                    self._compute_on(client, report)
                return
            context = self.context.changed(progress=False)
            for task in self.todo.values():
                if not self._blocked(task):
                    try:
                        context.get_or_compute(task.step)
                    except Exception as error:
                        self._failed(task, error)
                report(context.title(task.step))

    def _blocked(self, task: Task) -> bool:
        """Say whether one that the task needs failed: then it has that one's error."""
        for need in task.needs:
            if need in self.errors:
                self.errors[task.name] = self.errors[need]
                return True
        return False

    def _failed(self, task: Task, error: BaseException) -> None:
        self.errors[task.name] = f"{self.context.title(task.step)}: {describe(error)}"

    def _compute_on(self, client: Client, report: Report) -> None:
        """Compute the tasks on a scheduler, each with a GPU where workers offer one."""
        from distributed import as_completed

        root = str(self.context.store.root.resolve())
        place = content_key(root)[:8]  # two sweeps on one scheduler may have stores of their own
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        resources = {"GPU": 1} if any("GPU" in worker["resources"] for worker in workers) else None
        futures: dict[str, Any] = {}
        for name, task in self.todo.items():
            inputs = [futures[need] for need in task.needs if need in futures]
            arguments = (task.step, root, self.context.chosen_device, inputs)
            key = f"{name}-{place}"
            futures[name] = client.submit(work, *arguments, key=key, resources=resources)
        titles = {futures[n].key: self.context.title(task.step) for n, task in self.todo.items()}
        for future in as_completed(list(futures.values()), loop=client.loop, raise_errors=False):
            report(titles[future.key])
        for name, task in self.todo.items():
            if not self._blocked(task) and futures[name].status != "finished":
                self._failed(task, futures[name].exception())

    def table(self) -> pd.DataFrame:
        """Return the evaluations of the attacks; notes as errors what cannot be read."""
        rows = []
        for step, task in self.rows.items():
            if task.name not in self.errors:
                try:
                    row = self.context.value(step).evaluation.row()
                    rows.append(_columns(step.exp, step.of) | {"attack": step.attack} | row)
                except Exception as error:
                    self._failed(task, error)
        columns = None if rows else [*_columns(Experiment(), "pruned"), "attack"]
        return pd.DataFrame(rows, columns=columns)


def work(step: Step, store: str, device: str | None, _inputs: list[None]) -> None:
    """Compute one step in a worker."""
    Context(STAGES, store, device, progress=False).get_or_compute(step)


def describe(error: BaseException) -> str:
    """Return an error as one line: its type, and what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _fields(exp: Experiment) -> str:
    """Return an experiment's fields that are not defaults, and its seed."""
    fields = exp.model_dump(mode="json", exclude_defaults=True) | {"seed": exp.seed}
    return ", ".join(f"{name} {value}" for name, value in fields.items())


def _columns(exp: Experiment, of: Of) -> dict[str, Any]:
    """Return an experiment's fields as columns, the adversary's as ``adversary_*``."""
    assumed = (exp.adversary or Adversary()).model_dump(mode="json")
    columns = exp.model_dump(mode="json", exclude={"adversary"})
    columns |= {f"adversary_{name}": value for name, value in assumed.items()}
    return columns | {"key": exp.key, "of": of}


@contextlib.contextmanager
def connect(address: str) -> Iterator[Client]:
    """Give a client of the scheduler, and warn of a `risk`; UsageError: nobody answers there."""
    import dask
    from distributed import Client
    from distributed.security import Security

    if warning := risk(address):
        tqdm.write(f"Warning: {warning}", file=sys.stderr)
    try:
        found = Security().get_connection_args("client")["ssl_context"]
        made = dask.config.get("distributed.client.security-loader", None)
        if urlsplit(address).scheme == "tls" and found is None and not made:
            # Dask says so as well, but leaves a client behind that holds the process up at its end
            raise ValueError("no certificate in Dask's settings distributed.comm.tls")
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError, TimeoutError) as error:
        said = f"no Dask scheduler answers there ({describe(error)[:300]})"
        raise UsageError(f"--scheduler {address}: {said}") from error
    with client:
        yield client


def risk(address: str) -> str:
    """Return a sentence on a scheduler that strangers may reach and use; "" where they cannot.

    It runs what its clients send. UsageError where it is no address, or its host is unknown.
    """
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        if parts.scheme not in ("tcp", "tls"):
            raise ValueError(f"no protocol {parts.scheme[:20]!r}")
        if not (parts.hostname and parts.port):
            raise ValueError("no HOST:PORT")
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        said = f"--scheduler {address[:80]}: is no address of a Dask scheduler ({error})"
        like = "an address looks like tls://10.0.0.5:8786 or tcp://127.0.0.1:8786"
        raise UsageError(f"{said}; {like}") from error
    hosts = [str(place[0]).partition("%")[0] for *_, place in found]  # without an IPv6 zone
    if parts.scheme == "tls" or all(ipaddress.ip_address(h).is_loopback for h in hosts):
        return ""
    said = "whoever reaches this address can run code on its workers and on this machine"
    return f"--scheduler {address}: {said}; use tls:// (the book's page on sweeps says how)"


@contextlib.contextmanager
def local_workers(workers: int) -> Iterator[str]:
    """Give the address of a scheduler and workers, here, that end with this process."""
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.worker.memory.terminate": False,
        # Dask's own have glibc give memory back after each tensor, which takes twice the time
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(ONE_THREAD, 1),
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
