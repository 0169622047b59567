"""What an audit's numbers say: simultaneous intervals, a level, and why they may mislead."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from prunemia.audit.answers import Answers
from prunemia.audit.fitting import AttackOutput
from prunemia.checks import PROBABILITIES, are_probabilities
from prunemia.metrics import FPRS, LEVEL, Estimate, Evaluation, evaluate, intervals
from prunemia.metrics.intervals import Bools, Floats

Family = dict[tuple[str, str], Estimate]  # by attack and measure; the intervals hold all at once
NONE = "no leak found"
LARGE = (0.75, 10)  # the least AUC, and multiple of chance level's TPR, of a large leak
CLEAR = (0.6, 3)  # and of a clear one
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


class Point(NamedTuple):
    """Where an attack decides: above which score, how many lie there, and the FPR of that."""

    threshold: float
    found: int
    alarms: int
    fpr: float


def point(scores: Floats, membership: Bools, fpr: float) -> Point | None:
    """Return that of `intervals.tpr_at`; None where there are too few non-members."""
    threshold = intervals.threshold_at(scores[~membership], fpr)
    if threshold is None:
        return None
    found, alarms = (scores[side] > threshold for side in (membership, ~membership))
    return Point(threshold, int(found.sum()), int(alarms.sum()), float(alarms.mean()))


def simultaneous(outputs: Mapping[str, AttackOutput], membership: Bools) -> Family:
    """Return the figures that decide on the level."""
    n0 = int((~membership).sum())
    measurable = [fpr for fpr in FPRS if intervals.false_positives_allowed(n0, fpr) >= 1]
    figures = sum(1 + len(measurable) * output.ranks for output in outputs.values())
    level = 1 - (1 - LEVEL) / figures
    family: Family = {}
    for name, output in outputs.items():
        if not output.ranks:
            family[name, "accuracy"] = balanced_accuracy(output.predictions, membership, level)
            continue
        sides = output.scores[membership], output.scores[~membership]
        family[name, "auc"] = intervals.auc(*sides, level)
        for fpr in measurable:
            family[name, f"tpr@{fpr:g}"] = intervals.tpr_at(*sides, fpr, level)
    return family


def balanced_accuracy(predictions: Bools, membership: Bools, level: float) -> Estimate:
    """Return ½(TPR + TNR) of decisions, with an interval of that level."""
    sides = predictions[membership], ~predictions[~membership]
    return intervals.mean_of_rates([(int(side.sum()), len(side)) for side in sides], level)


def guessing(measure: str) -> float:
    """Return chance level: for a TPR at an FPR that FPR, one half for the others."""
    return float(measure.removeprefix("tpr@")) if measure.startswith("tpr@") else 0.5


def above_guessing(family: Family) -> list[str]:
    """Return the figures ("conf auc") whose interval lies above chance level."""
    return [f"{name} {of}" for (name, of), each in family.items() if each.low > guessing(of)]


def level_of(*families: Family) -> str:
    """Return the level in words by `RULE`, of the figures of one direction or of both."""
    if not any(map(above_guessing, families)):
        return NONE
    lows = [(measure, each.low) for family in families for (_, measure), each in family.items()]
    for word, (area, times) in (("a large leak", LARGE), ("a clear leak", CLEAR)):
        if any(low >= (times * guessing(of) if "tpr@" in of else area) for of, low in lows):
            return word
    return "a small leak"


def strongest(family: Family) -> tuple[str, str]:
    """Return the attack, and the measure, that a report names first; among equals, by the AUC."""
    present = {measure for _, measure in family}
    first = next(m for m in ("tpr@0.01", "tpr@0.05", "auc", "accuracy") if m in present)
    names = [name for name, measure in family if measure == first]
    tie = "accuracy" if first == "accuracy" else "auc"
    return max(names, key=lambda name: (family[name, first].value, family[name, tie].value)), first


class Other(NamedTuple):
    """Another network, the original or a control, attacked as the target was; ``how`` says how."""

    name: str
    answers: Answers
    how: str
    verdicts: dict[str, AttackOutput]
    of_target: dict[str, AttackOutput]


@dataclass(frozen=True, eq=False, repr=False)
class Findings:
    """What each attack says of a network's answers, why others are left out, and what follows.

    ``shadow`` None: the attacks were cross-fitted. ``inputs``: the names of all answers, with a
    hash of the values read. ``warnings``: why the numbers may mislead.
    """

    target: Answers
    shadow: Answers | None
    verdicts: dict[str, AttackOutput]
    left_out: dict[str, str]
    others: list[Other]
    inputs: list[dict[str, str]]
    warnings: list[str]
    delta: float
    seed: int
    command: str

    @property
    def membership(self) -> Bools:
        """Who is a member, shape (n,)."""
        return self.target.signals.require_membership()

    @cached_property
    def evaluations(self) -> dict[str, Evaluation]:
        """Each attack's figures, each with an interval of its own."""
        return {
            name: evaluate(self.membership, v.scores, v.predictions, ranks=v.ranks)
            for name, v in self.verdicts.items()
        }

    @cached_property
    def family(self) -> Family:
        """The figures that decide on the level; their intervals hold all at once."""
        return simultaneous(self.verdicts, self.membership)

    @cached_property
    def turned(self) -> Family:
        """The same of the scores turned round."""
        return simultaneous(self.turned_verdicts, self.membership)

    @property
    def turned_verdicts(self) -> dict[str, AttackOutput]:
        """What each attack says turned round, by which members score low."""
        return {name: output.turned for name, output in self.verdicts.items()}

    @property
    def upside_down(self) -> bool:
        """Whether members are told by low scores alone."""
        return bool(above_guessing(self.turned)) and not self.above

    @property
    def above(self) -> list[str]:
        """The figures whose interval lies above chance level."""
        return above_guessing(self.family)

    @cached_property
    def below(self) -> list[str]:
        """The figures whose interval lies below chance level, or above it once turned round."""
        above = above_guessing(self.turned)
        turned = [f"{each} turned round" if "tpr@" in each else each for each in above]
        known = {each.partition(" ")[0] for each in above}
        return turned + [
            f"{name} {measure}"
            for name, measure in sorted(self.family, key=lambda figure: figure[0])
            if name not in known
            and self.family[name, measure].high < guessing(measure)
            and not self.tied(name, measure)
        ]

    def tied(self, name: str, measure: str) -> bool:
        """Return whether ties keep an attack from accusing as many non-members as a rate allows."""
        fpr, nonmembers = guessing(measure), int((~self.membership).sum())
        found = point(self.verdicts[name].scores, self.membership, fpr)
        allowed = intervals.false_positives_allowed(nonmembers, fpr)
        return found is not None and found.alarms < allowed

    @property
    def level(self) -> str:
        """The level in words: no leak found, a small, a clear or a large leak."""
        found = level_of(self.family, self.turned)
        return "a small leak" if found == NONE and self.below else found


