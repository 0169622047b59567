"""The sentences of a report, in words that its numbers choose."""

from __future__ import annotations

import math

from prunemia.audit.evidence import Evidence
from prunemia.audit.measuring import guessing, point
from prunemia.metrics import FPRS
from prunemia.metrics.intervals import false_positives_allowed

LIMITS = (
    "The audit judges these attacks only. A stronger attack may find more, so a report of no leak "
    "does not prove that there is none.",
    "The audit describes members like these. If members and non-members were not drawn from one "
    "pool, but differ in time, place or source, the attacks separate the sources, and the leak is "
    "overstated. The answers cannot show whether this is the case.",
    "The intervals cover the drawing of the samples. They do not cover the training: a second "
    "network that was trained in the same way may leak more or less.",
    "The audit sees the answers to queries. An adversary who has the weights, or who queries the "
    "network many times, may find more.",
    "Members who are not among these samples are not judged.",
)
NEEDED = 50
"""Non-members beyond a threshold that make a rate precise, not only measurable."""


def sentence(evidence: Evidence, name: str, measure: str) -> str:
    """Return the report's first sentence: how many members the strongest attack identifies."""
    estimate = evidence.family[name][measure]
    members = int(evidence.membership.sum())
    if not measure.startswith("tpr@"):
        figure = "an AUC" if measure == "auc" else "a balanced accuracy"
        return (
            f"The strongest attack ({name}) tells {members:,} members from "
            f"{len(evidence.membership) - members:,} non-members with {figure} of "
            f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}] (chance level: 0.5)."
        )
    fpr = guessing(measure)
    found = point(evidence.verdicts[name].scores, evidence.membership, fpr)
    assert found is not None
    chance = f"{100 * fpr:g} %"
    if estimate.low > fpr:
        return (
            f"The strongest attack ({name}) identifies {found.found:,} of {members:,} members at a "
            f"false-positive rate of {chance}: {estimate.percent}, where chance level is {chance}."
        )
    return (
        f"The strongest attack ({name}) accuses {found.found:,} of {members:,} members at a "
        f"false-positive rate of {chance}: {estimate.percent}. This interval includes chance "
        f"level, {chance}, so it is not shown that single members can be identified."
    )


def auditor(evidence: Evidence) -> str:
    """Return who attacks, and how that auditor compares with an adversary."""
    compared = references(evidence)
    if evidence.shadow is None:
        return (
            "The attacks were fitted on each half of the target's own samples and judged on the "
            "other half. This auditor knows the membership of half of the samples in advance. Most "
            "adversaries do not know it and have to train shadow networks instead, so they are "
            f"weaker.{compared}"
        )
    networks = len(set(evidence.shadow.signals.model.tolist()))  # type: ignore[union-attr]
    plural = "network" if networks == 1 else "networks"
    return (
        f"The attacks were fitted on the answers of {networks} shadow {plural}, whose members the "
        "adversary knows. They were then judged on the target, whose members they were not told."
        f"{compared}"
    )


def references(evidence: Evidence) -> str:
    """Return what is said of reference networks; "" where there are none."""
    signals = evidence.signals
    if signals.references is None:
        return ""
    some = "Each sample was trained on by some of these networks"
    none = "None of these networks trained on any of the samples"
    return (
        f" The attacks lira and rmia compare the target with {signals.references.shape[1]} "
        f"reference networks that answered the same samples. {some if signals.online else none}. "
        "The thresholds of the two attacks come from the target's other half."
    )


def unmeasurable(evidence: Evidence) -> list[dict[str, str]]:
    """Return what could not be measured at this size, and what would make it measurable."""
    nonmembers = int((~evidence.membership).sum())
    rows = []
    for fpr in FPRS:
        name = f"true-positive rate at a false-positive rate of {100 * fpr:g} %"
        least, precise = math.ceil(1 / fpr), math.ceil(NEEDED / fpr)
        if nonmembers < least:
            needs = f"{least:,} non-members; {precise:,} for a narrow interval"
            why = f"there are {nonmembers:,} non-members"
            rows.append({"what": name, "why": why, "needs": needs})
        elif nonmembers < precise:
            allowed = false_positives_allowed(nonmembers, fpr)
            why = f"only {allowed} of {nonmembers:,} non-members may be accused"
            needs = f"{precise:,} non-members for a narrow interval"
            rows.append({"what": f"precise {name}", "why": why, "needs": needs})
    for name, why in evidence.left_out.items():
        needs = f"--attacks {name}"
        if "sensitivities" in why:
            needs = "their numbers"
        elif "reference" in why:
            needs = "--reference, several networks' answers to the same samples"
        rows.append({"what": f"the attack {name}", "why": why, "needs": needs})
    return rows
