"""What every attack is: it learns on the shadows' signals and decides on the target's, blindly."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self, final, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from prunemia.metrics.intervals import Bools, Floats
from prunemia.signals import Signals

Inputs = NDArray[np.float32]


class Attack(BaseEstimator, ABC):  # type: ignore[misc]
    """A membership inference attack, as a scikit-learn estimator over `Signals`.

    A subclass is a dataclass of its options, whose annotations say what is allowed, and fills
    ``_fit`` and ``_decide``; to override what takes the membership away is a TypeError.
    """

    ranks: ClassVar[bool] = True  # False: the decision is a set, without a ROC and an AUC
    blind: ClassVar[bool] = False  # True: nothing is learned from the shadow networks
    version: ClassVar[int] = 1  # raised with what it computes, lest stored results are reused
    n_classes_: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        sealed = ("_observed", "decision_function", "fit", "predict")
        # compared by identity, so that an override inherited from another parent is seen, too
        changed = [name for name in sealed if getattr(cls, name) is not getattr(Attack, name)]
        if changed:
            names = ", ".join(changed)
            raise TypeError(f"{cls.__name__} overrides {names}; fill _fit and _decide instead")
        super().__init_subclass__(**kwargs)

    @final
    def fit(self, shadow: Signals) -> Self:
        """Learn from the shadows; ValueError: hidden or one-sided membership, a wrong option."""
        _require_signals("shadow", shadow)
        self._check_options()
        self._fit(shadow, shadow.require_membership())
        self.n_classes_ = shadow.classes
        return self

    @final
    def decision_function(self, target: Signals) -> Floats:
        """Return scores, (n,): larger for likelier members, 0 the threshold.

        ValueError: ``target`` has other classes than the shadows; NotFittedError: before `fit`.
        """
        return np.asarray(self._decide(self._observed(target)), dtype=np.float64)

    @final
    def predict(self, target: Signals) -> Bools:
        """Return True for the samples taken for members, shape (n,): a score of 0 or more."""
        return self.decision_function(target) >= 0

    @final
    def _observed(self, target: Signals) -> Signals:
        """Return the target without its membership; refuse one of other classes, or no fit."""
        check_is_fitted(self, "n_classes_")
        _require_signals("target", target)
        if target.classes != self.n_classes_:
            raise ValueError(
                f"target: {target.classes} classes; allowed: {self.n_classes_}, as the shadows have"
            )
        return target.observed()

    @abstractmethod
    def _fit(self, shadow: Signals, membership: Bools) -> None:
        """Learn from ``shadow``; ``membership`` is its own, with members and others."""

    @abstractmethod
    def _decide(self, target: Signals) -> Floats:
        """Score the samples of ``target``, which comes without membership."""

    def identity(self) -> dict[str, Any]:
        """Return the options that decide what it learns, by name: not the device, nor progress."""
        return {k: v for k, v in self.get_params().items() if k not in ("device", "progress")}

    def learned(self) -> dict[str, NDArray[Any]]:
        """Return numbers and arrays named ``like_this_``, for `restore`; TypeError: others."""
        check_is_fitted(self, "n_classes_")
        learned = {name: value for name, value in vars(self).items() if name.endswith("_")}
        arrays = {name: np.asarray(value) for name, value in self._as_arrays(learned).items()}
        if wrong := [name for name, value in arrays.items() if value.dtype.kind not in "biuf"]:
            name = f"{type(self).__name__}.{wrong[0]}"
            raise TypeError(f"{name} is no number or array: override learned and restore")
        return arrays

    def _as_arrays(self, learned: dict[str, Any]) -> dict[str, Any]:
        """Return what a fit left as numbers and arrays, by name; those need no change."""
        return learned

    def restore(self, learned: Mapping[str, NDArray[Any]]) -> Self:
        """Take back what `learned` gave, instead of a fit; the options must be that fit's."""
        self._check_options()
        for name, value in learned.items():
            setattr(self, name, value if value.ndim else value.item())
        return self

    def _check_options(self) -> None:
        hints = get_type_hints(type(self), include_extras=True)
        config = ConfigDict(strict=True, arbitrary_types_allowed=True)
        for name, value in self.get_params().items():
            plain = value.item() if isinstance(value, np.generic) else value
            try:
                TypeAdapter(hints.get(name, Any), config=config).validate_python(plain)
            except ValidationError as error:
                why = error.errors()[0]["msg"].removeprefix("Input ")
                raise ValueError(f"{name}: {value!r} is not allowed: {why}") from None


def _require_signals(name: str, value: object) -> None:
    if not isinstance(value, Signals):
        raise TypeError(f"{name}: {type(value).__name__}; allowed: Signals")


def one_hot(signals: Signals) -> Inputs:
    """Return the true classes as rows of the unit matrix, shape (n, C)."""
    return np.eye(signals.classes, dtype=np.float32)[signals.labels]


def largest(posteriors: NDArray[Any], count: int) -> NDArray[Any]:
    """Return each sample's largest posteriors, descending: (n, count), or (n, C) if C is less."""
    return -np.sort(-posteriors, axis=1)[:, :count]
