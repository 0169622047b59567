"""What a sweep has to do: what is stored, what is to be computed, how long that takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from prunemia.experiment import Experiment
from prunemia.lab import work as costs
from prunemia.lab.pipeline import Pipeline, inputs_first
from prunemia.lab.stages import STAGES
from prunemia.lab.steps import Of, Step, attack_step
from prunemia.store import StoreError


@dataclass(frozen=True)
class Task:
    """One artefact to be: the step to it, its key, and the names of the tasks that come first.

    Tasks of one name have one result, whatever else their experiments say.
    """

    step: Step
    key: str
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The task's name among all tasks: the stage and the content key."""
        return f"{self.step.stage}-{self.key}"


@dataclass(frozen=True)
class Row:
    """One result that is wanted, and the task that makes it; of a sweep, one row of its table."""

    step: Step
    task: str


@dataclass(frozen=True)
class Failure:
    """One experiment that could not be carried out, and why."""

    exp: Experiment
    error: str

    def __str__(self) -> str:
        fields = self.exp.model_dump(mode="json", exclude_defaults=True) | {"seed": self.exp.seed}
        return f"{', '.join(f'{name} {value}' for name, value in fields.items())}: {self.error}"


@dataclass(frozen=True, eq=False)
class Plan:
    """The tasks to the results that are wanted: a sweep's table, or all that a book's pages show.

    Attributes
    ----------
    pipeline : whose store and device the plan is for.
    rows : what is wanted, in order.
    tasks : every task, by name; an input comes before what needs it.
    todo : the tasks to carry out, in this order: those that are needed and not in the store.
    refused : experiments whose tasks cannot even be named, as their data cannot be had.
    """

    pipeline: Pipeline
    rows: list[Row]
    tasks: dict[str, Task]
    todo: list[Task]
    refused: list[Failure] = field(default_factory=list)

    def networks(self, stage: str) -> int:
        """Return how many networks are to be trained ("original") or pruned ("pruned")."""
        return sum(len(task.step.group) for task in self.todo if task.step.stage == stage)

    @cached_property
    def stored(self) -> int:
        """How many of all networks, original and pruned, are in the store."""
        networks = [t for t in self.tasks.values() if t.step.stage in ("original", "pruned")]
        return sum(len(task.step.group) for task in networks if _is_stored(self.pipeline, task))

    @cached_property
    def work(self) -> dict[str, float]:
        """The work to do, by kind (`prunemia.lab.work`)."""
        total: Counter[str] = Counter()
        for task in self.todo:
            work = self.pipeline.work(task.step)
            total[work.kind] += work.amount  # type: ignore[assignment]
        return dict(total)

    def seconds(self, device: str, measured: bool = True) -> tuple[float, float]:
        """Return how long the work takes on a core ("cpu") or GPU ("cuda"), and the measured part.

        Where the store has no measurement of a kind of work, an assumed rate stands in.
        """
        rates: dict[str, float] = {}
        if measured and self.work:
            rates = costs.measured(self.pipeline.store.entries(), device)
        known = unknown = 0.0
        for kind, amount in self.work.items():
            if kind in rates:
                known += amount / rates[kind]
            else:
                unknown += amount / costs.assumed(kind, device)
        return known + unknown, known

    @cached_property
    def urgency(self) -> dict[str, float]:
        """Seconds from the start of each task to do to the end of the longest chain behind it.

        Workers that take the most urgent first do not end with one at work and the others idle.
        """
        device = self.pipeline.device.type
        rates = costs.measured(self.pipeline.store.entries(), device) if self.todo else {}
        urgency = {task.name: 0.0 for task in self.todo}
        for task in reversed(self.todo):  # what needs it comes after it
            work = self.pipeline.work(task.step)
            rate = rates.get(work.kind) or costs.assumed(work.kind, device)
            urgency[task.name] += work.amount / rate
            for need in task.needs:
                if need in urgency:
                    urgency[need] = max(urgency[need], urgency[task.name])
        return urgency

    def describe(self) -> str:
        """Return the plan in sentences."""
        planned = {row.step.exp for row in self.rows}
        experiments = len(planned | {failure.exp for failure in self.refused})
        missing = {task.name for task in self.todo}
        stored = sum(row.task not in missing for row in self.rows)
        lines = [
            f"{experiments:,} experiments, {len(self.rows):,} rows; "
            f"the results of {stored:,} are in the store.",
            f"Networks: {self.networks('original'):,} to train, {self.networks('pruned'):,} to "
            f"prune and fine-tune; {self.stored:,} are in the store.",
        ]
        if self.refused:
            lines.append(
                f"{len(self.refused):,} experiments cannot be carried out; "
                f"the first: {self.refused[0]}"
            )
        if not self.todo:
            return "\n".join([*lines, "Nothing to do but to read the results."])
        return "\n".join([*lines, *self._times()])

    def _times(self) -> list[str]:
        device = self.pipeline.device.type
        total, known = self.seconds(device)
        unit = "GPU" if device == "cuda" else "core"
        lines = [
            f"Estimated time: {_hours(total)} of one {unit} here if no training ends early; "
            f"{known / total:.0%} of it by measured cost, the rest by "
            f"{costs.RATES[device]:.0e} FLOPs a second (an assumption)."
        ]
        if device != "cuda":
            gpu = _hours(self.seconds("cuda")[0]).replace("hours", "GPU hours")
            rate = f"{costs.RATES['cuda']:.0e} FLOPs a second (an assumption)"
            lines.append(f"On a GPU at {rate}: {gpu}.")
        return lines


