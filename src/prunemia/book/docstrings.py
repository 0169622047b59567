"""Docstrings as Sphinx's napoleon can read them: prose that follows a section is no part of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ENTRY = re.compile(r"[\w*`., ]+ : ")
"""How an entry of Parameters or Attributes begins: names, a colon between spaces."""


def prose_first(lines: Sequence[str]) -> list[str]:
    """Return a docstring's lines with the prose between and after its sections moved before them.

    Our docstrings close with a source or a remark. To napoleon a section has no end but the next
    heading, so it lists such a paragraph as another parameter, or as an exception that is raised.
    """
    start = next((i for i, _ in enumerate(lines) if _is_heading(lines, i)), len(lines))
    prose, sections = list(lines[:start]), list[str]()
    for paragraph in _paragraphs(lines[start:]):
        kept = prose if _is_prose(paragraph) else sections
        kept += [*paragraph, ""]
    return [*prose, *([""] if prose and prose[-1] else []), *sections] if sections else prose


def _is_heading(lines: Sequence[str], at: int) -> bool:
    """Return whether a line is underlined with hyphens of its own length."""
    underline = lines[at + 1] if at + 1 < len(lines) else ""
    return len(underline) > 2 and set(underline) == {"-"} and len(underline) == len(lines[at])


def _paragraphs(lines: Sequence[str]) -> list[list[str]]:
    """Split lines at those that are empty."""
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            parts[-1].append(line)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _is_prose(paragraph: Sequence[str]) -> bool:
    """Return whether a paragraph is text: flush left throughout, no heading, no list of entries."""
    flush = not any(line.startswith(" ") for line in paragraph)
    return flush and not _is_heading(paragraph, 0) and not _ENTRY.match(paragraph[0])
