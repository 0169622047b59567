"""An audit: the attacks' outputs, what follows from them, and limits that a leak may not exceed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import pandas as pd
from markupsafe import Markup

from prunemia import metrics
from prunemia.audit import evidence, fitting, report
from prunemia.audit.answers import Answers, with_references
from prunemia.audit.epsilon import DELTA
from prunemia.audit.evidence import NONE, Findings, Other, balanced_accuracy
from prunemia.errors import UsageError, shortened
from prunemia.files import pack_json, write_text
from prunemia.metrics import FPRS, LEVEL, Estimate
from prunemia.signals import Signals

FEWEST = 10  # members, and non-members, to judge by: cross-fitting halves them
MEASURES = ("auc", "accuracy", *(f"tpr@{fpr:g}" for fpr in FPRS))


class Audit(Findings):
    """How much a network gives away about who is a member: its findings, and the report of them."""

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        return str(self.record["summary"]["sentence"])

    @cached_property
    def record(self) -> dict[str, Any]:
        """The report as JSON values; book/audit.md has their schema."""
        return report.record(self)

    def __repr__(self) -> str:
        sides = {"Above": self.above, "Below": self.below}
        which = [f" {s} chance level: {', '.join(each)}." for s, each in sides.items() if each]
        return f"{self.level.capitalize()}. {self.sentence}{''.join(which)}"

    def _repr_html_(self) -> str:
        said = Markup("<strong>{}.</strong> {}").format(self.level.capitalize(), self.sentence)
        return "".join(Markup("<p>{}</p>").format(each) for each in (said, *self.warnings))

    def table(self) -> pd.DataFrame:
        """Return one row per attack: each figure with its 95 % interval, as text."""
        return metrics.table(self.evaluations)

    def samples(self) -> pd.DataFrame:
        """Return one row per sample: id, label, member, model; each attack's score and decision."""
        signals = self.target.signals
        columns: dict[str, Any] = {"id": self.target.ids, "label": signals.labels}
        columns |= {"member": self.membership.astype(int), "model": signals.model}
        for name, output in self.verdicts.items():
            if output.ranks:
                columns[f"{name} score"] = output.scores
            columns[f"{name} says member"] = output.predictions.astype(int)
        return pd.DataFrame(columns)

    def exceeded(self, limits: Iterable[Limit | str]) -> list[str]:
        """Return a sentence for each limit that is exceeded (see `Limit`)."""
        parsed = [limit if isinstance(limit, Limit) else Limit.parse(limit) for limit in limits]
        return [text for limit in parsed if (text := limit.exceeded(self))]

    def to_html(self) -> str:
        """Return the report as one HTML page that needs nothing else."""
        return report.page(self, self.record)

    def to_json(self) -> str:
        """Return the record; equal inputs give equal text."""
        return pack_json(self.record).decode() + "\n"

    def to_csv(self) -> str:
        """Return `samples` as text; cells that a spreadsheet would take for formulas are quoted."""
        frame = self.samples()
        frame["id"] = frame["id"].map(report.guarded)
        return frame.to_csv(index=False, lineterminator="\n")

    def save(self, path: str | Path) -> None:
        """Write the report (.html), the record (.json) or the samples (.csv), by the name's end."""
        writers = {".html": self.to_html, ".json": self.to_json, ".csv": self.to_csv}
        if (suffix := Path(path).suffix) not in writers:
            raise UsageError(f"{path}: is not written; allowed: {', '.join(writers)}")
        write_text(Path(path), writers[suffix]())


