"""The report: its sections as JSON values, in words that the numbers choose.

A section is an entry of `SECTIONS` and a part of ``report.html`` (CONTRIBUTING says how to add
one). The record, the HTML and whoever reads the record see the same.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from prunemia.audit import epsilon
from prunemia.audit.evidence import (
    RULE,
    Evidence,
    Other,
    guessing,
    point,
    strongest,
)
from prunemia.metrics import FPRS, Estimate, by_class, compare, holm
from prunemia.metrics.intervals import false_positives_allowed
from prunemia.signals import Signals

EXPOSED = 20
"""How many of the most exposed members are named."""
AGREES = 0.01
"""The false-positive rate at which an attack counts as agreeing that a sample is a member."""
NEEDED = 50
"""Non-members beyond a threshold that make a rate precise, not only measurable."""
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "＝", "＋", "－", "＠")
"""What a spreadsheet takes a cell for a formula by (OWASP, CSV injection), full-width forms too."""
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


def summary(evidence: Evidence) -> dict[str, Any]:
    """Return the one sentence, the level, and the rule that it follows."""
    name, measure = strongest(evidence.family)
    if evidence.sign < 0:  # the AUC, or accuracy, that lies farthest below chance level
        firsts = {n: next(iter(each.items())) for n, each in evidence.turned.items()}
        name = max(firsts, key=lambda each: firsts[each][1].low)
        measure = firsts[name][0]
    return {
        "level": evidence.level,
        "sentence": sentence(evidence, name, measure),
        "rule": RULE,
        "above_guessing": evidence.above,
        "below_guessing": evidence.below,
        "figures": sum(map(len, evidence.family.values())),
        "confidence_each": evidence.confidence_each,
        "strongest": {
            "attack": name,
            "measure": measure,
            **evidence.family[name][measure].to_dict(),
        },
    }


def sentence(evidence: Evidence, name: str, measure: str) -> str:
    """Return a report's first sentence: what an attack finds, above, around or below chance."""
    estimate = evidence.family[name][measure]
    chance = guessing(measure)
    members = int(evidence.membership.sum())
    if not measure.startswith("tpr@"):
        figure = "an AUC" if measure == "auc" else "a balanced accuracy"
        said = (
            f"The strongest attack ({name}) tells {members:,} members from "
            f"{len(evidence.membership) - members:,} non-members with {figure} of "
            f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}] (chance level: 0.5)."
        )
        if estimate.high >= chance:
            return said
        return (
            f"{said} This interval lies below chance level: members score lower than non-members. "
            f"Turned round, it is {1 - estimate.value:.3f}. Are the membership flags and the "
            "labels right?"
        )
    found = point(evidence.verdicts[name].scores, evidence.membership, chance)
    assert found is not None
    percent = f"{100 * chance:g} %"
    counts = f"{found.found:,} of {members:,} members at a false-positive rate of {percent}"
    if estimate.low > chance:
        return (
            f"The strongest attack ({name}) identifies {counts}: {estimate.percent}, where chance "
            f"level is {percent}."
        )
    said = f"The strongest attack ({name}) accuses {counts}: {estimate.percent}. This interval "
    unshown = "so it is not shown that single members can be identified."
    if estimate.high >= chance:
        return f"{said}includes chance level, {percent}, {unshown}"
    if evidence.tied(name, measure):
        return (
            f"{said}lies below chance level, {percent}, because tied scores let it accuse only "
            f"{found.alarms:,} non-members, {unshown}"
        )
    return (
        f"{said}lies below chance level, {percent}: members are rarer among the highest scores "
        "than non-members. Are the membership flags and the labels right?"
    )


def setting(evidence: Evidence) -> dict[str, Any]:
    """Return what was audited, by which kind of auditor."""
    shadow = evidence.shadow
    return {
        "target": _about(evidence.target.name, evidence.signals),
        "fitted_on": "cross-fitting" if shadow is None else "shadow",
        "shadow": None if shadow is None else _about(shadow.name, shadow.signals),
        "auditor": _auditor(evidence),
    }


