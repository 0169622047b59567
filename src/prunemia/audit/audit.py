"""An audit: its record, and the report, the table and the limits that come of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from prunemia import metrics
from prunemia.audit import html, report
from prunemia.audit.answers import FEWEST, Answers, beside
from prunemia.audit.epsilon import DELTA
from prunemia.audit.evidence import NONE, Evidence, gather
from prunemia.audit.fitting import Tell
from prunemia.errors import UsageError, shortened
from prunemia.files import pack_json
from prunemia.metrics import FPRS
from prunemia.signals import Signals

SCHEMA = 2
"""The record's version: raised when a reader of it has to change (book/audit.md has the schema)."""
FORM = re.compile(r"(?P<measure>[a-z@0-9.]+)=(?P<value>[0-9.]+(e-?[0-9]+)?)")
OPTIONS = {False: "--fail-above", True: "--require-below"}
"""The command's options, by whether a leak has to be excluded."""
MEASURES = ("auc", "accuracy", *(f"tpr@{fpr:g}" for fpr in FPRS))


@dataclass(frozen=True)
class Limit:
    """The most that a measure may be, of whatever attack, also of one turned round.

    It is exceeded where the lower end of an attack's interval lies above it. With ``excluded``, it
    is so already where an upper end does: a leak has to be excluded, and too few samples fail. The
    intervals hold for all attacks at once, so a network within the limit exceeds it in at most
    5 % of audits, and one beyond it passes ``excluded`` as rarely. Scores turned round count: where
    members score below chance level, an AUC of 0.1 is one of 0.9.
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
        known = {(name, ""): e for name, e in evidence.at_once(self.measure).items()}
        if not known:
            nonmembers = int((~evidence.membership).sum())
            why = f"cannot be measured with {nonmembers:,} non-members"
            if not any(output.ranks for output in evidence.verdicts.values()):
                why = (
                    f"needs an attack that ranks the samples; here: {', '.join(evidence.verdicts)}"
                )
            raise UsageError(f"{self.option} {self.measure}={self.value:g}: {why}")
        turned = evidence.at_once(self.measure, turned=True).items()
        known |= {(name, ", turned round because members score low,"): e for name, e in turned}
        ends = {name: each.high if self.excluded else each.low for name, each in known.items()}
        worst = max(ends, key=lambda name: ends[name])
        if ends[worst] <= self.value:
            return ""
        side = "upper" if self.excluded else "lower"
        said = (
            f"{self.option}: {self.measure} of {''.join(worst)} is {known[worst]}: its {side} end "
            f"lies above {self.value:g}"
        )
        if self.measure == "accuracy" and evidence.level == NONE and known[worst].low > 0.5:
            figures = sum(map(len, evidence.family.values()))
            said += (
                f"; this limit looks at accuracies alone, and the level says {NONE} because its "
                f"rule judges {figures} figures at once, AUCs and true-positive rates where an "
                "attack ranks"
            )
        return said


@dataclass(frozen=True, eq=False)
class Audit:
    """How much a network gives away about who is a member.

    Attributes
    ----------
    evidence : the answers, and what each attack said of them.
    """

    evidence: Evidence

    @cached_property
    def record(self) -> dict[str, Any]:
        """The report as JSON values; book/audit.md has their schema."""
        parts = {name: compute(self.evidence) for name, compute in report.SECTIONS.items()}
        return {"schema": SCHEMA, **parts}

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        return str(self.record["summary"]["sentence"])

    @property
    def level(self) -> str:
        """The level in words: no leak found, a small, a clear or a large leak."""
        return self.evidence.level

    @property
    def warnings(self) -> list[str]:
        """Why the numbers may mislead: what was seen, and what to do."""
        return self.evidence.warnings

    def __repr__(self) -> str:
        which = ""
        for side, figures in (("Above", self.evidence.above), ("Below", self.evidence.below)):
            which += f" {side} chance level: {', '.join(figures)}." if figures else ""
        return f"{self.level[0].upper()}{self.level[1:]}. {self.sentence}{which}"

    def table(self) -> pd.DataFrame:
        """Return one row per attack: each figure with its 95 % interval, to read."""
        return metrics.table(self.evidence.evaluations)

    def samples(self) -> pd.DataFrame:
        """Return one row per sample: id, label, member, and each attack's score and decision."""
        return report.samples(self.evidence)

    def exceeded(self, limits: Iterable[Limit | str]) -> list[str]:
        """Return a sentence for each limit that is exceeded (see `Limit`)."""
        parsed = [limit if isinstance(limit, Limit) else Limit.parse(limit) for limit in limits]
        return [text for limit in parsed if (text := limit.exceeded(self.evidence))]

    def to_html(self) -> str:
        """Return the report as one HTML page that needs nothing else."""
        return html.page(self.record, self.evidence)

    def to_json(self) -> str:
        """Return the record; equal inputs give equal text."""
        return pack_json(self.record).decode() + "\n"

    def to_csv(self) -> str:
        """Return `samples` as text; cells that a spreadsheet would take for formulas are quoted."""
        frame = self.samples()
        frame["id"] = [report.guarded(each) for each in frame["id"]]
        return frame.to_csv(index=False, lineterminator="\n")

    def save(self, path: str | Path) -> None:
        """Write the report (.html), the record (.json) or the samples (.csv), by the name's end."""
        path = Path(path)
        writers = {".html": self.to_html, ".json": self.to_json, ".csv": self.to_csv}
        if path.suffix not in writers:
            raise UsageError(f"{path}: is not written; allowed: {', '.join(writers)}")
        path.write_text(writers[path.suffix](), encoding="utf-8")

    def _repr_html_(self) -> str:
        return html.short(self.record)


