"""Limits for pipelines: an audit fails where a leak is proved, or where it is not excluded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from prunemia.audit.evidence import Evidence
from prunemia.errors import UsageError, shortened
from prunemia.metrics import FPRS

FORM = re.compile(r"(?P<measure>auc|accuracy|tpr@[0-9.]+)=(?P<value>[0-9.]+(e-?[0-9]+)?)")
OPTIONS = {False: "--fail-above", True: "--require-below"}
"""The command's options, by whether a leak has to be excluded."""
MEASURES = ("auc", "accuracy", *(f"tpr@{fpr:g}" for fpr in FPRS))


@dataclass(frozen=True)
class Limit:
    """The most that a measure may be, of whatever attack.

    It is exceeded where the lower end of an attack's interval lies above it. With ``excluded``, it
    is so already where an upper end does: a leak has to be excluded, and too few samples fail. The
    intervals hold for all attacks at once, so a network within the limit exceeds it in at most
    2.5 % of audits, and one beyond it passes ``excluded`` as rarely.
    """

    measure: str
    value: float
    excluded: bool = False

    @property
    def option(self) -> str:
        """The command's option."""
        return OPTIONS[self.excluded]

    @classmethod
    def parse(cls, text: str, *, excluded: bool = False) -> Self:
        """Read ``tpr@0.01=0.05``, ``auc=0.6`` or ``accuracy=0.55``; UsageError for others."""
        option = OPTIONS[excluded]
        match = FORM.fullmatch(text)
        shown = shortened(text, 60)
        if match is None or match["measure"] not in MEASURES:
            raise UsageError(
                f"{option} {shown}: is no limit; allowed: NAME=VALUE, "
                f"NAME one of {', '.join(MEASURES)}"
            )
        try:
            value = float(match["value"])
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise UsageError(f"{option} {shown}: allowed: a value from 0 to 1")
        return cls(match["measure"], value, excluded)

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
                f"{self.option} {self.measure}={self.value:g}: cannot be measured with "
                f"{int((~evidence.membership).sum()):,} non-members"
            )
        ends = {name: each.high if self.excluded else each.low for name, each in known.items()}
        worst = max(ends, key=lambda name: ends[name])
        if ends[worst] <= self.value:
            return ""
        side = "upper" if self.excluded else "lower"
        return (
            f"{self.option}: {self.measure} of {worst} is {known[worst]}: its {side} end lies "
            f"above {self.value:g}"
        )
