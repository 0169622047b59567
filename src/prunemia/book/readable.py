"""A page that is read on its own: what Sphinx would resolve in its prose is resolved into text.

In the book, Sphinx fills in the roles of MyST: values glued by the page's code, numbers of figures
and equations, citations. Elsewhere a reader would see ``{glue:text}`accuracy```, so `prunemia run`
fills them in itself.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prunemia.book.citations import Citations, read_citations

_ROLE = re.compile(r"\{([a-z]+(?::[a-z]+)?)\}`([^`]*)`")
_EQUATION = re.compile(r"\$\$(.*?)\$\$[ \t]*\(([\w-]+)\)", re.DOTALL)
_LOCAL_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:|#)[^)\s]*\.(?:ipynb|md)(?:#[^)]*)?\)")
_COMMENT = re.compile(r"^% .*\n?", re.MULTILINE)
_NEIGHBOURS = re.compile(r"^Previous: .*$|^Next: \[.*$", re.MULTILINE)


def resolve(notebook: Any, source: Path) -> Any:
    """Resolve the roles in an executed notebook's prose, in place, and add captions and references.

    Parameters
    ----------
    notebook : as `execute.executed` returns it.
    source : where it comes from; its book's bibliography is that of the folder around.
    """
    resolver = _Resolver(notebook, read_citations(source))
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = resolver.prose(cell.source)
        cells.append(cell)
        if caption := resolver.caption(cell):
            cells.append(_markdown(f"{cell.id}-caption"[:64], caption))
    if listed := resolver.citations.references():
        lines = "\n".join(f"- {reference}" for reference in listed)
        cells.append(_markdown("references", f"## References\n\n{lines}"))
    notebook.cells = cells
    return notebook


def answer(notebook: Any) -> str:
    """Return the answer of a resolved page, the paragraph of its first cell that says so, as text.

    Empty where there is none.
    """
    first = next((cell for cell in notebook.cells if cell.cell_type == "markdown"), None)
    for paragraph in re.split(r"\n\s*\n", first.source if first else ""):
        if paragraph.startswith("**Answer.**"):
            text = " ".join(re.sub(r"[*`$]|\[(?=[^\]]*\]\()|\]\([^)]*\)", "", paragraph).split())
            return textwrap.fill(text, 100, break_on_hyphens=False)
    return ""


class _Resolver:
    """What the roles of one notebook stand for."""

    def __init__(self, notebook: Any, citations: Citations) -> None:
        self.citations = citations
        self.values = glued(notebook)
        self.numbers = _numbers(notebook)
        self.roles: dict[str, Callable[[str], str]] = {
            "glue:text": self._value,
            "glue": self._value,
            "numref": lambda target: f"Fig. {self._number(target)}",
            "eq": lambda target: f"({self._number(target)})",
            "cite:t": citations.textual,
            "cite:p": citations.parenthetical,
            "cite": citations.parenthetical,
            "ref": self._text,
            "doc": self._text,
        }

    def prose(self, text: str) -> str:
        """Return a Markdown text without roles, comments, and links into the book."""
        text = _NEIGHBOURS.sub("", _COMMENT.sub("", text))
        text = _EQUATION.sub(rf"$$\1\\tag{{{_MARK}\2{_MARK}}}$$", text)
        text = re.sub(f"{_MARK}(.*?){_MARK}", lambda m: self._number(m[1]), text)
        return _LOCAL_LINK.sub(r"\1", _ROLE.sub(self._role, text)).rstrip()

    def caption(self, cell: Any) -> str:
        """Return the caption of a figure's cell; "" for any other."""
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if "caption" not in figure:
            return ""
        text = self.prose(figure["caption"])
        number = self.numbers.get(figure.get("name", ""))
        return f"**Fig. {number}.** {text}" if number else text

    def _role(self, match: re.Match[str]) -> str:
        name, content = match.groups()
        return self.roles[name](content) if name in self.roles else match[0]

    def _value(self, content: str) -> str:
        from myst_nb.core.variables import format_plain_text  # Sphinx's own rule; slow to import

        key, _, form = content.rpartition(":") if ":" in content else (content, "", "s")
        if key not in self.values:
            return f"(no {key})"
        return str(format_plain_text(self.values[key], form))

    def _number(self, target: str) -> str:
        return self.numbers.get(self._target(target), "?")

    @staticmethod
    def _target(content: str) -> str:
        named = re.search(r"<([^>]*)>\s*$", content)
        return named[1] if named else content.strip()

    @staticmethod
    def _text(content: str) -> str:
        return re.sub(r"\s*<[^>]*>\s*$", "", content)


_MARK = "\0"


def glued(notebook: Any) -> dict[str, str]:
    """Return the texts that the page's code glued, by name; the last of a name counts."""
    values = {}
    for output in (o for cell in notebook.cells for o in cell.get("outputs", [])):
        name = output.get("metadata", {}).get("scrapbook", {}).get("name")
        for kind, text in output.get("data", {}).items():
            if name and kind.endswith("text/plain"):
                values[name] = text
    return values


def _numbers(notebook: Any) -> dict[str, str]:
    """Return the numbers of the page's figures and equations, each from 1, by their names."""
    figures = [
        cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in notebook.cells
    ]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    equations = [match[2] for match in _EQUATION.finditer(prose)]
    return {
        name: str(number)
        for names in (dict.fromkeys(filter(None, figures)), dict.fromkeys(equations))
        for number, name in enumerate(names, start=1)
    }


def _markdown(identity: str, source: str) -> Any:
    from nbformat import v4  # slow to import

    return v4.new_markdown_cell(source, id=identity)