def signals(
    target: Signals | Answers,
    shadow: Signals | Answers | None = None,
    original: Signals | Answers | None = None,
    reference: Signals | Answers | None = None,
    *,
    attacks: Iterable[str] | None = None,
    ids: Any = None,
    seed: int = 0,
    delta: float = DELTA,
    command: str = "pm.audit.signals",
    tell: Tell = lambda _: None,
) -> Audit:
    """Audit a network by its answers. Warnings go to stderr, too.

    Parameters
    ----------
    target : what the network answered to members and non-members, 10 or more of each.
    shadow : what shadow networks answered; None: the attacks are fitted on one half of the target
        and judged on the other, and the other way round.
    original : what another network, usually the one before pruning, answered to the same samples in
        the same order: it is attacked alike, and the differences are paired.
    reference : what several networks (``model``) answered to the target's samples, in its order one
        network after the other, or with ids; its membership says which network trained on what. For
        lira and rmia.
    attacks : names; None: all that the signals allow and that take a minute at most.
    ids : shape (n,), what the target's samples are called; None: their numbers.
    seed : of the halves, and of attacks that draw.
    delta : of the lower bound on ε.
    command : what the report says of how it was made.
    tell : is given a line before each attack.

    Raises
    ------
    ValueError
        The signals disagree, hide who is a member, or an option is not allowed.
    """
    named = _answers(target, "target", ids)
    if reference is not None:
        named = beside(named, _of_references(reference, named))
    others = {}
    if original is not None:
        same = isinstance(original, Signals) and len(original) == len(named.ids)
        others["original"] = (_answers(original, "original", named.ids if same else None), None)
    evidence = gather(
        named,
        None if shadow is None else _answers(shadow, "shadow"),
        others,
        attacks,
        seed=seed,
        delta=delta,
        command=command,
        tell=tell,
    )
    return warned(Audit(evidence))


def warned(audit: Audit) -> Audit:
    """Return an audit whose warnings have been written to stderr."""
    for text in audit.warnings:
        print(f"prunemia: warning: {text}", file=sys.stderr)
    return audit


def _of_references(given: Signals | Answers, target: Answers) -> Answers:
    """Return references' answers; without ids, each network's are in the target's order."""
    if isinstance(given, Answers):
        return given
    numbers, counts = np.unique(np.asarray(given.model), return_counts=True)
    n = len(target.ids)
    if given.membership is None or len(given) != len(numbers) * n:
        raise UsageError(
            f"reference: {len(given)} rows of {len(numbers)} networks; allowed: {n} per "
            "network, as target has, with their membership"
        )
    ids = np.empty(len(given), dtype=target.ids.dtype)
    for number, count in zip(numbers, counts, strict=True):
        if count != n:
            raise UsageError(f"reference: network {number}; allowed: {n} rows each")
        ids[given.model == number] = target.ids
    return Answers(given, ids, "reference")


def _answers(given: Signals | Answers, name: str, ids: Any = None) -> Answers:
    """Return answers with ids; refuse those that do not say who is a member, or of too few."""
    answers = given if isinstance(given, Answers) else Answers.of(given, name, ids)
    member = answers.signals.require_membership()
    counts = int(member.sum()), int((~member).sum())
    if min(counts) < FEWEST:
        raise UsageError(
            f"{name}: {counts[0]} members and {counts[1]} non-members; allowed: {FEWEST} or more"
        )
    return answers
