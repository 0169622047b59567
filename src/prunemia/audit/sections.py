"""The report's sections, in order: each computes its part of the record from the evidence.

A section is an entry of `SECTIONS` and a template ``templates/NAME.html`` (CONTRIBUTING says how to
add one). What it returns is JSON: the record, the HTML and whoever reads the record see the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from prunemia.audit import epsilon, made, words
from prunemia.audit.evidence import Evidence
from prunemia.audit.measuring import (
    RULE,
    level_of,
    point,
    strongest,
)
from prunemia.metrics import FPRS, by_class, compare, holm
from prunemia.signals import Signals

EXPOSED = 20
"""How many of the most exposed members are named."""
AGREES = 0.01
"""The false-positive rate at which an attack counts as agreeing that a sample is a member."""


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes
    ----------
    name : its key in the record, and its template.
    title : its heading; "" where it has none.
    compute : from the evidence to JSON values.
    """

    name: str
    title: str
    compute: Callable[[Evidence], Any]


def summary(evidence: Evidence) -> dict[str, Any]:
    """Return the one sentence, the level, and the rule that it follows."""
    level, reasons = level_of(evidence.family)
    name, measure = strongest(evidence.family)
    estimate = evidence.family[name][measure]
    figures = sum(map(len, evidence.family.values()))
    return {
        "level": level,
        "sentence": words.sentence(evidence, name, measure),
        "rule": RULE,
        "above_guessing": reasons,
        "figures": figures,
        "confidence_each": evidence.confidence,
        "strongest": {"attack": name, "measure": measure, **estimate.to_dict()},
    }


def setting(evidence: Evidence) -> dict[str, Any]:
    """Return what was audited, by which kind of auditor."""
    shadow = None if evidence.shadow is None else evidence.shadow
    return {
        "target": _about(evidence.target.name, evidence.signals),
        "fitted_on": "cross-fitting" if shadow is None else "shadow",
        "shadow": None if shadow is None else _about(shadow.name, shadow.signals),
        "auditor": words.auditor(evidence),
    }


def attacks(evidence: Evidence) -> list[dict[str, Any]]:
    """Return each attack with its intervals, and where it decides at each false-positive rate."""
    member = evidence.membership
    rows = []
    for name, verdict in evidence.verdicts.items():
        estimates = evidence.evaluations[name].estimates()
        points = {}
        for fpr in FPRS if verdict.ranks else ():
            if found := point(verdict.scores, member, fpr):
                points[f"tpr@{fpr:g}"] = asdict(found)
        rows.append(
            {
                "attack": name,
                "ranks": verdict.ranks,
                "estimates": {key: e.to_dict() for key, e in estimates.items()},
                "simultaneous": {k: e.to_dict() for k, e in evidence.family[name].items()},
                "points": points,
            }
        )
    return rows


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
    """Return the members that the strongest attack ranks highest, and which attacks agree."""
    name, _ = strongest(evidence.family)
    scores, member = evidence.verdicts[name].scores, evidence.membership
    accusers = accused(evidence)
    order = np.argsort(-scores, kind="stable")
    rows = [
        {
            "id": str(evidence.target.ids[i]),
            "label": int(evidence.signals.labels[i]),
            "score": float(scores[i]),
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


def accused(evidence: Evidence) -> dict[str, Any]:
    """Return for each attack that ranks whom it accuses at 1 % FPR, shape (n,)."""
    found = {
        name: point(verdict.scores, evidence.membership, AGREES)
        for name, verdict in evidence.verdicts.items()
        if verdict.ranks
    }
    return {n: evidence.verdicts[n].scores > p.threshold for n, p in found.items() if p}


def bound(evidence: Evidence) -> dict[str, Any]:
    """Return the empirical lower bound on ε."""
    return epsilon.bound(evidence.verdicts, evidence.membership, evidence.delta).to_dict()


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


def _differences(evidence: Evidence, other: Any) -> list[dict[str, Any]]:
    rows = []
    for name, verdict in other.verdicts.items():
        mine = other.of_target[name]
        pair = [(v.scores, v.predictions) for v in (mine, verdict)]
        found = compare(evidence.membership, *pair, ranks=verdict.ranks)
        rows.append(
            {
                "attack": name,
                "accuracy": found.accuracy.to_dict(),
                "accuracy_p": found.accuracy_p,
                "auc": found.auc.to_dict(),
                "auc_p": None if math.isnan(found.auc_p) else found.auc_p,
            }
        )
    for key in ("accuracy_p", "auc_p"):  # Holm, over the attacks
        known = [row for row in rows if row[key] is not None]
        if known:
            corrected = holm([row[key] for row in known])
            for row, p in zip(known, corrected, strict=True):
                row[key] = float(p)
    return rows


def unmeasurable(evidence: Evidence) -> list[dict[str, str]]:
    """Return what could not be measured, and what would make it so."""
    return words.unmeasurable(evidence)


def _about(name: str, signals: Signals) -> dict[str, Any]:
    members = int(signals.require_membership().sum())
    assert signals.model is not None
    return {
        "name": name,
        "samples": len(signals),
        "members": members,
        "nonmembers": len(signals) - members,
        "classes": signals.classes,
        "networks": len(np.unique(signals.model)),
        "sensitivities": signals.sensitivities is not None,
        "references": 0 if signals.references is None else signals.references.shape[1],
        "accuracy": _accuracies(signals),
    }


def _accuracies(signals: Signals) -> dict[str, float]:
    """Return the share that the network classifies right, of members and of non-members."""
    right = signals.posteriors.argmax(axis=1) == signals.labels
    member = signals.require_membership()
    return {"members": float(right[member].mean()), "nonmembers": float(right[~member].mean())}


SECTIONS = (
    Section("summary", "", summary),
    Section("setting", "What was audited", setting),
    Section("attacks", "Each attack", attacks),
    Section("classes", "Class by class", classes),
    Section("exposed", "The most exposed members", exposed),
    Section("epsilon", "A lower bound on ε", bound),
    Section("paired", "Against other networks, on the same samples", paired),
    Section("unmeasurable", "What could not be measured", unmeasurable),
    Section("limits", "What such a test cannot say", lambda _: list(words.LIMITS)),
    Section("made", "How this was made", made.record),
)
