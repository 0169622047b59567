"""Citations as text: what the book's bibliography holds, for a page that is read on its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BIBLIOGRAPHY = Path("book/references.bib")


@dataclass
class Citations:
    """The works of a bibliography, by key; it notes which of them are cited."""

    works: dict[str, Any] = field(default_factory=dict)
    cited: dict[str, None] = field(default_factory=dict)

    def textual(self, keys: str) -> str:
        """Return "Yuan and Zhang (2022)" for the keys of a ``cite:t`` role."""
        return " and ".join(f"{self._authors(key)} ({self._year(key)})" for key in self._note(keys))

    def parenthetical(self, keys: str) -> str:
        """Return "(Yuan and Zhang, 2022; Holm, 1979)" for the keys of a ``cite:p`` role."""
        parts = (f"{self._authors(key)}, {self._year(key)}" for key in self._note(keys))
        return f"({'; '.join(parts)})"

    def references(self) -> list[str]:
        """Return a line for each work cited so far, in order of its authors."""
        return sorted(self._reference(key) for key in self.cited if key in self.works)

    def _note(self, keys: str) -> list[str]:
        listed = [key.strip() for key in keys.split(",")]
        self.cited |= dict.fromkeys(listed)
        return listed

    def _authors(self, key: str) -> str:
        if key not in self.works:
            return key
        persons = self.works[key].persons.get("author", [])
        names = [_plain(" ".join(person.prelast_names + person.last_names)) for person in persons]
        return " and ".join(names) if len(names) < 3 else f"{names[0]} et al."

    def _year(self, key: str) -> str:
        return str(self.works[key].fields.get("year", "no year")) if key in self.works else "?"

    def _reference(self, key: str) -> str:
        fields = self.works[key].fields
        parts = [f"{self._authors(key)} ({self._year(key)}). {_plain(fields['title'])}."]
        for name in ("booktitle", "journal"):
            if name in fields:
                parts.append(f"*{_plain(fields[name])}*.")
        if "doi" in fields:
            parts.append(f"<https://doi.org/{fields['doi']}>")
        elif "url" in fields:
            parts.append(f"<{fields['url']}>")
        return " ".join(parts)


def read_citations(notebook: Path) -> Citations:
    """Return the citations of the book that a notebook belongs to; none outside of the book."""
    files: Iterable[Path] = (folder / BIBLIOGRAPHY for folder in notebook.resolve().parents)
    for file in files:
        if file.is_file():
            from pybtex.database import parse_file  # only the readable page needs it

            return Citations(dict(parse_file(file).entries))
    return Citations()


def _plain(latex: str) -> str:
    from pybtex.richtext import Text

    return str(Text.from_latex(latex))
