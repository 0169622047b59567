"""What an adversary sees of a network: posteriors, sensitivities, labels; and who is a member."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunemia.files import read_npz
from prunemia.signals import checks


@dataclass(frozen=True, eq=False)
class Signals:
    """The answers of one or several networks to n samples of C classes.

    Parameters
    ----------
    posteriors : shape (n, C), probabilities; each row sums to one.
    sensitivities : shape (n, C), >= 0: mean |change of the posterior| per unit of perturbation;
        None: nobody asked for them. Attacks and quantities that need them then refuse.
    labels : shape (n,), integers 0 … C-1: the true classes.
    membership : shape (n,), True for members (training samples); None where it is hidden.
    model : shape (n,), integers >= 0: which network answered; None: all the same one.
    references : shape (n, k), how k other networks answered the same samples: the log-odds of the
        true class, ln p_y - ln(1 - p_y); None: nobody asked them.
    trained_on : shape (n, k), True where that network trained on the sample; None: none did.
    logits : shape (n, C), what the posteriors are the softmax of; None: nobody has them. With them
        the threshold attacks rank answers whose posteriors would be rounded to 1.

    Each may be an array, a list, a column of pandas, or a tensor on any device, with or without a
    gradient; `checks` has the one reading of each.

    Raises
    ------
    ValueError
        A field has a wrong shape, type, range, or values that are not finite.

    Warns
    -----
    SignalWarning
        Something can be read one way only, but is unusual: labels 1 … C, rounded posteriors.

    Source: Yuan & Zhang (2022), section 5.1 (the inputs of SAMIA).
    """

    posteriors: NDArray[np.float32]
    sensitivities: NDArray[np.float32] | None
    labels: NDArray[np.int64]
    membership: NDArray[np.bool_] | None = None
    model: NDArray[np.int64] | None = None
    references: NDArray[np.float32] | None = None
    trained_on: NDArray[np.bool_] | None = None

    logits: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        posteriors = checks.posteriors(self.posteriors)
        n, classes = posteriors.shape
        fields: dict[str, NDArray[Any] | None] = {
            "posteriors": posteriors,
            "labels": checks.labels(self.labels, n, classes),
            "model": checks.model(self.model, n),
        }
        if self.sensitivities is not None:
            fields["sensitivities"] = checks.sensitivities(self.sensitivities, posteriors.shape)
        if self.membership is not None:
            fields["membership"] = checks.membership(self.membership, n)
        if self.references is not None:
            fields["references"] = checks.references(self.references, n)
        fields["trained_on"] = checks.trained_on(self.trained_on, fields.get("references"))
        if self.logits is not None:
            fields["logits"] = logits = checks.matrix("logits", self.logits).astype(np.float64)
            if logits.shape != posteriors.shape:
                raise checks.FieldError("logits", f"shape {logits.shape}; allowed: {n, classes}")
        for name, value in fields.items():
            object.__setattr__(self, name, checks.read_only(value))

    @classmethod
    def from_logits(
        cls, logits: ArrayLike, sensitivities: ArrayLike | None, labels: ArrayLike, **rest: Any
    ) -> Self:
        """Build signals from logits, shape (n, C), through a softmax in float64.

        The logits are kept where single precision would round a posterior to 1.

        Warns
        -----
        SignalWarning
            Each row is 0 or more and sums to one: they are probabilities already.
        """
        z = checks.logits(logits)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        kept = z if (p.max(axis=1).astype(np.float32) == 1).any() else None
        return cls(p, sensitivities, labels, **rest, logits=kept)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return int(self.posteriors.shape[1])

    @property
    def online(self) -> bool:
        """Whether some reference trained on some sample; False where there are none."""
        return self.trained_on is not None and bool(self.trained_on.any())

    def require_membership(self) -> NDArray[np.bool_]:
        """Return the membership, shape (n,); ValueError where it is hidden or of one kind only."""
        if self.membership is None:
            raise ValueError("membership: None; allowed here: one bool per row")
        members = int(self.membership.sum())
        if not 0 < members < len(self):
            raise ValueError(
                f"membership: {members} members and {len(self) - members} non-members; "
                "allowed: 1 or more of each"
            )
        return self.membership

    def require_sensitivities(self) -> NDArray[np.float32]:
        """Return the sensitivities, shape (n, C); ValueError where nobody asked for them."""
        if self.sensitivities is None:
            raise ValueError(
                "sensitivities: None; allowed here: one number per sample and class, "
                "as pm.query.sensitivity gives"
            )
        return self.sensitivities

    def require_references(self) -> NDArray[np.float32]:
        """Return the references' log-odds, shape (n, k); ValueError where nobody asked them."""
        if self.references is None:
            raise ValueError(
                "references: None; allowed here: the log-odds of other networks on the same samples"
            )
        return self.references

    def precise(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return p and 1 - p of all classes, each of shape (n, C) in float64.

        Where logits are kept, 1 - p is summed over the other classes, so that it keeps its digits
        where p is rounded to 1.
        """
        if self.logits is None:  # rows may sum to one only within a tolerance
            p = np.minimum(self.posteriors.astype(np.float64), 1.0)
            return p, 1 - p
        p = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        rows, top = np.arange(len(p)), p.argmax(axis=1)
        rest = 1 - p
        others = p.copy()
        others[rows, top] = 0
        rest[rows, top] = others.sum(axis=1)
        return p, rest

    def without_logits(self) -> Self:
        """Return the same by its posteriors alone."""
        return self.from_arrays({**self.arrays(), "logits": None})

    def observed(self) -> Self:
        """Return the same without membership: all that an attack gets of the target."""
        return self.from_arrays({**self.arrays(), "membership": None})

    def subset(self, mask: ArrayLike) -> Self:
        """Return the rows that ``mask`` selects (shape (n,) of bool, or row numbers)."""
        rows = np.asarray(mask)
        return self.from_arrays({name: value[rows] for name, value in self.arrays().items()})

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of all ``parts``, in order.

        A field that may be None (membership, sensitivities, references …) is there in all parts or
        in none, and the number of references is the same: ValueError otherwise. Logits that only
        some parts have are dropped.
        """
        if any(part.logits is None for part in parts):
            parts = [part if part.logits is None else part.without_logits() for part in parts]
        fields = [part.arrays() for part in parts]
        for place, each in enumerate(fields):
            if differing := sorted(each.keys() ^ fields[0].keys()):
                raise ValueError(
                    f"{differing[0]}: only one of parts 0 and {place} has it; allowed: all or none"
                )
            k = [len(part["references"].T) for part in (fields[0], each) if "references" in part]
            if len(set(k)) > 1:
                raise ValueError(
                    f"references: {k[0]} in part 0 and {k[1]} in part {place}; allowed: as many"
                )
        whole = {name: np.concatenate([each[name] for each in fields]) for name in fields[0]}
        return cls.from_arrays(whole)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fields by name; a hidden membership and missing sensitivities are left out."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value is not None}

    def save(self, path: str | Path) -> None:
        """Write an .npz (no pickle) that `load` reads."""
        np.savez(path, allow_pickle=False, **self.arrays())

    @classmethod
    def load(cls, path: Any) -> Self:
        """Read what `save` wrote, from a path or an open binary file.

        Raises
        ------
        ValueError
            It cannot be read, is no .npz of arrays, or a field is missing, unknown, or wrong.
        """
        arrays = load_arrays(path, cls.__dataclass_fields__)
        if missing := {"posteriors", "labels"} - arrays.keys():
            raise ValueError(f"{path}: misses {', '.join(sorted(missing))}")
        return cls.from_arrays(arrays)

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> Self:
        """Return the signals of what `arrays` gave."""
        return cls(**{"sensitivities": None, **arrays})


@dataclass(frozen=True)
class SignalPair:
    """What the adversary learns on (``shadow``) and what it attacks (``target``)."""

    shadow: Signals
    target: Signals


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
        arrays.pop("logits", None)
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


def load_arrays(path: Any, known: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz, a path or an open binary file; nothing is unpickled.

    Raises
    ------
    ValueError
        It cannot be read or is no such archive, or an array is damaged, pickled, or not ``known``.
    """
    arrays = read_npz(path)
    if unknown := sorted(arrays.keys() - set(known)):
        raise ValueError(f"{path}: holds {', '.join(unknown)}; allowed: {', '.join(known)}")
    return arrays
