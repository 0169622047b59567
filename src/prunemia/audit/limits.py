"""Limits for pipelines: an audit fails where the leak certainly exceeds what was allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from prunemia.audit.evidence import Evidence
from prunemia.errors import UsageError, shortened
from prunemia.metrics import FPRS

FORM = re.compile(r"(?P<measure>auc|accuracy|tpr@[0-9.]+)=(?P<value>[0-9.]+(e-?[0-9]+)?)")
MEASURES = ("auc", "accuracy", *(f"tpr@{fpr:g}" for fpr in FPRS))


@dataclass(frozen=True)
class Limit:
    """The most that a measure may be, of whatever attack.

    It is exceeded where the lower end of an attack's interval lies above it. The intervals hold for
    all attacks at once, so that a network within the limit fails in at most 2.5 % of audits.
    """

    measure: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``tpr@0.01=0.05``, ``auc=0.6`` or ``accuracy=0.55``; UsageError for others."""
        match = FORM.fullmatch(text)
        shown = shortened(text, 60)
        if match is None or match["measure"] not in MEASURES:
            raise UsageError(
                f"--fail-above {shown}: is no limit; allowed: NAME=VALUE, "
                f"NAME one of {', '.join(MEASURES)}"
            )
        try:
            value = float(match["value"])
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise UsageError(f"--fail-above {shown}: allowed: a value from 0 to 1")
        return cls(match["measure"], value)

    def exceeded(self, evidence: Evidence) -> str:
        """Return a sentence where the limit is exceeded, else "".

        Raises
        ------
        UsageError
            No attack has that measure at this size: nothing can be said of the limit.
        """
        known = evidence.at_once(self.measure)
        if not known:
            raise UsageError(
                f"--fail-above {self.measure}={self.value:g}: cannot be measured with "
                f"{int((~evidence.membership).sum()):,} non-members"
            )
        worst = max(known, key=lambda name: known[name].low)
        if known[worst].low <= self.value:
            return ""
        return (
            f"{self.measure} of {worst} is {known[worst]}: its lower end lies above {self.value:g}"
        )
