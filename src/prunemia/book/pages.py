"""Pages: where they are and which parameters each takes; nothing slow is imported."""

import ast
import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from prunemia.errors import UsageError, shortened
from prunemia.experiment import Experiment, PageParameters, explain
from prunemia.files import load_yaml, read_yaml
from prunemia.registry import suggest
from prunemia.store import repository

TOC = Path("book/_toc.yml")
NAMES = {**Experiment.model_fields, **PageParameters.model_fields}
MOST_WORDS, MOST_INTERVALS = 60, 2  # of an answer
LONG = f"*The answer has more than {MOST_WORDS} words or {MOST_INTERVALS} intervals.*"
INTERVAL = re.compile(r"\[[^\]\[]*\d[^\]\[]*,[^\]\[]*\d[^\]\[]*\]")
ANSWER = "> **Answer.** "
DIFFERS = "*Check: not what the package computes, as it should be where you changed something.*"


def require_known(
    names: Iterable[str], known: Mapping[str, Any], where: str = "", what: str = "parameter"
) -> None:
    """Refuse, with a `UsageError`, a name that is not known; say which may have been meant."""
    for name in names:
        if name not in known:
            other = suggest(name, known) or f"; allowed: {', '.join(known) or 'none'}"
            raise UsageError(f"{where}{shortened(name)}: no such {what}{other}")


def validated(values: Mapping[str, Any]) -> tuple[Experiment, PageParameters]:
    """Return what the values make that are a page's; `UsageError` where one is not allowed."""
    try:
        experiment = Experiment(**{n: v for n, v in values.items() if n in Experiment.model_fields})
        fields = PageParameters.model_fields
        return experiment, PageParameters(**{n: v for n, v in values.items() if n in fields})
    except ValidationError as error:
        raise UsageError(explain(error)) from None


@dataclass(frozen=True)
class Default:
    """What a cell assigns to a name: a literal, or else the names that it is computed from."""

    value: Any = None
    annotation: str = ""
    computed_from: frozenset[str] | None = None

    def read(self, name: str, text: str) -> Any:
        """Return a text of the command line, which is YAML, as a value of the literal's type."""
        value = load_yaml(text, shortened(name))
        choices = self.annotation.split(" | ")  # list[str] | None takes no text
        wanted = type(self.value) if self.value is not None else str if "str" in choices else Any
        if value is None and (self.value is None or "None" in choices):
            return None
        if wanted is str and not isinstance(value, str):
            return text  # YAML takes it for a number, a date or a truth
        if isinstance(value, bool) and wanted in (int, float):  # pydantic would take true for 1
            raise UsageError(f"{name}: {value!r} is a truth value, and this field takes none")
        try:
            return TypeAdapter(wanted).validate_python(value)
        except ValidationError as error:
            said = error.errors()[0]["msg"].removeprefix("Input ")
            raise UsageError(f"{name}: {value!r} is not allowed: {said}") from None


def read_cell(source: str) -> dict[str, Default]:
    """Return what a cell's code assigns, by name; SyntaxError where it is no Python."""
    found: dict[str, Default] = {}
    for node in ast.parse(re.sub(r"(?m)^[%!].*$", "", source)).body:
        names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
        assigned = [each.id for each in names if isinstance(each.ctx, ast.Store)]
        default = Default(computed_from=frozenset(each.id for each in names) - set(assigned))
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and len(assigned) == 1:
            kind = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
            with contextlib.suppress(ValueError, TypeError):  # an f-string, a call, other names
                default = Default(ast.literal_eval(node.value), kind)
        found |= dict.fromkeys(assigned, default)
    return found


