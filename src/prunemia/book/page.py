"""What a page calls: its experiment, checked and shown, and its answer."""

from __future__ import annotations

import ast
import base64
import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from IPython.display import HTML, Markdown, display
from markupsafe import Markup
from pydantic import ValidationError

from prunemia import results
from prunemia.errors import UsageError
from prunemia.experiment import Experiment, PageParameters, explain

PLAIN = (str, int, float, bool, list, tuple, type(None))
MOST_WORDS = 60
MOST_INTERVALS = 2
INTERVAL = re.compile(r"\[[^\]\[]*\d[^\]\[]*,[^\]\[]*\d[^\]\[]*\]")


class ParameterError(UsageError):
    """A page's parameter is unknown or out of range; shown in a notebook as its sentence alone."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


def experiment(parameters: Mapping[str, Any], *tables: str, own: str = "") -> Experiment:
    """Return the experiment that a page's parameters describe, and show what this run is.

    Parameters
    ----------
    parameters : the page's ``globals()``, right after its parameters cell.
    tables : kinds of kept tables that the page reads many runs from ("control", …).
    own : what this run is where data and network are the page's own, not the experiment's.

    Raises
    ------
    ParameterError
        A name is neither a field of `Experiment` nor of `PageParameters` (papermill only warns of
        it and would compute with the defaults), or a value is out of range.
    """
    given = known(parameters)
    fields = {name: value for name, value in given.items() if name in Experiment.model_fields}
    shared = {name: value for name, value in given.items() if name in PageParameters.model_fields}
    try:
        exp = Experiment(**fields)
        PageParameters(**shared)
    except ValidationError as error:
        raise ParameterError(explain(error)) from None
    display(Markdown(f"*This run: {own or described(exp)}, computed here{_kept(exp, tables)}.*"))
    return exp


def known(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a page's first cells set, by name.

    Raises
    ------
    ParameterError
        A name is no parameter of any page.
    """
    names = [*Experiment.model_fields, *PageParameters.model_fields]
    given = {name: parameters[name] for name in assigned(parameters, names)}
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; allowed: {', '.join(names)}"
            raise ParameterError(f"{name}: no such parameter{hint}")
    return given


def assigned(parameters: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """Return the names that the parameters cell and papermill's cell assign.

    In a notebook these are the executed cells that assign nothing but literals, of which one is
    known, or that papermill wrote; elsewhere all plain values are taken for parameters.
    """
    if "In" not in parameters:
        plain = {name for name, value in parameters.items() if isinstance(value, PLAIN)}
        return [name for name in parameters if name in plain and not name.startswith("_")]
    names: dict[str, None] = {}
    for source in parameters["In"]:
        found = _literals(source)
        if found and (source.startswith("# Parameters") or set(found) & set(known)):
            names |= dict.fromkeys(found)
    return [name for name in names if name in parameters]


def _literals(source: str) -> list[str]:
    """Return the names that a cell assigns, if it does nothing but assign literals."""
    try:
        body = ast.parse(source).body
        targets = []
        for node in body:
            target: Any = node.targets[0] if isinstance(node, ast.Assign) else node.target  # type: ignore[attr-defined]
            ast.literal_eval(node.value)  # type: ignore[attr-defined]
            targets.append(target.id)
    except (SyntaxError, ValueError, AttributeError, TypeError):
        return []
    return targets


def described(exp: Experiment) -> str:
    """Say in one line which experiment this is: data set, network, pruning, defense, seed."""
    parts = [exp.dataset, exp.model, exp.pruner + (f" {exp.sparsity:g}" if exp.sparsity else "")]
    usual = {"dataset", "model", "pruner", "sparsity", "seed", "strength", "adversary", "rows"}
    if exp.defense != "none":
        parts.append(f"{exp.defense} {exp.defense_strength or ''}".strip())
    for name in exp.model_fields_set - usual - {"defense"}:
        value = getattr(exp, name)
        if value != Experiment.model_fields[name].default:
            parts.append(f"{name.replace('_', ' ')} {value}")
    return " · ".join([*parts, f"seed {exp.seed}"])


def _kept(exp: Experiment, kinds: Iterable[str]) -> str:
    """Say which tables of results/ hold this experiment, and whether they lack others."""
    said = []
    for name in filter(None, (results.holding(kind, [exp]) for kind in kinds)):
        missing = len(results.lacking(name))
        so_far = f" (so far without {missing:,} experiments of its grid)" if missing else ""
        said.append(f"results/{name}.csv{so_far}")
    return f"; more runs from {', '.join(said)}" if said else ""


def answer(text: str) -> None:
    """Show the page's answer: at most 60 words and two intervals, the finding first.

    Raises
    ------
    ValueError
        It is longer, or has more intervals.
    """
    words, intervals = len(re.findall(r"\S*\w\S*", INTERVAL.sub("", text))), INTERVAL.findall(text)
    if words > MOST_WORDS or len(intervals) > MOST_INTERVALS:
        raise ValueError(
            f"an answer has at most {MOST_WORDS} words and {MOST_INTERVALS} intervals; this has "
            f"{words} and {len(intervals)}"
        )
    display(Markdown(f"> **Answer.** {text}"))


def download(table: pd.DataFrame, name: str) -> HTML:
    """Return a link that saves a table as CSV; the page itself holds the file."""
    text = table.to_csv(index=False, lineterminator="\n")
    data = base64.b64encode(text.encode()).decode()
    link = '<p><a download="{}" href="data:text/csv;base64,{}">{}</a> ({} rows)</p>'
    return HTML(str(Markup(link).format(name, data, name, f"{len(table):,}")))
