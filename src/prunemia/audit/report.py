"""The report: one record of JSON values, in words that the numbers choose; and its HTML page."""

import io
import math
import platform
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata, resources
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prunemia import plots
from prunemia.audit import epsilon
from prunemia.audit.evidence import RULE, Findings, Other, guessing, point, strongest
from prunemia.metrics import FPRS, LEVEL, Estimate, by_class, compare, holm
from prunemia.metrics.intervals import false_positives_allowed
from prunemia.registry import ATTACKS
from prunemia.signals import Signals

SCHEMA = 2  # of the record (book/audit.md): raised when its readers have to change
EXPOSED = 20  # how many of the most exposed members are named
AGREES = 0.01  # the false-positive rate at which an attack agrees that a sample is a member
NEEDED = 50  # non-members beyond a threshold that make a rate precise, not only measurable
MOST_CLASSES = 40  # that a figure can tell apart; more are in the table alone
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "＝", "＋", "－", "＠")
"""What a spreadsheet takes a cell for a formula by (OWASP, CSV injection), full-width forms too."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
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


def record(audit: Findings) -> dict[str, Any]:
    """Return the report's sections in order, as JSON values; an empty one is not shown."""
    shadow, (first, _) = audit.shadow, strongest(audit.family)
    labels, accused = audit.target.signals.labels, audit.verdicts[first].predictions
    table = by_class(audit.membership, accused, labels).reset_index().astype(object)
    return {
        "schema": SCHEMA,
        "summary": summary(audit),
        "warnings": audit.warnings,
        "setting": {
            "target": _about(audit.target.name, audit.target.signals),
            "fitted_on": "cross-fitting" if shadow is None else "shadow",
            "shadow": None if shadow is None else _about(shadow.name, shadow.signals),
            "auditor": _auditor(audit),
        },
        "attacks": [
            {
                "attack": name,
                "ranks": output.ranks,
                "estimates": _dicts(audit.evaluations[name].estimates()),
                "simultaneous": _dicts({m: e for (n, m), e in audit.family.items() if n == name}),
                "points": {
                    f"tpr@{fpr:g}": found._asdict()
                    for fpr in (FPRS if output.ranks else ())
                    if (found := point(output.scores, audit.membership, fpr))
                },
            }
            for name, output in audit.verdicts.items()
        ],
        "classes": {
            "attack": first,
            "classes": table.where(table.notna(), None).to_dict("records"),
        },
        "exposed": exposed(audit),
        "epsilon": epsilon.bound(audit.verdicts, audit.membership, audit.delta),
        "paired": [
            {
                "network": other.name,
                "fitted_on": other.how,
                "accuracy": _accuracies(other.answers.signals),
                "attacks": _differences(audit, other),
            }
            for other in audit.others
        ],
        "unmeasurable": unmeasurable(audit),
        "limits": list(LIMITS),
        "made": {  # what another run needs to come to the same record; no date, so equal bytes
            "versions": {name: metadata.version(name) for name in ("prunemia", *PACKAGES)}
            | {"python": platform.python_version()},
            "inputs": audit.inputs,
            "attacks": list(audit.verdicts),
            "seed": audit.seed,
            "delta": audit.delta,
            "command": audit.command,
        },
    }


def summary(audit: Findings) -> dict[str, Any]:
    """Return the one sentence, the level, and the rule that it follows."""
    name, measure = strongest(audit.family)
    if audit.upside_down:  # the AUC, or accuracy, that lies farthest below chance level
        firsts = [figure for figure in audit.turned if "tpr@" not in figure[1]]
        name, measure = max(firsts, key=lambda figure: audit.turned[figure].low)
    return {
        "level": audit.level,
        "sentence": sentence(audit, name, measure),
        "rule": RULE,
        "above_guessing": audit.above,
        "below_guessing": audit.below,
        "figures": len(audit.family),
        "confidence_each": 1 - (1 - LEVEL) / len(audit.family),
        "strongest": {"attack": name, "measure": measure} | audit.family[name, measure].to_dict(),
    }