@dataclass(frozen=True)
class Limit:
    """The most that a measure of any attack may be, also of its scores turned round.

    It is exceeded where the lower end of an interval lies above it; with ``excluded`` where an
    upper end does, so that too few samples fail. The intervals hold for all attacks at once: either
    is wrong in at most 5 % of audits.
    """

    measure: str
    value: float
    excluded: bool = False

    @classmethod
    def parse(cls, text: str, *, excluded: bool = False) -> Self:
        """Read ``tpr@0.01=0.05``, ``auc=0.6`` or ``accuracy=0.55``; UsageError for others."""
        measure, _, number = text.partition("=")
        with contextlib.suppress(ValueError):
            if measure in MEASURES and 0 <= float(number) <= 1:
                return cls(measure, float(number), excluded)
        raise UsageError(
            f"{cls(measure, 0, excluded).option} {shortened(text, 60)}: is no limit; allowed: "
            f"NAME=VALUE, NAME one of {', '.join(MEASURES)}, VALUE from 0 to 1"
        )

    @property
    def option(self) -> str:
        """The command's option."""
        return "--require-below" if self.excluded else "--fail-above"

    def exceeded(self, audit: Findings) -> str:
        """Return a sentence where it is exceeded, else ""; UsageError: nothing has that measure."""
        known: dict[str, Estimate] = {}
        level = 1 - (1 - LEVEL) / len(audit.verdicts)  # accuracies hold all at once, too
        low = ", turned round because members score low,"
        turned = (audit.turned_verdicts, audit.turned, low)
        for outputs, family, words in ((audit.verdicts, audit.family, ""), turned):
            for name, output in outputs.items():
                if self.measure == "accuracy":
                    found = balanced_accuracy(output.predictions, audit.membership, level)
                    known[name + words] = found
                elif (name, self.measure) in family:
                    known[name + words] = family[name, self.measure]
        if not known:
            why = f"cannot be measured with {(~audit.membership).sum():,} non-members"
            if not any(output.ranks for output in audit.verdicts.values()):
                why = f"needs an attack that ranks the samples; here: {', '.join(audit.verdicts)}"
            raise UsageError(f"{self.option} {self.measure}={self.value:g}: {why}")
        side, end = ("upper", "high") if self.excluded else ("lower", "low")
        worst = max(known, key=lambda name: getattr(known[name], end))
        if getattr(known[worst], end) <= self.value:
            return ""
        said = (
            f"{self.option}: {self.measure} of {worst} is {known[worst]}: its {side} end lies "
            f"above {self.value:g}"
        )
        if self.measure == "accuracy" and audit.level == NONE and known[worst].low > 0.5:
            said += (
                f"; this limit looks at accuracies alone, and the level says {NONE} because its "
                f"rule judges {len(audit.family)} figures at once, AUCs and true-positive rates "
                "where an attack ranks"
            )
        return said