def _about(name: str, signals: Signals) -> dict[str, Any]:
    members = int(signals.require_membership().sum())
    return {
        "name": name,
        "samples": len(signals),
        "members": members,
        "nonmembers": len(signals) - members,
        "classes": signals.classes,
        "networks": len(np.unique(np.asarray(signals.model))),
        "sensitivities": signals.sensitivities is not None,
        "references": 0 if signals.references is None else signals.references.shape[1],
        "accuracy": _accuracies(signals),
    }


def _accuracies(signals: Signals) -> dict[str, float]:
    """Return the share that the network classifies right, of members and of non-members."""
    right = signals.posteriors.argmax(axis=1) == signals.labels
    member = signals.require_membership()
    return {"members": float(right[member].mean()), "nonmembers": float(right[~member].mean())}


def _auditor(evidence: Evidence) -> str:
    """Return who attacks, and how that auditor compares with an adversary."""
    signals = evidence.signals
    compared = ""
    if signals.references is not None:
        some = "Each sample was trained on by some of these networks"
        none = "None of these networks trained on any of the samples"
        compared = (
            f" The attacks lira and rmia compare the target with {signals.references.shape[1]} "
            f"reference networks that answered the same samples. "
            f"{some if signals.online else none}. "
            "The thresholds of the two attacks come from the target's other half."
        )
    if evidence.shadow is None:
        return (
            "The attacks were fitted on each half of the target's own samples and judged on the "
            "other half. This auditor knows the membership of half of the samples in advance. Most "
            "adversaries do not know it and have to train shadow networks instead, so they are "
            f"weaker.{compared}"
        )
    networks = len(np.unique(np.asarray(evidence.shadow.signals.model)))
    plural = "network" if networks == 1 else "networks"
    return (
        f"The attacks were fitted on the answers of {networks} shadow {plural}, whose members the "
        "adversary knows. They were then judged on the target, whose members they were not told."
        f"{compared}"
    )


def attacks(evidence: Evidence) -> list[dict[str, Any]]:
    """Return each attack with its intervals, and where it decides at each false-positive rate."""
    return [
        {
            "attack": name,
            "ranks": output.ranks,
            "estimates": _dicts(evidence.evaluations[name].estimates()),
            "simultaneous": _dicts(evidence.family[name]),
            "points": {
                f"tpr@{fpr:g}": asdict(found)
                for fpr in (FPRS if output.ranks else ())
                if (found := point(output.scores, evidence.membership, fpr))
            },
        }
        for name, output in evidence.verdicts.items()
    ]


def _dicts(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_dict() for name, estimate in estimates.items()}


def classes(evidence: Evidence) -> dict[str, Any]:
    """Return the strongest attack's balanced accuracy, class by class."""
    name, _ = strongest(evidence.family)
    predictions = evidence.verdicts[name].predictions
    table = by_class(evidence.membership, predictions, evidence.signals.labels).reset_index()
    rows = [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        for row in table.to_dict("records")
    ]
    return {"attack": name, "classes": rows}


def exposed(evidence: Evidence) -> dict[str, Any]:
    """Return the members that the strongest attack ranks highest, and which attacks agree.

    Where members score below chance level, the scores are turned round.
    """
    name, _ = strongest(evidence.family if evidence.sign > 0 else evidence.turned)
    member = evidence.membership
    scores = {n: evidence.sign * v.scores for n, v in evidence.verdicts.items() if v.ranks}
    points = {n: point(each, member, AGREES) for n, each in scores.items()}
    accusers = {n: scores[n] > found.threshold for n, found in points.items() if found}
    mine = evidence.sign * evidence.verdicts[name].scores
    order = np.argsort(-mine, kind="stable")
    rows = [
        {
            "id": str(evidence.target.ids[i]),
            "label": int(evidence.signals.labels[i]),
            "score": float(mine[i]),
            "agree": [each for each, flags in accusers.items() if flags[i]],
        }
        for i in order[member[order]][:EXPOSED]
    ]
    return {
        "attack": name,
        "at_fpr": AGREES,
        "attacks": list(accusers),
        "members_among_highest": int(member[order[:EXPOSED]].sum()),
        "highest": min(EXPOSED, len(order)),
        "samples": rows,
    }


