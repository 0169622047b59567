"""What a sweep has to do: which steps are in the store, which are to be carried out, and how long that takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from prunemia.experiment import Experiment
from prunemia.lab import work as costs
from prunemia.lab.steps import Of, Step

if TYPE_CHECKING:
    from prunemia.lab.lab import Lab


@dataclass(frozen=True)
class Row:
    """One row of a sweep's table to be: an experiment, the side, and the step to its attack's result."""

    exp: Experiment
    of: Of
    step: Step


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
    """The steps of a sweep.

    Attributes
    ----------
    lab : whose store and device the plan is for.
    rows : of the table, in order.
    steps : every step, by name; an input comes before what needs it.
    todo : the steps to carry out, in this order: those that are needed and not in the store.
    refused : experiments whose steps cannot even be named, as their data cannot be had.
    """

    lab: Lab
    rows: list[Row]
    steps: dict[str, Step]
    todo: list[Step]
    refused: list[Failure] = field(default_factory=list)

    def networks(self, stage: str) -> int:
        """Return how many networks are to be trained ("original") or pruned ("pruned")."""
        return sum(len(step.group) for step in self.todo if step.stage == stage)

    @cached_property
    def stored(self) -> int:
        """How many of all networks, original and pruned, are in the store."""
        networks = [step for step in self.steps.values() if step.stage in ("original", "pruned")]
        return sum(len(step.group) for step in networks if self.lab.store.has(step.stage, step.key))

    @cached_property
    def work(self) -> dict[str, float]:
        """The work to do, by kind (`prunemia.costs`)."""
        total: Counter[str] = Counter()
        for step in self.todo:
            work = self.lab.work(step)
            total[work.kind] += work.amount  # type: ignore[assignment]
        return dict(total)

    def seconds(self, device: str, measured: bool = True) -> tuple[float, float]:
        """Return how long the work takes on a core ("cpu") or a GPU ("cuda"), and what of that was measured."""
        rates = costs.measured(self.lab.store.entries(), device) if measured and self.work else {}
        known = sum(amount / rates[kind] for kind, amount in self.work.items() if kind in rates)
        unknown = sum(
            amount / costs.assumed(kind, device)
            for kind, amount in self.work.items()
            if kind not in rates
        )
        return known + unknown, known

    def describe(self) -> str:
        """Return the plan in sentences."""
        experiments = len(
            {row.exp for row in self.rows} | {failure.exp for failure in self.refused}
        )
        missing = {step.name for step in self.todo}
        there = sum(row.step.name not in missing for row in self.rows)
        lines = [
            f"{experiments:,} experiments, {len(self.rows):,} rows; the results of {there:,} are in the store.",
            f"Networks: {self.networks('original'):,} to train, {self.networks('pruned'):,} to prune and fine-tune; "
            f"{self.stored:,} are in the store.",
        ]
        if self.refused:
            lines.append(
                f"{len(self.refused):,} experiments cannot be carried out; the first: {self.refused[0]}"
            )
        return "\n".join(
            [*lines, *self._times()]
            if self.todo
            else [*lines, "Nothing to do but to read the results."]
        )

    def _times(self) -> list[str]:
        device = self.lab.device.type
        total, known = self.seconds(device)
        unit = "GPU" if device == "cuda" else "core"
        lines = [
            f"Estimated time: {_hours(total)} of one {unit} here if no training ends early; {known / total:.0%}"
            f" of it by measured cost, the rest by {costs.RATES[device]:.0e} FLOPs a second (an assumption)."
        ]
        if device != "cuda":
            gpu = _hours(self.seconds("cuda")[0]).replace("hours", "GPU hours")
            lines.append(
                f"On a GPU at {costs.RATES['cuda']:.0e} FLOPs a second (an assumption): {gpu}."
            )
        return lines


def plan(
    lab: Lab, experiments: Iterable[Experiment], attacks: Sequence[str], of: Sequence[Of]
) -> Plan:
    """Return what is to be done for a sweep's table; nothing is computed."""
    rows: list[Row] = []
    steps: dict[str, Step] = {}
    refused: list[Failure] = []
    for exp in dict.fromkeys(experiments):
        try:
            named = [(side, lab.steps(exp, attacks, side)) for side in of]
        except (
            Exception
        ) as error:  # the data cannot be had: this experiment fails, the others do not
            refused.append(Failure(exp, describe(error)))
            continue
        for side, found in named:
            for step in found:
                steps.setdefault(step.name, step)
            rows += [Row(exp, side, step) for step in found if step.stage == "attack"]
    return Plan(lab, rows, steps, _missing(lab, rows, steps), refused)


def describe(error: BaseException) -> str:
    """Return an error as one line: its type, and what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _missing(lab: Lab, rows: list[Row], steps: dict[str, Step]) -> list[Step]:
    """Return the steps to carry out: an artefact that is there needs none of its inputs."""
    found: dict[str, Step] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        step = steps[name]
        if not lab.store.has(step.stage, step.key):
            for need in step.needs:
                visit(need)
            found[name] = step

    for row in rows:
        visit(row.step.name)
    return list(found.values())


def _hours(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:,.1f} hours"
