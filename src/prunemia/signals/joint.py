"""What an adversary sees who holds several releases of one network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from prunemia.signals import checks
from prunemia.signals.signals import Signals


@dataclass(frozen=True, eq=False)
class JointSignals(Signals):
    """The answers of R releases of the same networks to the same n samples.

    The fields of `Signals` are the first release's; those of the others stand beside them, so that
    hiding the membership, or taking some of the samples, is done to all at once.

    Parameters
    ----------
    others : shape (n, R − 1, C), the further releases' posteriors; None: there are none.
    moved : shape (n, R − 1, C), their sensitivities; None where nobody asked for them.

    `of` makes them, and checks that the releases belong together.
    """

    others: NDArray[np.float32] | None = None
    moved: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("others", "moved"):
            value = getattr(self, name)
            object.__setattr__(self, name, checks.read_only(value))

    @classmethod
    def of(cls, releases: Sequence[Signals]) -> Self:
        """Return what the releases' signals are together; the first one's membership counts.

        Raises
        ------
        ValueError
            There is none, or they are not of the same samples, classes, networks and members.
        """
        if not releases:
            raise ValueError("releases: none; allowed: 1 or more")
        first = releases[0]
        for place, each in enumerate(releases[1:], start=2):
            _require_same(first, each, place)
        arrays: dict[str, Any] = first.arrays()
        if any(each.sensitivities is None for each in releases):
            arrays.pop("sensitivities", None)
        if further := releases[1:]:
            arrays["others"] = np.stack([each.posteriors for each in further], axis=1)
            if "sensitivities" in arrays:
                moved = [each.require_sensitivities() for each in further]
                arrays["moved"] = np.stack(moved, axis=1)
        return cls.from_arrays(arrays)

    @property
    def each(self) -> list[Signals]:
        """The releases' signals, one by one, in order."""
        answers: list[Any] = [self.posteriors]
        moved: list[Any] = [self.sensitivities]
        if self.others is not None:
            further = self.others.swapaxes(0, 1)
            answers += list(further)
            moved += (
                [None] * len(further) if self.moved is None else list(self.moved.swapaxes(0, 1))
            )
        return [
            Signals(p, s, self.labels, self.membership, self.model)
            for p, s in zip(answers, moved, strict=True)
        ]


def each_release(signals: Signals) -> list[Signals]:
    """Return the signals of each release; of plain signals, themselves."""
    return signals.each if isinstance(signals, JointSignals) else [signals]


def _require_same(first: Signals, other: Signals, place: int) -> None:
    """Refuse signals of other samples, classes, networks or members than the first release's."""
    if first.posteriors.shape != other.posteriors.shape:
        raise ValueError(
            f"releases: number {place} has {other.posteriors.shape[0]} samples of "
            f"{other.classes} classes; allowed: {len(first)} of {first.classes}, as the first has"
        )
    for name in ("labels", "model", "membership"):
        one, two = getattr(first, name), getattr(other, name)
        if (one is None) != (two is None) or (one is not None and not np.array_equal(one, two)):
            raise ValueError(f"releases: number {place} has other {name} than the first")
