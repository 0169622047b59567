"""What a page calls while it runs: for its experiment, for its answer."""

import ast
import re
from collections.abc import Mapping
from typing import Any

from IPython.display import display_markdown

from prunemia import results
from prunemia.book.pages import (
    ANSWER,
    DIFFERS,
    INTERVAL,
    LONG,
    MOST_INTERVALS,
    MOST_WORDS,
    NAMES,
    read_cell,
    require_known,
    validated,
)
from prunemia.experiment import Experiment


def experiment(parameters: Mapping[str, Any], *tables: str, own: str = "") -> Experiment:
    """Return the experiment that a page's parameters describe, and show what this run is.

    ``parameters``: the page's ``globals()``, right after its parameters cell. ``tables``: kinds of
    kept tables that the page reads many runs from ("control", …). ``own``: what this run is where
    data and network are the page's own. UsageError: a value is out of range, or a name is unknown,
    with which papermill would compute by the default.
    """
    exp, _ = validated(known(parameters))
    kept = [f"results/{name}.csv" for name in (results.holding(t, [exp]) for t in tables) if name]
    drawn = "each with samples of its own" if exp.rows == "fresh" else "all of the same samples"
    unknown = "; so are its other runs, which no table in results/ has" if tables else ""
    more = f"; more runs, {drawn}, from {', '.join(kept)}" if kept else unknown
    display_markdown(f"*This run: {own or described(exp)}, computed here{more}.*", raw=True)
    return exp


def known(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a page's cells set; UsageError where one is unknown.

    Such cells only assign, at least one literal to a known name, or are papermill's. Outside of a
    notebook all plain values are parameters.
    """
    plain = (str, int, float, bool, list, tuple, type(None))
    if "In" not in parameters:
        given = {n: v for n, v in parameters.items() if isinstance(v, plain) and n[:1] != "_"}
        require_known(given, NAMES)
        return given
    found: dict[str, None] = {}
    for source in parameters["In"]:
        try:
            only = all(isinstance(n, ast.Assign | ast.AnnAssign) for n in ast.parse(source).body)
            cell = read_cell(source) if only else {}
        except SyntaxError:  # a magic command
            continue
        literal = {name for name, default in cell.items() if default.computed_from is None}
        if source.startswith("# Parameters") or literal & NAMES.keys():
            found |= dict.fromkeys(name for name in cell if name in literal or name in NAMES)
    require_known(found, NAMES)
    return {name: parameters[name] for name in found if name in parameters}


def described(exp: Experiment) -> str:
    """Say in one line which experiment this is: data set, network, pruning, defense, seed."""
    parts = [exp.dataset, exp.model, exp.pruner + (f" {exp.sparsity:g}" if exp.sparsity else "")]
    if exp.defense != "none":
        parts.append(f"{exp.defense} {exp.defense_strength or ''}".strip())
    said = {"dataset", "model", "pruner", "sparsity", "defense", "strength", "seed"}
    others = exp.model_dump(exclude_defaults=True, exclude={*said, "adversary"})
    parts += [f"{name.replace('_', ' ')} {value}" for name, value in others.items()]
    return " · ".join([*parts, f"seed {exp.seed}"])


def check(same: bool, what: str = "The package gives the same") -> None:
    """Say whether a page's own lines give what the package gives; the page goes on."""
    display_markdown(f"✓ {what}." if same else DIFFERS, raw=True)


def answer(text: str) -> None:
    """Show the page's answer, the finding first; the book has none beyond `MOST_WORDS`."""
    words, intervals = len(re.findall(r"\S*\w\S*", INTERVAL.sub("", text))), INTERVAL.findall(text)
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", text)
    text = re.sub(r"(?<=\d)%", " %", text)  # as the pages' prose has it
    display_markdown(f"{ANSWER}{text}", raw=True)
    if words > MOST_WORDS or len(intervals) > MOST_INTERVALS:
        display_markdown(LONG, raw=True)
