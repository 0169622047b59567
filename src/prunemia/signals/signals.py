"""What an adversary sees of a network: posteriors, sensitivities, labels; and who is a member."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prunemia.data.npz import Header, NpzError, read_npz
from prunemia.signals.query import posteriors, sensitivity

__all__ = ["SignalPair", "Signals", "posteriors", "sensitivity"]

ROW_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Signals:
    """The answers of one or several networks to n samples of C classes.

    Parameters
    ----------
    posteriors : shape (n, C), probabilities; each row sums to one.
    sensitivities : shape (n, C), >= 0: mean |change of the posterior| per unit of perturbation.
    labels : shape (n,), integers 0 … C-1: the true classes.
    membership : shape (n,), True for members (training samples); None where it is hidden.
    model : shape (n,), integers >= 0: which network answered; None: all the same one.

    Raises
    ------
    ValueError
        A field has a wrong shape, type, range, or values that are not finite.

    Source: Yuan & Zhang (2022), section 5.1 (the inputs of SAMIA).
    """

    posteriors: NDArray[np.float32]
    sensitivities: NDArray[np.float32]
    labels: NDArray[np.int64]
    membership: NDArray[np.bool_] | None = None
    model: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        posteriors = _matrix("posteriors", self.posteriors)
        n, classes = posteriors.shape
        if n < 1 or classes < 2:
            raise ValueError(
                f"posteriors: shape {posteriors.shape}; allowed: at least 1 row and 2 classes"
            )
        if posteriors.min() < 0 or posteriors.max() > 1 + ROW_SUM_TOLERANCE:
            raise ValueError(
                f"posteriors: {posteriors.min():g} to {posteriors.max():g}; allowed: 0 to 1"
            )
        worst = int(np.abs(posteriors.sum(axis=1, dtype=np.float64) - 1).argmax())
        total = float(posteriors[worst].sum(dtype=np.float64))
        if abs(total - 1) > ROW_SUM_TOLERANCE:
            raise ValueError(
                f"posteriors: row {worst} sums to {total:.6g}; "
                f"allowed: 1 within {ROW_SUM_TOLERANCE:g}"
            )
        sensitivities = _matrix("sensitivities", self.sensitivities)
        if sensitivities.shape != posteriors.shape:
            raise ValueError(
                f"sensitivities: shape {sensitivities.shape}; allowed: {posteriors.shape}"
            )
        if sensitivities.min() < 0:
            raise ValueError(
                f"sensitivities: smallest value {sensitivities.min():g}; allowed: 0 or more"
            )
        labels = _integers("labels", self.labels, n)
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"labels: {labels.min()} to {labels.max()}; allowed: 0 to {classes - 1}"
            )
        model = (
            np.zeros(n, dtype=np.int64) if self.model is None else _integers("model", self.model, n)
        )
        if model.min() < 0:
            raise ValueError(f"model: smallest value {model.min()}; allowed: 0 or more")
        membership = self.membership
        if membership is not None:
            membership = np.asarray(membership)
            if membership.shape != (n,) or membership.dtype != np.bool_:
                raise ValueError(
                    f"membership: shape {membership.shape}, dtype {membership.dtype}; "
                    f"allowed: ({n},) of bool"
                )
        fields = {
            "posteriors": posteriors,
            "sensitivities": sensitivities,
            "labels": labels,
            "membership": membership,
            "model": model,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, _read_only(value))

    @classmethod
    def from_logits(
        cls, logits: ArrayLike, sensitivities: ArrayLike, labels: ArrayLike, **rest: Any
    ) -> Self:
        """Build signals from logits, shape (n, C), through a softmax in float64."""
        z = _matrix("logits", logits, dtype=np.float64)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return cls(p, sensitivities, labels, **rest)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return int(self.posteriors.shape[1])

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

    def observed(self) -> Self:
        """Return the same without membership: all that an attack gets of the target."""
        return type(self)(self.posteriors, self.sensitivities, self.labels, None, self.model)

    def subset(self, mask: ArrayLike) -> Self:
        """Return the rows that ``mask`` selects (shape (n,) of bool, or row numbers)."""
        rows = np.asarray(mask)
        membership = None if self.membership is None else self.membership[rows]
        assert self.model is not None
        return type(self)(
            self.posteriors[rows],
            self.sensitivities[rows],
            self.labels[rows],
            membership,
            self.model[rows],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of all ``parts``, in order; either all or none know their membership."""
        fields = [part.arrays() for part in parts]
        return cls(**{name: np.concatenate([each[name] for each in fields]) for name in fields[0]})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fields by name; a hidden membership is left out."""
        named: dict[str, NDArray[Any]] = {
            "posteriors": self.posteriors,
            "sensitivities": self.sensitivities,
            "labels": self.labels,
        }
        assert self.model is not None
        named["model"] = self.model
        return named if self.membership is None else named | {"membership": self.membership}

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
        return cls(**arrays)


@dataclass(frozen=True)
class SignalPair:
    """What the adversary learns on (``shadow``) and what it attacks (``target``)."""

    shadow: Signals
    target: Signals


def _checked(headers: dict[str, Header]) -> Iterable[str]:
    """Return the names of all fields, which are known and have as many rows as one another."""
    missing = {"posteriors", "sensitivities", "labels"} - headers.keys()
    unknown = headers.keys() - set(Signals.__dataclass_fields__)
    if missing or unknown:
        raise NpzError(
            f"missing {sorted(missing)}, unknown {sorted(unknown)}; "
            "allowed: posteriors, sensitivities, labels, membership, model"
        )
    rows = headers["posteriors"].rows
    for name, header in headers.items():
        if header.rows != rows:
            raise NpzError(f"{name}: {header.rows} rows; allowed: {rows}, as posteriors have")
    return headers


def _matrix(name: str, value: ArrayLike, dtype: type = np.float32) -> NDArray[Any]:
    array = np.asarray(value)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{name}: shape {array.shape}, dtype {array.dtype}; allowed: (n, C) of numbers"
        )
    array = array.astype(dtype)
    if not np.isfinite(array).all():
        row = int((~np.isfinite(array)).any(axis=1).argmax())
        raise ValueError(f"{name}: row {row} holds NaN or infinity; allowed: finite numbers")
    return array


def _integers(name: str, value: ArrayLike, n: int) -> NDArray[np.int64]:
    array = np.asarray(value)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: shape {array.shape}, dtype {array.dtype}; allowed: ({n},) of integers"
        )
    return array.astype(np.int64)


def _read_only(array: NDArray[Any] | None) -> NDArray[Any] | None:
    if array is not None:
        array = array.copy() if array.base is not None or array.flags.writeable else array
        array.flags.writeable = False
    return array