def plan(
    pipeline: Pipeline,
    experiments: Iterable[Experiment],
    attacks: Sequence[str],
    of: Sequence[Of],
) -> Plan:
    """Return what is to be done for a sweep's table; nothing is computed."""
    return plan_steps(
        pipeline,
        {
            exp: [attack_step(exp, name, which) for which in of for name in attacks]
            for exp in dict.fromkeys(experiments)
        },
    )


def plan_steps(pipeline: Pipeline, wanted: Mapping[Experiment, Sequence[Step]]) -> Plan:
    """Return what is to be done for the results of these steps, which come by experiment."""
    rows: list[Row] = []
    tasks: dict[str, Task] = {}
    refused: list[Failure] = []
    for exp, steps in wanted.items():
        try:
            named = _tasks(pipeline, steps)
        except StoreError:
            raise
        except Exception as error:  # the data cannot be had: this experiment fails, others do not
            refused.append(Failure(exp, describe(error)))
            continue
        for task in named.values():
            tasks.setdefault(task.name, task)
        rows += [Row(step, named[step].name) for step in steps]
    return Plan(pipeline, rows, tasks, _missing(pipeline, rows, tasks), refused)


def _tasks(pipeline: Pipeline, steps: Iterable[Step]) -> dict[Step, Task]:
    """Return the tasks to these steps' results, inputs first."""
    tasks: dict[Step, Task] = {}
    for step in inputs_first(steps):
        needs = tuple(tasks[part].name for part in STAGES.find(step.stage).needs(step))
        tasks[step] = Task(step, pipeline.key(step), needs)
    return tasks


def describe(error: BaseException) -> str:
    """Return an error as one line: its type, and what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _is_stored(pipeline: Pipeline, task: Task) -> bool:
    return pipeline.store.has(task.step.stage, task.key)


def _missing(pipeline: Pipeline, rows: list[Row], tasks: dict[str, Task]) -> list[Task]:
    """Return the tasks to carry out: an artefact that is stored needs none of its inputs."""
    missing: dict[str, Task] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        if _is_stored(pipeline, tasks[name]):
            return
        for need in tasks[name].needs:
            visit(need)
        missing[name] = tasks[name]

    for row in rows:
        visit(row.task)
    return list(missing.values())


def _hours(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:,.1f} hours"
