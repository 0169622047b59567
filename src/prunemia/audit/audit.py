"""An audit: its record, and the report, the table and the limits that come of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prunemia import metrics
from prunemia.audit import html, samples
from prunemia.audit.epsilon import DELTA
from prunemia.audit.evidence import Evidence, gather
from prunemia.audit.fields import FEWEST
from prunemia.audit.fitting import Tell
from prunemia.audit.limits import Limit
from prunemia.audit.reading import Answers
from prunemia.audit.references import beside
from prunemia.audit.sections import SECTIONS
from prunemia.errors import UsageError
from prunemia.signals import Signals
from prunemia.store import pack_json

SCHEMA = 1
"""The record's version: raised when a reader of it has to change (book/audit.md has the schema)."""


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
        parts = {section.name: section.compute(self.evidence) for section in SECTIONS}
        return {"schema": SCHEMA, **parts}

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        return str(self.record["summary"]["sentence"])

    @property
    def level(self) -> str:
        """The level in words: no leak found, a small, a clear or a large leak."""
        return str(self.record["summary"]["level"])

    def __repr__(self) -> str:
        above = self.record["summary"]["above_guessing"]
        which = f" Above chance level: {', '.join(above)}." if above else ""
        return f"{self.level[0].upper()}{self.level[1:]}. {self.sentence}{which}"

    def table(self) -> pd.DataFrame:
        """Return one row per attack: each figure with its 95 % interval, to read."""
        return metrics.table(self.evidence.evaluations)

    def samples(self) -> pd.DataFrame:
        """Return one row per sample: id, label, member, and each attack's score and decision."""
        return samples.table(self.evidence)

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
        return samples.text(self.evidence)

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
    """Audit a network by its answers.

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
    assert named is not None
    if reference is not None:
        named = beside(named, _of_references(reference, named))
    others = {}
    if original is not None:
        same = isinstance(original, Signals) and len(original) == len(named.ids)
        asked = _answers(original, "original", named.ids if same else None)
        assert asked is not None
        others["original"] = (asked, None)
    evidence = gather(
        named,
        _answers(shadow, "shadow"),
        others,
        attacks,
        seed=seed,
        delta=delta,
        command=command,
        tell=tell,
    )
    return Audit(evidence)


def _of_references(given: Signals | Answers, target: Answers) -> Answers:
    """Return references' answers; without ids, each network's are in the target's order."""
    if isinstance(given, Answers):
        return given
    assert given.model is not None
    networks = len(np.unique(given.model))
    if given.membership is None or len(given) != networks * len(target.ids):
        raise UsageError(
            f"reference: {len(given)} rows of {networks} networks; allowed: {len(target.ids)} per "
            "network, as target has, with their membership"
        )
    ids = np.empty(len(given), dtype=target.ids.dtype)
    for number in np.unique(given.model):
        if (given.model == number).sum() != len(target.ids):
            raise UsageError(f"reference: network {number}; allowed: {len(target.ids)} rows each")
        ids[given.model == number] = target.ids
    return Answers(given, ids, "reference")


def _answers(given: Signals | Answers | None, name: str, ids: Any = None) -> Answers | None:
    """Return answers with ids; refuse those that do not say who is a member, or of too few."""
    if given is None:
        return None
    answers = given if isinstance(given, Answers) else Answers.of(given, name, ids)
    member = answers.signals.require_membership()
    counts = int(member.sum()), int((~member).sum())
    if min(counts) < FEWEST:
        raise UsageError(
            f"{name}: {counts[0]} members and {counts[1]} non-members; allowed: {FEWEST} or more"
        )
    return answers
