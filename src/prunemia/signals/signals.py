"""What an adversary sees of a network: posteriors, sensitivities, labels; and who is a member."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from prunemia import checks
from prunemia.files import read_npz
from prunemia.metrics.evaluation import members_of


@dataclass(frozen=True, eq=False)
class Signals:
    """The answers of one or several networks to n samples of C classes.

    Each field may be an array, a list, a column of pandas, or a tensor. ValueError names a wrong
    one and its row; a `SignalWarning` tells what is unusual (labels 1 … C, rounded posteriors).
    Source: Yuan & Zhang (2022), section 5.1 (the inputs of SAMIA).

    Parameters
    ----------
    posteriors : shape (n, C), probabilities; each row sums to one.
    sensitivities : shape (n, C), >= 0: mean |change of the posterior| per unit of perturbation, or
        None: nobody asked for them, and attacks that need them refuse.
    labels : shape (n,), integers 0 … C-1: the true classes.
    membership : shape (n,), True for members (training samples); None where it is hidden.
    model : shape (n,), integers >= 0: which network answered; None: all the same one.
    references : shape (n, k), k others' log-odds of the true class, ln p_y - ln(1 - p_y); or None.
    trained_on : shape (n, k), True where that network trained on the sample; None: none did.
    logits : shape (n, C), for posteriors that would be rounded to 1 (threshold attacks); or None.
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
        shape = n, classes = posteriors.shape
        fields: dict[str, NDArray[Any] | None] = {"posteriors": posteriors}
        fields["labels"] = checks.labels(self.labels, n, classes)
        fields["model"] = checks.model(self.model, n)
        if self.membership is not None:
            fields["membership"] = checks.membership(self.membership, n)
        if self.sensitivities is not None:
            moved = checks.matrix("sensitivities", self.sensitivities, shape, "0 or more", low=0)
            fields["sensitivities"] = moved.astype(np.float32)
        if self.references is not None:
            odds = checks.matrix("references", self.references, (n, "k"))
            fields["references"] = odds.astype(np.float32)
        fields["trained_on"] = checks.trained_on(self.trained_on, self.references)
        if self.logits is not None:
            fields["logits"] = checks.matrix("logits", self.logits, shape)
        for name, array in fields.items():  # kept so that nobody can change them
            if array is not None:
                array = array.copy() if array.base is not None or array.flags.writeable else array
                array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def from_logits(
        cls, logits: ArrayLike, sensitivities: ArrayLike | None, labels: ArrayLike, **rest: Any
    ) -> Self:
        """Build signals from logits, (n, C), kept where single precision rounds a posterior to 1.

        The softmax is taken in float64. `SignalWarning`: they are probabilities already.
        """
        z = checks.logits(logits)
        p = softmax(z, axis=1)
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
        return members_of(self._present("membership", "one bool per row"))

    def require_sensitivities(self) -> NDArray[np.float32]:
        """Return the sensitivities, shape (n, C); ValueError where nobody asked for them."""
        needed = "one number per sample and class, as pm.query.sensitivity gives"
        return self._present("sensitivities", needed)

    def require_references(self) -> NDArray[np.float32]:
        """Return the references' log-odds, shape (n, k); ValueError where nobody asked them."""
        return self._present("references", "the log-odds of other networks on the same samples")

    def _present(self, field: str, needed: str) -> NDArray[Any]:
        array: NDArray[Any] | None = getattr(self, field)
        if array is None:
            raise ValueError(f"{field}: None; allowed here: {needed}")
        return array

    def precise(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return p and 1 - p of all classes, (n, C), float64; of kept logits with all digits."""
        if self.logits is None:  # rows may sum to one only within a tolerance
            p = np.minimum(self.posteriors.astype(np.float64), 1.0)
            return p, 1 - p
        p = softmax(self.logits, axis=1)
        top = np.arange(len(p)), p.argmax(axis=1)
        rest, others = 1 - p, p.copy()
        others[top] = 0
        rest[top] = others.sum(axis=1)
        return p, rest

    def without_logits(self) -> Self:
        """Return the same by its posteriors alone."""
        return replace(self, logits=None)

    def observed(self) -> Self:
        """Return the same without membership: all that an attack gets of the target."""
        return replace(self, membership=None)

    def subset(self, mask: ArrayLike) -> Self:
        """Return the rows that ``mask`` selects (shape (n,) of bool, or row numbers)."""
        rows = np.asarray(mask)
        return self.from_arrays({name: value[rows] for name, value in self.arrays().items()})

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of all ``parts``; ValueError: a field in some only, but for logits."""
        if any(part.logits is None for part in parts):
            parts = [part.without_logits() for part in parts]
        fields = [part.arrays() for part in parts]
        for place, each in enumerate(fields):
            if differing := sorted(each.keys() ^ fields[0].keys()):
                one = f"{differing[0]}: only one of parts 0 and {place} has it"
                raise ValueError(f"{one}; allowed: all or none")
        whole = {name: np.concatenate([each[name] for each in fields]) for name in fields[0]}
        return cls.from_arrays(whole)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fields by name; a hidden membership and missing sensitivities are left out."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> Self:
        """Return the signals of what `arrays` gave."""
        return cls(**{"sensitivities": None, **arrays})

    def save(self, path: str | Path) -> None:
        """Write an .npz (no pickle) that `load` reads."""
        np.savez(path, allow_pickle=False, **self.arrays())

    @classmethod
    def load(cls, path: Any) -> Self:
        """Read what `save` wrote, from a path or an open file; ValueError: it is not like that."""
        arrays, known = read_npz(path), cls.__dataclass_fields__
        if unknown := sorted(arrays.keys() - set(known)):
            raise ValueError(f"{path}: holds {', '.join(unknown)}; allowed: {', '.join(known)}")
        if missing := {"posteriors", "labels"} - arrays.keys():
            raise ValueError(f"{path}: misses {', '.join(sorted(missing))}")
        return cls.from_arrays(arrays)


@dataclass(frozen=True)
class SignalPair:
    """What the adversary learns on (``shadow``) and what it attacks (``target``)."""

    shadow: Signals
    target: Signals


@dataclass(frozen=True, eq=False)
class JointSignals(Signals):
    """The answers of R releases of the same networks to the same n samples; `of` makes them."""

    stacked: NDArray[np.float32] | None = None  # all, (n, R, C); `posteriors`: the first's
    moved: NDArray[np.float32] | None = None  # all sensitivities, or None

    @classmethod
    def of(cls, releases: Sequence[Signals]) -> Self:
        """Return one release or more as one; ValueError: other samples, classes, members."""
        first, *further = releases
        for place, other in enumerate(further, start=2):
            for name in ("classes", "labels", "model", "membership"):
                if not np.array_equal(getattr(first, name), getattr(other, name)):
                    raise ValueError(f"releases: number {place} has other {name} than the first")
        stacked = np.stack([each.posteriors for each in releases], axis=1)
        arrays = {**first.arrays(), "logits": None, "stacked": stacked}
        moved = [each.sensitivities for each in releases if each.sensitivities is not None]
        if len(moved) < len(releases):
            return cls.from_arrays(arrays | {"sensitivities": None})
        return cls.from_arrays(arrays | {"moved": np.stack(moved, axis=1)})

    @property
    def each(self) -> list[Signals]:
        """The releases' signals, one by one, in order."""
        posteriors = np.asarray(self.stacked).swapaxes(0, 1)
        moved = [None] * len(posteriors) if self.moved is None else self.moved.swapaxes(0, 1)
        rest = self.labels, self.membership, self.model
        return [Signals(p, s, *rest) for p, s in zip(posteriors, moved, strict=True)]


def each_release(signals: Signals) -> list[Signals]:
    """Return the signals of each release; of plain signals, themselves."""
    return signals.each if isinstance(signals, JointSignals) else [signals]
