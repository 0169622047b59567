"""What a page needs of the book: its experiment, and its numbers for the prose around its cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from myst_nb import glue

from prunemia.experiment import Experiment
from prunemia.metrics import Estimate


def experiment(parameters: Mapping[str, Any]) -> Experiment:
    """Return the experiment that a page's parameters describe.

    ``parameters``: the page's ``globals()`` right after its parameters cell. A name that is no
    field of `Experiment` belongs to the page and is left alone.

    Raises
    ------
    pydantic.ValidationError
        A value is out of range or does not go with another.
    """
    fields = Experiment.model_fields.keys() & parameters.keys()
    return Experiment(**{name: parameters[name] for name in fields})


def say(**values: Any) -> None:
    """Make values known to the page's prose, as ``{glue:text}`name```.

    An estimate becomes a text, with its interval.
    """
    for name, value in values.items():
        plain = value.item() if isinstance(value, np.generic) else value
        glue(name, str(plain) if isinstance(plain, Estimate) else plain, display=False)