def signals(
    target: Signals | Answers,
    shadow: Signals | Answers | None = None,
    original: Signals | Answers | Mapping[str, tuple[Answers, Answers]] | None = None,
    reference: Signals | Answers | None = None,
    *,
    attacks: Iterable[str] | None = None,
    ids: Any = None,
    seed: int = 0,
    delta: float = DELTA,
    command: str = "pm.audit.signals",
    tell: Callable[[str], None] = lambda _: None,
) -> Audit:
    """Audit a network by its answers. Warnings go to stderr, too.

    Parameters
    ----------
    target : what the network answered to members and non-members, 10 or more of each.
    shadow : what shadow networks answered; None: the attacks are fitted on one half of the target
        and judged on the other, and the other way round.
    original : what another network, usually the one before pruning, answered to the same samples in
        the same order: it is attacked alike, and the differences are paired. Or several by name,
        each with its own shadows' answers.
    reference : what several networks (``model``) answered to the target's samples, in its order one
        network after the other, or with ids; its membership says which network trained on what. For
        lira and rmia.
    attacks : names; None: all that the signals allow and that take a minute at most.
    ids : shape (n,), what the target's samples are called; None: their numbers.
    seed, delta : of the halves and of attacks that draw; of the lower bound on ε.
    command, tell : what the report says of how it was made; is given a line before each attack.

    ValueError: the signals disagree, or hide who is a member; an option is not allowed.
    """
    if not 0 <= delta < 1:
        raise UsageError(f"delta: {delta:g} is not allowed; allowed: 0 or more, less than 1")
    if isinstance(target, Signals):
        target = Answers.of(target, "target", ids)
    if isinstance(shadow, Signals):
        shadow = Answers.of(shadow, "shadow")
    if isinstance(original, Signals):
        original = Answers(original, target.ids, "original")
    others: dict[str, tuple[Answers, Answers | None]] = {}
    if original is not None:
        others |= original if isinstance(original, Mapping) else {"original": (original, None)}
    if reference is not None:
        target, reference = with_references(target, reference)
    given = target, reference, shadow, *(answers for answers, _ in others.values())
    read = [answers for answers in given if answers is not None]
    inputs = [{"name": answers.name, "sha256": answers.content} for answers in read]
    for answers, _ in others.values():
        wanted, theirs = target.signals, answers.signals
        if theirs.posteriors.shape != wanted.posteriors.shape:
            raise UsageError(
                f"{answers.name}: {len(theirs)} samples of {theirs.classes} classes; "
                f"allowed: {len(wanted)} of {wanted.classes}, as {target.name} has"
            )
        differing = {
            "id": target.ids != answers.ids,
            "label": wanted.labels != theirs.labels,
            "member": wanted.require_membership() != theirs.require_membership(),
        }
        for name, differs in differing.items():
            if differs.any():
                raise UsageError(
                    f"{answers.name}: row {int(differs.argmax())}: {name} differs from "
                    f"{target.name}'s; allowed: the same samples in the same order"
                )
    repeated, copied = evidence.copies(target)
    told = [text for answers in read for text in answers.warnings] + copied
    told += evidence.saturation(target) + evidence.shifted_labels(target)
    if repeated.any():
        target = target.subset(~repeated)
        others = {name: (one.subset(~repeated), its) for name, (one, its) in others.items()}
    _require_enough(target)
    if shadow is not None:
        _require_enough(shadow)
        told += evidence.shifted_labels(shadow)
        if shadow.signals.classes != target.signals.classes:
            raise UsageError(
                f"{shadow.name}: {shadow.signals.classes} classes; "
                f"allowed: {target.signals.classes}, as {target.name} has"
            )
    learned_from = None if shadow is None else shadow.signals
    names, left_out = fitting.chosen(attacks, target.signals, learned_from)
    halved = fitting.halves(target.signals.require_membership(), target.ids, seed)
    run = partial(fitting.carry_out, first=halved, seed=seed, tell=tell)
    verdicts = run(names, target.signals, learned_from)
    compared = []
    for name, (answers, its) in others.items():
        tell(f"the same attacks on {name}")
        able = [each for each in verdicts if not fitting.lacking(each, answers.signals)]
        alike = shadow is not None and its is not None  # by shadows of its own, else cross-fitted
        own = run(able, answers.signals, its.signals if alike and its else None)
        mine = verdicts if alike or shadow is None else run(able, target.signals, None)
        compared.append(Other(name, answers, "shadow" if alike else "cross-fitting", own, mine))
    warnings = list(dict.fromkeys(told))
    audit = Audit(
        target, shadow, verdicts, left_out, compared, inputs, warnings, delta, seed, command
    )
    if audit.below:
        warnings.append(
            f"{target.name}: members score below chance level ({', '.join(audit.below)}): are the "
            "membership flags right (1 for training samples), and the labels? Whoever turns the "
            "scores round tells members apart, so this counts as a leak"
        )
    for text in warnings:
        print(f"prunemia: warning: {text}", file=sys.stderr)
    return audit


def _require_enough(answers: Answers) -> None:
    member = answers.signals.require_membership()
    counts = int(member.sum()), int((~member).sum())
    if min(counts) < FEWEST:
        raise UsageError(
            f"{answers.name}: {counts[0]} members and {counts[1]} non-members, each sample counted "
            f"once; allowed: {FEWEST} or more of each"
        )
