"""The package's docstrings, as Sphinx can read them; a Sphinx extension (_config.yml).

Our docstrings are NumPy's, but mean some things as plain text that reStructuredText or napoleon,
Sphinx's reader of such docstrings, takes for markup: |w|, a colon, prose that follows a section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_RULE = re.compile(r"-{3,}\s*$")
_ENTRY = re.compile(r"(?P<name>\*{0,2}\w[\w.*]*(?:, \*{0,2}\w[\w.*]*)*) : (?P<text>.*)")
_OF_ENTRIES = ("Parameters", "Attributes")


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx, before napoleon (priority 500) reads the docstrings."""
    app.connect("autodoc-process-docstring", _process, priority=1)
    return {"parallel_read_safe": True}


def _process(*arguments: Any) -> None:
    """Change the lines of a docstring in place: Sphinx passes the object's kind and the lines."""
    _, what, _, _, _, lines = arguments
    lines[:] = as_restructured_text(what, lines)


def as_restructured_text(what: str, lines: list[str]) -> list[str]:
    r"""Return a docstring's lines as napoleon should have them.

    |w| is escaped. Prose that follows a section moves before the first one, else it would be read
    as part of it. Entries get their text below their name, where no colon makes a type of it.
    """
    lines = [line.replace("|", r"\|") for line in lines]
    if what in ("attribute", "data", "property"):
        # An empty comment; else napoleon takes what stands before a colon for a type.
        return ["..", "", *lines]
    prose, sections = _split(lines)
    if not sections:
        return lines
    kept: list[str] = []
    for title, content in sections:
        inside, after = _without_prose(content)
        prose += after
        inside = _entries(inside) if title in _OF_ENTRIES else inside
        kept += ["", title, "-" * len(title), *inside]
    return [*prose, *kept, ""]


def _split(lines: list[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return what stands before the first section, and the sections by title."""
    prose: list[str] = []
    sections: list[tuple[str, list[str]]] = []
    rest = list(lines)
    while rest:
        line = rest.pop(0)
        if rest and line.strip() and _RULE.match(rest[0]):
            rest.pop(0)
            sections.append((line.strip(), []))
        elif sections:
            sections[-1][1].append(line)
        else:
            prose.append(line)
    return prose, sections


def _without_prose(content: list[str]) -> tuple[list[str], list[str]]:
    """Split a section's lines: its entries, and the paragraphs at the margin that follow them."""
    paragraphs = list(_paragraphs(content))
    inside = paragraphs[:1]
    after: list[list[str]] = []
    for paragraph in paragraphs[1:]:
        is_prose = not paragraph[0].startswith(" ") and not _ENTRY.match(paragraph[0])
        (after if is_prose else inside).append(paragraph)
    return _joined(inside), _joined(after)


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield paragraph
            paragraph = []


def _joined(paragraphs: list[list[str]]) -> list[str]:
    return [line for paragraph in paragraphs for line in (*paragraph, "")]


def _entries(lines: list[str]) -> list[str]:
    """Put each entry's text below its name."""
    split: list[str] = []
    for line in lines:
        entry = _ENTRY.fullmatch(line)
        split += [entry["name"], f"    {entry['text']}"] if entry else [line]
    return split
