"""What an audit rests on: the attacks' outputs, simultaneous intervals, and a level in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from prunemia.audit import fitting
from prunemia.audit.answers import FEWEST, Answers
from prunemia.audit.fitting import AttackOutput, Bools, Floats, Tell
from prunemia.checks import PROBABILITIES, are_probabilities
from prunemia.errors import UsageError
from prunemia.metrics import FPRS, LEVEL, Estimate, Evaluation, evaluate, intervals
from prunemia.registry import ATTACKS
from prunemia.signals import Signals

Family = dict[str, dict[str, Estimate]]
"""For each attack, estimates by measure; their intervals hold all at once."""

NONE = "no leak found"
LARGE = (0.75, 10)
CLEAR = (0.6, 3)
"""The AUC, or the multiple of chance level's TPR, from which a leak is called large, or clear."""
RULE = (
    "An attack that ranks the samples is judged by its AUC and by its true-positive rate at each "
    "measurable false-positive rate. Any other attack is judged by its balanced accuracy. All "
    "these intervals hold together with 95 % confidence (Bonferroni). If no interval lies above "
    "chance level or below it, no leak was found. The leak is large if the lower end of an AUC is "
    f"at least {LARGE[0]:g}, or that of a true-positive rate at least {LARGE[1]} times chance "
    f"level. It is clear if the lower end is at least {CLEAR[0]:g}, or {CLEAR[1]} times chance "
    "level. Otherwise it is small. A balanced accuracy counts like an AUC. Where members score "
    "below chance level, the scores are turned round and judged by the same rule."
)
MANY = 0.1  # the share of saturated or identical rows from which they are told


@dataclass(frozen=True)
class Point:
    """Where an attack decides at a false-positive rate: members and non-members *above* a score.

    ``fpr``: the rate that this realizes.
    """

    threshold: float
    found: int
    alarms: int
    fpr: float


def point(scores: Floats, membership: Bools, fpr: float) -> Point | None:
    """Return that of `intervals.tpr_at`; None where there are too few non-members."""
    threshold = intervals.threshold_at(scores[~membership], fpr)
    if threshold is None:
        return None
    above = scores > threshold
    found, alarms = (int((above & side).sum()) for side in (membership, ~membership))
    return Point(threshold, found, alarms, alarms / int((~membership).sum()))


def simultaneous(
    outputs: Mapping[str, AttackOutput], membership: Bools, *, turned: bool = False
) -> tuple[Family, float]:
    """Return the figures that decide on the level, and the confidence of each interval by itself.

    ``turned``: the figures of the scores and decisions turned round, by which members score low.
    """
    n0 = int((~membership).sum())
    measurable = [fpr for fpr in FPRS if intervals.false_positives_allowed(n0, fpr) >= 1]
    ranking = sum(output.ranks for output in outputs.values())
    figures = ranking * (1 + len(measurable)) + len(outputs) - ranking
    level = 1 - (1 - LEVEL) / figures
    family: Family = {}
    for name, output in outputs.items():
        if not output.ranks:
            accused = output.predictions != turned
            family[name] = {"accuracy": balanced_accuracy(accused, membership, level)}
            continue
        scores = -output.scores if turned else output.scores
        sides = scores[membership], scores[~membership]
        family[name] = {"auc": intervals.auc(*sides, level)}
        for fpr in measurable:
            family[name][f"tpr@{fpr:g}"] = intervals.tpr_at(*sides, fpr, level)
    return family, level


def balanced_accuracy(predictions: Bools, membership: Bools, level: float) -> Estimate:
    """Return ½(TPR + TNR) of decisions, with an interval of that level."""
    right = predictions == membership
    counts = [(int(right[side].sum()), int(side.sum())) for side in (membership, ~membership)]
    return intervals.mean_of_rates(counts, level)


def guessing(measure: str) -> float:
    """Return chance level: for a TPR at an FPR that FPR, one half for the others."""
    return float(measure.removeprefix("tpr@")) if measure.startswith("tpr@") else 0.5


def above_guessing(family: Family) -> list[str]:
    """Return the figures ("conf auc") whose interval lies above chance level."""
    return [
        f"{name} {measure}"
        for name, estimates in family.items()
        for measure, estimate in estimates.items()
        if estimate.low > guessing(measure)
    ]


def level_of(*families: Family) -> str:
    """Return the level in words by `RULE`, of the figures of one direction or of both."""
    if not any(map(above_guessing, families)):
        return NONE
    estimates = [each for family in families for each in family.values()]
    for word, (area, times) in (("a large leak", LARGE), ("a clear leak", CLEAR)):
        for measure, estimate in (pair for each in estimates for pair in each.items()):
            rate = measure.startswith("tpr@")
            if estimate.low >= (times * guessing(measure) if rate else area):
                return word
    return "a small leak"


