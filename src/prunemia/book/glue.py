"""What a page needs of the book: its numbers for the prose around its cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from myst_nb import glue

from prunemia.metrics import Estimate


def say(**values: Any) -> None:
    """Make values known to the page's prose, as ``{glue:text}`name```; estimates with their interval, as text."""
    for name, value in values.items():
        plain = value.item() if isinstance(value, np.generic) else value
        glue(name, str(plain) if isinstance(plain, Estimate) else plain, display=False)
