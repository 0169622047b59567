"""The record as one HTML page: no script, nothing from outside, everything foreign escaped."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import matplotlib as mpl
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prunemia import plots, registry
from prunemia.audit.evidence import Evidence
from prunemia.metrics import FPRS, Estimate

MOST_CLASSES = 40
"""Classes that a figure can tell apart; more are in the table alone."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def page(record: dict[str, Any], evidence: Evidence) -> str:
    """Return the report as one HTML page: no script, nothing from outside, all foreign escaped."""
    tprs = [{"name": f"tpr@{fpr:g}", "percent": f"{100 * fpr:g} %"} for fpr in FPRS]
    figures = {"roc": _roc(evidence), "classes": _classes(record)}
    return _template().render(record=record, figures=figures, tprs=tprs, turned=evidence.sign < 0)


def short(record: dict[str, Any]) -> str:
    """Return level and sentence, for a notebook."""
    level, said = record["summary"]["level"].capitalize(), record["summary"]["sentence"]
    told = Markup("").join(Markup("<p>{}</p>").format(text) for text in record["warnings"])
    return str(Markup("<p><strong>{}.</strong> {}</p>").format(level, said) + told)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        # the interval stays on one line; value and interval may part on a phone
        "estimate": lambda record: str(Estimate.from_dict(record)).replace(
            ", ", ",\N{NO-BREAK SPACE}"
        ),
        "level_class": lambda level: level.removeprefix("a ").split()[0].replace("no", "none"),
        "p": lambda p: "–" if p is None else ("< 0.001" if p < 0.001 else f"{p:.3f}"),
        "share": lambda share: f"{100 * share:.1f} %",
        "visible": lambda text: CONTROL.sub("\N{REPLACEMENT CHARACTER}", text),
    }
    text = resources.files("prunemia.audit").joinpath("report.html").read_text(encoding="utf-8")
    return environment.from_string(text)


def _roc(evidence: Evidence) -> Markup:
    member = evidence.membership
    curves = {name: (member, v.scores) for name, v in evidence.verdicts.items() if v.ranks}
    if not curves:
        return Markup("")
    return _svg(lambda ax: plots.roc(curves, ax), "ROC curves of the attacks", height=4.2)


def _classes(record: dict[str, Any]) -> Markup:
    part = record["classes"]
    if len(part["classes"]) > MOST_CLASSES:
        return Markup("")
    table = pd.DataFrame(part["classes"]).rename(
        columns={"low": "accuracy_low", "high": "accuracy_high"}
    )
    numbers = table.astype(dict.fromkeys(["accuracy", "accuracy_low", "accuracy_high"], float))

    def draw(ax: Axes) -> None:
        colour = registry.ATTACKS[part["attack"]].colour
        plots.intervals(numbers.dropna(), "class", "accuracy", ax, color=colour)
        ax.axhline(0.5, color="0.4", ls=":")
        ax.set(xlabel="Class", ylabel="Attack accuracy")

    return _svg(draw, f"Balanced accuracy of {part['attack']} per class", height=3.0)


def _svg(draw: Callable[[Axes], None], label: str, *, height: float) -> Markup:
    """Return a figure as inline SVG, in the book's style; the caller's style stays as it is."""
    with mpl.rc_context():
        plots.setup()
        figure = Figure(figsize=(plots.WIDTH, height))
        draw(figure.subplots())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    opening = Markup('<svg role="img" aria-label="{}"').format(label)
    return Markup(text.replace("<svg", str(opening), 1))  # ours alone: no foreign text is drawn
