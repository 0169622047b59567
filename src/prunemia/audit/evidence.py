"""What an audit rests on, gathered once: whoever writes a section of the report reads it here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from prunemia.audit import fitting
from prunemia.audit.fitting import Bools, Tell, Verdict
from prunemia.audit.measuring import Family, balanced_accuracy, simultaneous
from prunemia.audit.reading import Answers
from prunemia.errors import UsageError
from prunemia.metrics import LEVEL, Estimate, Evaluation, evaluate
from prunemia.registry import ATTACKS
from prunemia.signals import Signals


@dataclass(frozen=True, eq=False)
class Other:
    """Another network that answered the target's samples: the original, or a control.

    ``verdicts`` and ``of_target`` are those of attacks fitted alike on both, ``how`` says how.
    """

    name: str
    answers: Answers
    how: str
    verdicts: dict[str, Verdict]
    of_target: dict[str, Verdict]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The target's answers, and what each attack said of them.

    Attributes
    ----------
    target, shadow : as they were read; ``shadow`` None: the attacks were cross-fitted.
    verdicts, evaluations : by attack.
    family, confidence : `measuring.simultaneous`.
    others : the networks that the target is compared with.
    left_out : attacks that were not carried out, and why.
    delta, seed, command : the audit's options; what called it.
    """

    target: Answers
    shadow: Answers | None
    verdicts: dict[str, Verdict]
    left_out: dict[str, str]
    delta: float
    seed: int
    command: str
    others: list[Other] = field(default_factory=list)

    def __post_init__(self) -> None:
        member = self.membership
        evaluations = {
            name: evaluate(member, v.scores, v.predictions, ranks=v.ranks)
            for name, v in self.verdicts.items()
        }
        family, confidence = simultaneous(self.verdicts, member)
        for name, value in (
            ("evaluations", evaluations), ("family", family), ("confidence", confidence),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    evaluations: dict[str, Evaluation] = field(init=False)
    family: Family = field(init=False)
    confidence: float = field(init=False)

    @property
    def signals(self) -> Signals:
        """The target's answers."""
        return self.target.signals

    @property
    def membership(self) -> Bools:
        """Who is a member, shape (n,)."""
        return self.target.signals.require_membership()

    def at_once(self, measure: str) -> dict[str, Estimate]:
        """Return a measure of each attack that has it, with intervals that hold all at once."""
        if measure != "accuracy":
            return {name: e[measure] for name, e in self.family.items() if measure in e}
        level = 1 - (1 - LEVEL) / len(self.verdicts)
        return {
            name: balanced_accuracy(verdict.predictions, self.membership, level)
            for name, verdict in self.verdicts.items()
        }


def gather(
    target: Answers,
    shadow: Answers | None,
    others: Mapping[str, tuple[Answers, Answers | None]],
    attacks: Iterable[str] | None,
    *,
    seed: int,
    delta: float,
    command: str,
    tell: Tell,
) -> Evidence:
    """Carry out the attacks on the target, and on the networks that it is compared with.

    Parameters
    ----------
    others : for each name the answers to the target's samples, and its own shadows' (or None).

    Raises
    ------
    UsageError
        Sizes or samples disagree, or an option is not allowed; no attack was carried out.
    """
    if not 0 <= delta < 1:
        raise UsageError(f"delta: {delta:g} is not allowed; allowed: 0 or more, less than 1")
    _require_alike(target, shadow, others)
    names, left_out = fitting.chosen(attacks, target.signals)
    learned_from = None if shadow is None else shadow.signals
    if shadow is not None and shadow.signals.sensitivities is None:
        needy = [name for name in names if ATTACKS[name].needs_sensitivity]
        left_out |= dict.fromkeys(needy, f"it needs sensitivities, which {shadow.name} has not")
        names = [name for name in names if name not in needy]
    verdicts = fitting.carry_out(names, target.signals, learned_from, seed, tell)
    evidence = Evidence(target, shadow, verdicts, left_out, delta, seed, command)
    for name, (answers, its_shadow) in others.items():
        evidence.others.append(_compared(name, answers, its_shadow, evidence, tell))
    return evidence


def _compared(
    name: str, answers: Answers, its_shadow: Answers | None, evidence: Evidence, tell: Tell
) -> Other:
    """Attack another network as the target was: both by shadows of their own, or cross-fitted."""
    target = evidence.signals
    names = [
        each
        for each in evidence.verdicts
        if (answers.signals.sensitivities is not None or not ATTACKS[each].needs_sensitivity)
        and (answers.signals.references is not None or not ATTACKS[each].needs_references)
    ]
    tell(f"the same attacks on {name}")
    if evidence.shadow is not None and its_shadow is not None:
        own = fitting.carry_out(names, answers.signals, its_shadow.signals, evidence.seed, tell)
        return Other(name, answers, "shadow", own, evidence.verdicts)
    own = fitting.carry_out(names, answers.signals, None, evidence.seed, tell)
    if evidence.shadow is None:
        return Other(name, answers, "cross-fitting", own, evidence.verdicts)
    again = fitting.carry_out(names, target, None, evidence.seed, tell)
    return Other(name, answers, "cross-fitting", own, again)


def _require_alike(
    target: Answers, shadow: Answers | None, others: Mapping[str, tuple[Answers, Any]]
) -> None:
    """Refuse shadows of other classes, and another network that was asked other samples."""
    if shadow is not None and shadow.signals.classes != target.signals.classes:
        raise UsageError(
            f"{shadow.name}: {shadow.signals.classes} classes; "
            f"allowed: {target.signals.classes}, as {target.name} has"
        )
    for answers, _ in others.values():
        mine, theirs = target.signals, answers.signals
        if len(mine) != len(theirs) or mine.classes != theirs.classes:
            raise UsageError(
                f"{answers.name}: {len(theirs)} samples of {theirs.classes} classes; "
                f"allowed: {len(mine)} of {mine.classes}, as {target.name} has"
            )
        pairs = {
            "id": (target.ids, answers.ids),
            "label": (mine.labels, theirs.labels),
            "member": (mine.membership, theirs.membership),
        }
        for field_name, (one, other) in pairs.items():
            differs = np.asarray(one != other)
            if differs.any():
                row = int(differs.argmax())
                raise UsageError(
                    f"{answers.name}: row {row}: {field_name} differs from {target.name}'s; "
                    "allowed: the same samples in the same order"
                )