def copies(target: Answers) -> tuple[Bools, list[str]]:
    """Return which rows repeat an earlier one of the same sample, shape (n,), and what to tell.

    Answers with all their digits do not coincide by chance: such rows are of one sample, unless the
    answers take few values altogether (a tree's), so that others share their second posterior, too.
    """
    signals, n = target.signals, len(target.ids)
    p = signals.posteriors.astype(np.float64)
    table = np.column_stack([np.asarray(signals.model), signals.labels, p]) + 0.0  # -0 is 0
    group = pd.factorize(np.array([row.tobytes() for row in table], dtype=object))[0]
    rows = pd.DataFrame({"group": group, "member": signals.require_membership()})
    rows["second"] = np.partition(p, -2, axis=1)[:, -2]
    telling = rows["second"] > 0
    shares = rows[telling].drop_duplicates("group")["second"].value_counts()
    repeated = (telling & rows.duplicated(["group", "member"])).to_numpy()
    identical = int(rows.duplicated("group", keep=False).sum())
    if (shares > 1).sum() <= 0.05 * len(shares) and repeated.any():
        return repeated, [
            f"{target.name}: {int(repeated.sum()):,} of {n:,} rows repeat another row's label, "
            "membership and answers to the last digit. They are taken for the same samples, each "
            "counted once; leave them out, or copies would pass for independent samples"
        ]
    told = [
        f"{target.name}: {identical:,} of {n:,} rows have the same label and answers as another: "
        "the answers take few values, as those of a tree do, or were rounded. Tied scores hide "
        "leaks at low false-positive rates, and copies of a sample would not be recognized: give "
        "answers with all their digits, each sample once"
    ]
    return np.zeros(n, dtype=bool), told if identical > MANY * n else []


def saturation(target: Answers) -> list[str]:
    """Tell of posteriors that are rounded to 1, and of logits that are probabilities."""
    signals, told = target.signals, []
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


def shifted_labels(answers: Answers) -> list[str]:
    """Tell where the network agrees far more often with the labels one lower, or one higher."""
    signals = answers.signals
    ahead = signals.posteriors.argmax(axis=1) - signals.labels
    given = float((ahead == 0).mean())
    told = []
    shifts = {-1: "lower: do they count from 1?", 1: "higher: has the network a class before them?"}
    for shift, words in shifts.items():
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