def sentence(audit: Findings, name: str, measure: str) -> str:
    """Return a report's first sentence: what an attack finds, above, around or below chance."""
    estimate, chance = audit.family[name, measure], guessing(measure)
    members = int(audit.membership.sum())
    if not measure.startswith("tpr@"):
        said = (
            f"The strongest attack ({name}) tells {members:,} members from "
            f"{len(audit.membership) - members:,} non-members with "
            f"{'an AUC' if measure == 'auc' else 'a balanced accuracy'} of {estimate} (chance "
            "level: 0.5)."
        )
        if estimate.high >= chance:
            return said
        return (
            f"{said} This interval lies below chance level: members score lower than non-members. "
            f"Turned round, it is {1 - estimate.value:.3f}. Are the membership flags and the "
            "labels right?"
        )
    found = point(audit.verdicts[name].scores, audit.membership, chance)
    assert found is not None
    percent = f"{100 * chance:g} %"
    said = (
        f"The strongest attack ({name}) {'identifies' if estimate.low > chance else 'accuses'} "
        f"{found.found:,} of {members:,} members at a false-positive rate of {percent}: "
        f"{estimate.text(1, 100, ' %')}"
    )
    if estimate.low > chance:
        return f"{said}, where chance level is {percent}."
    said += ". This interval "
    unknown = "that single members can be identified is neither shown nor excluded."
    if estimate.high >= chance:
        most = f"{100 * estimate.high:.1f} %"
        return f"{said}includes chance level, {percent}, and rates up to {most}: {unknown}"
    if audit.tied(name, measure):
        return (
            f"{said}lies below chance level, {percent}, because tied scores let it accuse only "
            f"{found.alarms:,} non-members: {unknown}"
        )
    return (
        f"{said}lies below chance level, {percent}: members are rarer among the highest scores "
        "than non-members. Are the membership flags and the labels right?"
    )


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


def _auditor(audit: Findings) -> str:
    """Return who attacks, and how that auditor compares with an adversary."""
    signals, compared = audit.target.signals, ""
    if signals.references is not None:
        some = "Each sample was trained on by some of these networks"
        none = "None of these networks trained on any of the samples"
        compared = (
            f" The attacks lira and rmia compare the target with {signals.references.shape[1]} "
            f"reference networks that answered the same samples. "
            f"{some if signals.online else none}. "
            "The thresholds of the two attacks come from the target's other half."
        )
    if audit.shadow is None:
        return (
            "The attacks were fitted on each half of the target's own samples and judged on the "
            "other half. This auditor knows the membership of half of the samples in advance. Most "
            "adversaries do not know it and have to train shadow networks instead, so they are "
            f"weaker.{compared}"
        )
    count = len(np.unique(np.asarray(audit.shadow.signals.model)))
    return (
        f"The attacks were fitted on the answers of {count} shadow network{'s' * (count > 1)}, "
        "whose members the adversary knows. They were then judged on the target, whose members "
        f"they were not told.{compared}"
    )


def _dicts(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_dict() for name, estimate in estimates.items()}


def exposed(audit: Findings) -> dict[str, Any]:
    """Return the members that the strongest attack ranks highest, and which attacks agree."""
    turned = audit.turned_verdicts, audit.turned
    outputs, family = turned if audit.upside_down else (audit.verdicts, audit.family)
    name, _ = strongest(family)
    member, mine = audit.membership, outputs[name].scores
    points = {n: point(o.scores, member, AGREES) for n, o in outputs.items() if o.ranks}
    accusers = {n: outputs[n].scores > found.threshold for n, found in points.items() if found}
    order = np.argsort(-mine, kind="stable")
    return {
        "attack": name,
        "at_fpr": AGREES,
        "attacks": list(accusers),
        "members_among_highest": int(member[order[:EXPOSED]].sum()),
        "highest": min(EXPOSED, len(order)),
        "samples": [
            {
                "id": str(audit.target.ids[i]),
                "label": int(audit.target.signals.labels[i]),
                "score": float(mine[i]),
                "agree": [each for each, flags in accusers.items() if flags[i]],
            }
            for i in order[member[order]][:EXPOSED]
        ],
    }


def _differences(audit: Findings, other: Other) -> list[dict[str, Any]]:
    """Return the target minus another network, attack by attack, on the same samples."""
    rows: list[dict[str, Any]] = []
    for name, output in other.verdicts.items():
        pair = [(v.scores, v.predictions) for v in (other.of_target[name], output)]
        found = compare(audit.membership, *pair, ranks=output.ranks)
        row = {"attack": name, **_dicts({"accuracy": found.accuracy, "auc": found.auc})}
        p_values = {"accuracy_p": found.accuracy_p, "auc_p": found.auc_p}
        rows.append(row | {key: None if math.isnan(p) else p for key, p in p_values.items()})
    for key in ("accuracy_p", "auc_p"):  # Holm, over the attacks
        known = [row for row in rows if row[key] is not None]
        corrected = holm([row[key] for row in known]) if known else ()
        for row, p in zip(known, corrected, strict=True):
            row[key] = float(p)
    return rows