@dataclass(frozen=True)
class Page:
    """A notebook; ``name`` is its path under notebooks/, without suffix, as in ``attacks/conf``."""

    name: str
    path: Path

    @cached_property
    def parameters(self) -> dict[str, Default]:
        """What the cell tagged "parameters" assigns; UsageError where it cannot be read."""
        try:
            cells = json.loads(self.path.read_text(encoding="utf-8"))["cells"]
            tagged = (c for c in cells if "parameters" in c["metadata"].get("tags", []))
            return read_cell("".join(next(tagged, {"source": ""})["source"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, SyntaxError) as error:
            what = "cannot be read as a notebook with a parameters cell"
            raise UsageError(f"{self.path}: {what} ({error})") from error

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters that can be given, with the page's own values."""
        return {n: d.value for n, d in self.parameters.items() if d.computed_from is None}

    def check(self, values: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        """Return what the page gets, typed; ``texts`` win. UsageError for a wrong name or value."""
        require_known([*values, *texts], self.parameters)
        read = {name: self.parameters[name].read(name, text) for name, text in texts.items()}
        given = {**values, **read}
        for name, default in self.parameters.items():
            if default.computed_from is not None and name in given:
                allowed = ", ".join(self.defaults) or "none"
                raise UsageError(f"{name}: the page computes it; allowed: {allowed}")
            if stale := (default.computed_from or frozenset()) & given.keys():
                why = f"as the parameters cell has computed {name} from it by then"
                raise UsageError(f"{min(stale)}: cannot be given, {why}; move that to a later cell")
        merged = {**self.defaults, **given}
        if "model" not in merged:  # a page on tables alone: its data set meets no network
            merged.pop("dataset", None)
        experiment, shared = validated(merged)
        typed = experiment.model_dump(mode="json") | shared.model_dump(mode="json")
        return {n: typed.get(n, value) if n in merged else value for n, value in given.items()}


def profile(root: Path, name: str, pages: Mapping[str, Page]) -> dict[str, dict[str, Any]]:
    """Return each page's parameters of notebooks/profiles/NAME.yml; those under ``pages`` win."""
    files = {file.stem: file for file in sorted(root.glob("notebooks/profiles/*.yml"))}
    require_known([name], files, "--profile ", "profile")
    values = read_yaml(files[name]) or {}
    own = values.pop("pages", {}) if isinstance(values, dict) else None
    if not isinstance(own, dict) or not set(own) <= set(pages):
        raise UsageError(f"{name}.yml: a profile maps parameters to values, and pages to such")
    known = {n: d for page in pages.values() for n, d in page.parameters.items()}
    require_known(values, known, f"{name}.yml: ")
    return {
        each: {n: v for n, v in values.items() if n in page.defaults} | own.get(each, {})
        for each, page in pages.items()
    }


def find_root() -> Path:
    """Return the repository's root, from anywhere inside it; else a UsageError."""
    if (root := repository()) is None:
        where = "run this in a clone of it: the package alone has no pages"
        raise UsageError(f"{Path.cwd()} is not inside the book's repository; {where}")
    return root


def in_order(root: Path) -> list[str]:
    """Return what the table of contents names, in its order, without suffixes."""
    from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

    try:
        return list(parse_toc_yaml(root / TOC))
    except MalformedError as error:
        raise UsageError(f"{TOC}: {error}") from error


def discover(root: Path) -> dict[str, Page]:
    """Return the book's pages by name, in the order of the table of contents."""
    names = [n.removeprefix("notebooks/") for n in in_order(root) if n.startswith("notebooks/")]
    return {name: Page(name, root / "notebooks" / f"{name}.ipynb") for name in names}


def find_page(name: str) -> Page:
    """Return a page by its name (from anywhere in the repository) or by the path of a notebook."""
    own = name.endswith(".ipynb")
    path = Path(name) if own else find_root() / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        raise UsageError(f"{shortened(name)}: there is no such page or notebook")
    return Page(path.stem if own else name, path)


def answer_of(notebook: Any) -> str:
    """Return the text of an executed page's answer, "" where it has none."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [str(output.get("data", {}).get("text/markdown", "")) for output in outputs]
    return next((t.removeprefix(ANSWER) for t in texts if t.startswith(ANSWER)), "")
