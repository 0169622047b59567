"""What an adversary sees of a network: posteriors, sensitivities, labels; and who is a member."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunemia.data.npz import Header, NpzError, read_npz
from prunemia.signals import checks
from prunemia.signals.query import posteriors, sensitivity

__all__ = ["SignalPair", "Signals", "posteriors", "sensitivity"]


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

    Each may be an array, a list, or a tensor on any device, with or without a gradient.

    Raises
    ------
    ValueError
        A field has a wrong shape, type, range, or values that are not finite.

    Source: Yuan & Zhang (2022), section 5.1 (the inputs of SAMIA).
    """

    posteriors: NDArray[np.float32]
    sensitivities: NDArray[np.float32] | None
    labels: NDArray[np.int64]
    membership: NDArray[np.bool_] | None = None
    model: NDArray[np.int64] | None = None
    references: NDArray[np.float32] | None = None
    trained_on: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        posteriors = checks.probabilities(self.posteriors)
        n, classes = posteriors.shape
        moved = self.sensitivities
        fields: dict[str, NDArray[Any] | None] = {
            "posteriors": posteriors,
            "sensitivities": None if moved is None else checks.changes(moved, posteriors.shape),
            "labels": checks.labels(self.labels, n, classes),
            "membership": None if self.membership is None else checks.members(self.membership, n),
            "model": checks.models(self.model, n),
            "references": None if self.references is None else checks.odds(self.references, n),
        }
        fields["trained_on"] = checks.training(self.trained_on, fields["references"])
        for name, value in fields.items():
            object.__setattr__(self, name, checks.read_only(value))

    @classmethod
    def from_logits(
        cls, logits: ArrayLike, sensitivities: ArrayLike | None, labels: ArrayLike, **rest: Any
    ) -> Self:
        """Build signals from logits, shape (n, C), through a softmax in float64."""
        z = checks.matrix("logits", logits, dtype=np.float64)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return cls(p, sensitivities, labels, **rest)  # type: ignore[arg-type]

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
        in none, and the number of references is the same: ValueError otherwise.
        """
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
            It cannot be read, is no .npz of arrays, or a field is missing, unknown, or wrong; the
            headers are compared before an array is unpacked.
        """
        try:
            arrays = read_npz(path, _checked)
        except NpzError as error:
            raise ValueError(f"{path}: {error}") from None
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


def _checked(headers: dict[str, Header]) -> Iterable[str]:
    """Return the names of all fields, which are known and have as many rows as one another."""
    missing = {"posteriors", "labels"} - headers.keys()
    unknown = headers.keys() - set(Signals.__dataclass_fields__)
    if missing or unknown:
        raise NpzError(
            f"missing {sorted(missing)}, unknown {sorted(unknown)}; "
            f"allowed: {', '.join(Signals.__dataclass_fields__)}"
        )
    rows = headers["posteriors"].rows
    for name, header in headers.items():
        if header.rows != rows:
            raise NpzError(f"{name}: {header.rows} rows; allowed: {rows}, as posteriors have")
    return headers