def paired(evidence: Evidence) -> list[dict[str, Any]]:
    """Return the target minus each other network, attack by attack, on the same samples."""
    return [
        {
            "network": other.name,
            "fitted_on": other.how,
            "accuracy": _accuracies(other.answers.signals),
            "attacks": _differences(evidence, other),
        }
        for other in evidence.others
    ]


def _differences(evidence: Evidence, other: Other) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, output in other.verdicts.items():
        pair = [(v.scores, v.predictions) for v in (other.of_target[name], output)]
        found = compare(evidence.membership, *pair, ranks=output.ranks)
        row = {"attack": name, **_dicts({"accuracy": found.accuracy, "auc": found.auc})}
        row["accuracy_p"] = found.accuracy_p
        row["auc_p"] = None if math.isnan(found.auc_p) else found.auc_p
        rows.append(row)
    for key in ("accuracy_p", "auc_p"):  # Holm, over the attacks
        known = [row for row in rows if row[key] is not None]
        corrected = holm([row[key] for row in known]) if known else ()
        for row, p in zip(known, corrected, strict=True):
            row[key] = float(p)
    return rows


def unmeasurable(evidence: Evidence) -> list[dict[str, str]]:
    """Return what could not be measured at this size, and what would make it measurable."""
    nonmembers = int((~evidence.membership).sum())
    rows = []
    for fpr in FPRS:
        name = f"true-positive rate at a false-positive rate of {100 * fpr:g} %"
        least, precise = math.ceil(1 / fpr), math.ceil(NEEDED / fpr)
        allowed = false_positives_allowed(nonmembers, fpr)
        narrow = f"{precise:,} non-members for a narrow interval"
        if nonmembers < least:
            needs = f"{least:,} non-members; {precise:,} for a narrow interval"
            rows.append((name, f"there are {nonmembers:,} non-members", needs))
        elif nonmembers < precise:
            why = f"only {allowed} of {nonmembers:,} non-members may be accused"
            rows.append((f"precise {name}", why, narrow))
    hints = {
        "sensitivities": "their numbers",
        "reference": "--reference, several networks' answers to the same samples",
    }
    for name, why in evidence.left_out.items():
        needs = next((hint for word, hint in hints.items() if word in why), f"--attacks {name}")
        rows.append((f"the attack {name}", why, needs))
    return [dict(zip(("what", "why", "needs"), row, strict=True)) for row in rows]


def made(evidence: Evidence) -> dict[str, Any]:
    """Return what another run needs to come to the same record; no date, so equal bytes."""
    target = evidence.target
    others = [other.answers for other in evidence.others]
    inputs = [target, target.reference, evidence.shadow, *others]
    return {
        "versions": {"prunemia": metadata.version("prunemia"), "python": platform.python_version()}
        | {name: metadata.version(name) for name in PACKAGES},
        "inputs": [{"name": a.name, "sha256": a.content} for a in inputs if a is not None],
        "attacks": list(evidence.verdicts),
        "seed": evidence.seed,
        "delta": evidence.delta,
        "command": evidence.command,
    }


SECTIONS: dict[str, Callable[[Evidence], Any]] = {
    "summary": summary,
    "warnings": lambda evidence: evidence.warnings,
    "setting": setting,
    "attacks": attacks,
    "classes": classes,
    "exposed": exposed,
    "epsilon": lambda e: epsilon.bound(e.verdicts, e.membership, e.delta).to_dict(),
    "paired": paired,
    "unmeasurable": unmeasurable,
    "limits": lambda _: list(LIMITS),
    "made": made,
}
"""The parts of a record by name, in the report's order; an empty part is not shown."""


def samples(evidence: Evidence) -> pd.DataFrame:
    """Return one row per sample: id, label, member, model; each attack's score and decision."""
    columns = {
        "id": evidence.target.ids,
        "label": evidence.signals.labels,
        "member": evidence.membership.astype(int),
        "model": evidence.signals.model,
    }
    for name, output in evidence.verdicts.items():
        if output.ranks:
            columns[f"{name} score"] = output.scores
        columns[f"{name} says member"] = output.predictions.astype(int)
    return pd.DataFrame(columns)


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with an apostrophe where it would."""
    plain_number = cell.removeprefix("-").isdecimal() and cell.isascii()
    if not plain_number and cell.lstrip(" \0").startswith(FORMULA):
        return f"'{cell}"
    return cell