def strongest(family: Family) -> tuple[str, str]:
    """Return the attack, and the measure, that a report names first.

    The measure is the TPR at 1 % FPR, else at 5 %, else the AUC, else the accuracy; the attack the
    one with its largest value, among equals the one with the largest AUC.
    """

    def rank(name: str) -> tuple[float, float]:
        second = family[name].get("auc", family[name][measure])
        return family[name][measure].value, second.value

    for measure in ("tpr@0.01", "tpr@0.05", "auc", "accuracy"):
        able = [name for name, estimates in family.items() if measure in estimates]
        if able:
            return max(able, key=rank), measure
    raise AssertionError("every attack has a measure")


@dataclass(frozen=True, eq=False)
class Other:
    """Another network, the original or a control, attacked as the target was; ``how`` says how."""

    name: str
    answers: Answers
    how: str
    verdicts: dict[str, AttackOutput]
    of_target: dict[str, AttackOutput]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The target's answers, and what each attack said of them.

    Attributes
    ----------
    target, shadow : as they were read; ``shadow`` None: the attacks were cross-fitted.
    verdicts, left_out : by attack; why others were not carried out.
    warnings : why its numbers may mislead.
    """

    target: Answers
    shadow: Answers | None
    verdicts: dict[str, AttackOutput]
    left_out: dict[str, str]
    delta: float
    seed: int
    command: str
    warnings: list[str] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)

    @cached_property
    def evaluations(self) -> dict[str, Evaluation]:
        """Each attack's figures, each with an interval of its own."""
        return {
            name: evaluate(self.membership, v.scores, v.predictions, ranks=v.ranks)
            for name, v in self.verdicts.items()
        }

    @cached_property
    def _figures(self) -> tuple[Family, float]:
        return simultaneous(self.verdicts, self.membership)

    @property
    def family(self) -> Family:
        """The figures that decide on the level."""
        return self._figures[0]

    @property
    def confidence_each(self) -> float:
        """The confidence of each interval of these figures by itself."""
        return self._figures[1]

    @cached_property
    def turned(self) -> Family:
        """The same of the scores turned round."""
        return simultaneous(self.verdicts, self.membership, turned=True)[0]

    @property
    def signals(self) -> Signals:
        """The target's answers."""
        return self.target.signals

    @property
    def membership(self) -> Bools:
        """Who is a member, shape (n,)."""
        return self.target.signals.require_membership()

    @property
    def above(self) -> list[str]:
        """The figures whose interval lies above chance level."""
        return above_guessing(self.family)

    @cached_property
    def below(self) -> list[str]:
        """The figures whose interval lies below chance level, or above it once turned round."""
        turned = [
            f"{figure} turned round" if "tpr@" in figure else figure
            for figure in above_guessing(self.turned)
        ]
        known = {figure.partition(" ")[0] for figure in turned}
        return turned + [
            f"{name} {measure}"
            for name in sorted(self.family.keys() - known)
            for measure, estimate in self.family[name].items()
            if estimate.high < guessing(measure) and not self.tied(name, measure)
        ]

    @property
    def level(self) -> str:
        """The level in words, by `RULE`."""
        found = level_of(self.family, self.turned)
        return "a small leak" if found == NONE and self.below else found

    @property
    def sign(self) -> int:
        """-1 where members are told by low scores alone, else 1."""
        return -1 if above_guessing(self.turned) and not self.above else 1

    def tied(self, name: str, measure: str) -> bool:
        """Return whether ties keep an attack from accusing as many non-members as it may."""
        if not measure.startswith("tpr@"):
            return False
        fpr, nonmembers = guessing(measure), int((~self.membership).sum())
        found = point(self.verdicts[name].scores, self.membership, fpr)
        allowed = intervals.false_positives_allowed(nonmembers, fpr)
        return found is not None and found.alarms < allowed

    def at_once(self, measure: str, *, turned: bool = False) -> dict[str, Estimate]:
        """Return a measure by attack, or turned round; its intervals hold all at once."""
        if measure != "accuracy":
            family = self.turned if turned else self.family
            return {name: e[measure] for name, e in family.items() if measure in e}
        level = 1 - (1 - LEVEL) / len(self.verdicts)
        return {
            name: balanced_accuracy(v.predictions != turned, self.membership, level)
            for name, v in self.verdicts.items()
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

    ``others``: for each name the answers to the target's samples, and its own shadows' (or None).
    UsageError, before any attack, where sizes or samples disagree or an option is not allowed.
    """
    if not 0 <= delta < 1:
        raise UsageError(f"delta: {delta:g} is not allowed; allowed: 0 or more, less than 1")
    _require_alike(target, shadow, others)
    given = [target, target.reference, shadow, *(each for pair in others.values() for each in pair)]
    told = [text for each in given if each is not None for text in each.warnings]
    repeated, identical = fitting.copies(target.signals)
    told += _told_of(target, repeated, identical)
    for answers in (target, shadow):
        told += [] if answers is None else _told_of_labels(answers)
    if repeated.any():
        target = target.subset(~repeated)
        others = {name: (one.subset(~repeated), its) for name, (one, its) in others.items()}
    counts = int(target.signals.require_membership().sum()), len(target.ids)
    if min(counts[0], counts[1] - counts[0]) < FEWEST:
        raise UsageError(
            f"{target.name}: {counts[0]} members and {counts[1] - counts[0]} non-members once "
            f"copies are left out; allowed: {FEWEST} or more"
        )
    names, left_out = fitting.chosen(attacks, target.signals)
    if shadow is not None and shadow.signals.sensitivities is None:
        needy = [name for name in names if ATTACKS[name].needs_sensitivity]
        left_out |= dict.fromkeys(needy, f"it needs sensitivities, which {shadow.name} has not")
        names = [name for name in names if name not in needy]
    learned_from = None if shadow is None else shadow.signals
    samples = _samples(target)
    outputs = fitting.carry_out(names, target.signals, learned_from, seed, tell, samples)
    evidence = Evidence(
        target, shadow, outputs, left_out, delta, seed, command, list(dict.fromkeys(told))
    )
    evidence.warnings.extend(_told_of_direction(evidence))
    for name, (answers, its_shadow) in others.items():
        evidence.others.append(_compared(name, answers, its_shadow, evidence, tell))
    return evidence


def _samples(target: Answers) -> np.ndarray | None:
    """Return which sample each row is of, by id, where several networks answered them."""
    names, samples = np.unique(target.ids, return_inverse=True)
    return samples if len(names) < len(samples) else None


def _compared(
    name: str, answers: Answers, its_shadow: Answers | None, evidence: Evidence, tell: Tell
) -> Other:
    """Attack another network as the target was: both by shadows of their own, or cross-fitted."""
    names = [
        each
        for each in evidence.verdicts
        if (answers.signals.sensitivities is not None or not ATTACKS[each].needs_sensitivity)
        and (answers.signals.references is not None or not ATTACKS[each].needs_references)
    ]
    tell(f"the same attacks on {name}")
    by_shadows = evidence.shadow is not None and its_shadow is not None
    learned_from = its_shadow.signals if by_shadows and its_shadow is not None else None
    samples = _samples(answers)
    own = fitting.carry_out(names, answers.signals, learned_from, evidence.seed, tell, samples)
    if by_shadows or evidence.shadow is None:
        how = "shadow" if by_shadows else "cross-fitting"
        return Other(name, answers, how, own, evidence.verdicts)
    again = fitting.carry_out(names, evidence.signals, None, evidence.seed, tell, samples)
    return Other(name, answers, "cross-fitting", own, again)


def _require_alike(
    target: Answers,
    shadow: Answers | None,
    others: Mapping[str, tuple[Answers, Answers | None]],
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


def _told_of(target: Answers, repeated: Bools, identical: int) -> list[str]:
    """Return what is unusual in the answers, before any attack."""
    signals, n = target.signals, len(target.ids)
    told = []
    if repeated.any():
        told.append(
            f"{target.name}: {int(repeated.sum()):,} of {n:,} rows repeat another row's label, "
            "membership and answers to the last digit. They are taken for the same samples, each "
            "counted once; leave them out, or copies would pass for independent samples"
        )
    elif identical > MANY * n:
        told.append(
            f"{target.name}: {identical:,} of {n:,} rows have the same label and answers as "
            "another: the answers take few values, as those of a tree do, or were rounded. Tied "
            "scores hide leaks at low false-positive rates, and copies of a sample would not be "
            "recognized: give answers with all their digits, each sample once"
        )
    certain = float((signals.posteriors.max(axis=1) >= 1).mean())
    if certain >= MANY and signals.logits is None:
        told.append(
            f"{target.name}: {100 * certain:.0f} % of the largest posteriors are exactly 1, so "
            "their differences are rounded away and the leak is at least what is found: give "
            "logits (columns logit0 …, or pm.Signals.from_logits)"
        )
    known = any(PROBABILITIES in text for text in target.warnings)
    if signals.logits is not None and not known and are_probabilities(signals.logits):
        told.append(f"{target.name}: {PROBABILITIES}")
    return told


def _told_of_labels(answers: Answers) -> list[str]:
    """Return whether the network agrees far more often with the labels one lower, or one higher."""
    signals = answers.signals
    ahead = signals.posteriors.argmax(axis=1) - signals.labels
    given = float((ahead == 0).mean())
    told = []
    lower = -1, "lower: do they count from 1?"
    higher = 1, "higher: has the network a class before them?"
    for shift, words in (lower, higher):
        moved = float((ahead == shift).mean())
        by_chance = 3 * ((moved + given) / len(ahead)) ** 0.5
        ends = signals.labels.min() + shift, signals.labels.max() + shift
        if ends[0] >= 0 and ends[1] < signals.classes and moved > given + max(MANY, by_chance):
            told.append(
                f"{answers.name}: the network agrees with {100 * given:.0f} % of the labels, and "
                f"with {100 * moved:.0f} % if each is one {words} Attacks that look at the labels "
                f"are then wrong: give 0 to {signals.classes - 1}, as the network numbers them"
            )
    return told


def _told_of_direction(evidence: Evidence) -> list[str]:
    if not evidence.below:
        return []
    return [
        f"{evidence.target.name}: members score below chance level ({', '.join(evidence.below)}): "
        "are the membership flags right (1 for training samples), and the labels? Whoever turns "
        "the scores round tells members apart, so this counts as a leak"
    ]