def unmeasurable(audit: Findings) -> list[dict[str, str]]:
    """Return what could not be measured at this size, and what would make it measurable."""
    nonmembers = int((~audit.membership).sum())
    rows = []
    for fpr in FPRS:
        name = f"true-positive rate at a false-positive rate of {100 * fpr:g} %"
        least, precise = math.ceil(1 / fpr), math.ceil(NEEDED / fpr)
        needs = f"{least:,} non-members; {precise:,} for a narrow interval"
        why = f"there are {nonmembers:,} non-members"
        if nonmembers >= least:
            name, needs = f"precise {name}", f"{precise:,} non-members for a narrow interval"
            allowed = false_positives_allowed(nonmembers, fpr)
            why = f"only {allowed} of {nonmembers:,} non-members may be accused"
        if nonmembers < precise:
            rows.append({"what": name, "why": why, "needs": needs})
    several = "--reference, several networks' answers to the same samples"
    for name, why in audit.left_out.items():
        needs = several if "reference" in why else f"--attacks {name}"
        needs = "their numbers" if "sensitivities" in why else needs
        rows.append({"what": f"the attack {name}", "why": why, "needs": needs})
    return rows


def guarded(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with an apostrophe where it would."""
    plain_number = cell.removeprefix("-").isdecimal() and cell.isascii()
    formula = not plain_number and cell.lstrip(" \0").startswith(FORMULA)
    return f"'{cell}" if formula else cell


def page(audit: Findings, record: dict[str, Any]) -> str:
    """Return the report as one HTML page: no script, nothing from outside, all foreign escaped."""
    member = audit.membership
    curves = {name: (member, v.scores) for name, v in audit.verdicts.items() if v.ranks}
    figures = {"roc": "", "classes": _classes(record["classes"])}
    if curves:
        label = "ROC curves of the attacks"
        figures["roc"] = _svg(lambda ax: plots.roc(curves, ax), label, height=4.2)
    tprs = {f"tpr@{fpr:g}": f"{100 * fpr:g}\N{NO-BREAK SPACE}%" for fpr in FPRS}
    return _template().render(record=record, figures=figures, tprs=tprs)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        # the interval stays on one line; value and interval may part on a phone
        "estimate": lambda e: str(Estimate.from_dict(e)).replace(", ", ",\N{NO-BREAK SPACE}"),
        "p": lambda p: "–" if p is None else ("< 0.001" if p < 0.001 else f"{p:.3f}"),
        "share": lambda share: f"{100 * share:.1f} %",
        "count": lambda count: f"{count:,}",
        "visible": lambda cell: CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(cell)),
    }
    text = resources.files("prunemia.audit").joinpath("report.html").read_text(encoding="utf-8")
    return environment.from_string(text)


def _classes(part: dict[str, Any]) -> str:
    """Draw the attack's accuracy class by class; nothing where they are too many to tell apart."""
    if len(part["classes"]) > MOST_CLASSES:
        return ""
    names = {"low": "accuracy_low", "high": "accuracy_high"}
    table = pd.DataFrame(part["classes"]).rename(columns=names).dropna().infer_objects()

    def draw(ax: Axes) -> None:
        plots.intervals(table, "class", "accuracy", ax, color=ATTACKS[part["attack"]].colour)
        ax.axhline(0.5, color="0.4", ls=":")
        ax.set(xlabel="Class", ylabel="Attack accuracy")

    return _svg(draw, f"Balanced accuracy of {part['attack']} per class", height=3.0)


def _svg(draw: Callable[[Axes], object], label: str, *, height: float) -> Markup:
    """Return a figure as inline SVG, in the book's style; the caller's style stays as it is."""
    with mpl.rc_context():
        plots.setup()
        figure = Figure(figsize=(plots.WIDTH, height))
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    opening = Markup('<svg role="img" aria-label="{}"').format(label)
    # ours alone: no foreign text is drawn
    return Markup(opening + Markup(text.partition("<svg")[2]))
