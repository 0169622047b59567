"""The sentences of a report, in words that its numbers choose."""

from __future__ import annotations

import math

from prunemia.audit.evidence import Evidence
from prunemia.audit.measuring import guessing, point
from prunemia.metrics import FPRS, Estimate
from prunemia.metrics.intervals import alarms_allowed

LIMITS = (
    "It judges these attacks. A stronger one may find more: no leak found is no proof that there "
    "is none.",
    "It says something of members like these. If members and non-members were not drawn from one "
    "pool (another time, place or source), attacks tell the sources apart, and the leak is "
    "overstated; that cannot be seen from the answers.",
    "Its intervals cover the drawing of the samples, not another training of the network: a "
    "second network, trained in the same way, may leak more or less.",
    "It sees what a query answers. Whoever has the weights, or asks many times, can know more.",
    "A member who is not among the samples here is not judged.",
)
NEEDED = 50
"""Non-members beyond a threshold that make a rate precise, not only measurable."""


def sentence(evidence: Evidence, name: str, measure: str) -> str:
    """Return the report's first sentence: how many members the strongest attack names."""
    estimate = evidence.family[name][measure]
    members = int(evidence.membership.sum())
    if not measure.startswith("tpr@"):
        what = "AUC" if measure == "auc" else "balanced accuracy"
        return (
            f"Of {members:,} members and {len(evidence.membership) - members:,} non-members, the "
            f"strongest attack ({name}) tells one from the other with {what} "
            f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]; guessing: 0.5."
        )
    fpr = guessing(measure)
    found = point(evidence.verdicts[name].scores, evidence.membership, fpr)
    assert found is not None
    guess = f"{100 * fpr:g} %"
    return (
        f"Of {members:,} members, the strongest attack ({name}) names {found.found:,} at a cost of "
        f"{guess} false accusations ({percent(estimate)}; guessing: {guess})."
    )


def percent(estimate: Estimate) -> str:
    """Return a rate with its interval, in per cent."""
    value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def auditor(evidence: Evidence) -> str:
    """Return who attacks, and how that auditor compares with an adversary."""
    compared = references(evidence)
    if evidence.shadow is None:
        return (
            "The attacks were fitted on one half of the target's own samples and judged on the "
            "other, and the other way round. So this auditor knows who is a member of half of the "
            "training set, and is stronger than most adversaries, who have to train shadow "
            f"networks and guess.{compared}"
        )
    networks = len(set(evidence.shadow.signals.model.tolist()))  # type: ignore[union-attr]
    plural = "network" if networks == 1 else "networks"
    return (
        f"The attacks were fitted on the answers of {networks} shadow {plural}, whose members "
        "the adversary knows, and judged on the target, whose members they were not told."
        f"{compared}"
    )


def references(evidence: Evidence) -> str:
    """Return what is said of reference networks; "" where there are none."""
    signals = evidence.signals
    if signals.references is None:
        return ""
    some, none = "some of which trained on each sample", "none of which trained on them"
    trained = some if signals.online else none
    return (
        f" lira and rmia compare with {signals.references.shape[1]} reference networks' answers to "
        f"the same samples, {trained}; their thresholds come from the target's other half."
    )


def unmeasurable(evidence: Evidence) -> list[dict[str, str]]:
    """Return what could not be measured at this size, and what would make it measurable."""
    nonmembers = int((~evidence.membership).sum())
    rows = []
    for fpr in FPRS:
        name = f"true-positive rate at {100 * fpr:g} % false accusations"
        least, precise = math.ceil(1 / fpr), math.ceil(NEEDED / fpr)
        if nonmembers < least:
            needs = f"{least:,} non-members; {precise:,} for a narrow interval"
            rows.append({"what": name, "why": f"{nonmembers:,} non-members", "needs": needs})
        elif nonmembers < precise:
            why = f"{nonmembers:,} non-members allow {alarms_allowed(nonmembers, fpr)} only"
            needs = f"{precise:,} non-members for a narrow interval"
            rows.append({"what": f"{name}, precisely", "why": why, "needs": needs})
    for name, why in evidence.left_out.items():
        needs = f"--attacks {name}"
        if "sensitivities" in why:
            needs = "their numbers"
        elif "reference" in why:
            needs = "--reference, several networks' answers to the same samples"
        rows.append({"what": f"the attack {name}", "why": why, "needs": needs})
    return rows
