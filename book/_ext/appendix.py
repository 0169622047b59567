"""What the appendix makes from the code itself: data sheets, tables of fields, docstrings.

A Sphinx extension (_config.yml). Our docstrings are NumPy's, but mean some things as plain text
that reStructuredText or napoleon, Sphinx's reader of such docstrings, takes for markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from prunemia.data import SOURCES, Source
from prunemia.experiment import Adversary, Experiment, PageParameters

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_TYPES = {"string": "text", "boolean": "`True`, `False`", "null": "`None`"}
_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,} *$", re.MULTILINE)
_ENTRY = re.compile(r"^(\*{0,2}\w[\w.*]*(?:, \*{0,2}\w[\w.*]*)*) : (.*)$", re.MULTILINE)


def fragments(book: Path) -> dict[str, str]:
    """Return by file name the fragments that the pages in the folder ``book`` include."""
    bench = book / "bench.txt"
    timings = "This repository has no such table yet. `make bench` writes it.\n"
    if bench.is_file():
        timings = f"```text\n{bench.read_text(encoding='utf-8').rstrip()}\n```\n"
    return {
        "bench.fragment.md": timings,
        "datasheets.fragment.md": datasheets(SOURCES.values()),
        "experiment.fragment.md": fields(Experiment),
        "adversary.fragment.md": fields(Adversary),
        "page-parameters.fragment.md": fields(PageParameters),
    }


def datasheets(sources: Iterable[Source]) -> str:
    """Return an overview table, then a section with a sheet for each data set."""
    rows, sheets = [], []
    for s in sources:
        shape = "×".join(f"{length:,}" for length in s.shape)
        link = f"[{s.name}](#sheet-{s.name})"
        rows.append([link, f"{s.rows:,}", shape, str(s.classes), s.license.split(";")[0]])
        files = "".join(f"- *File:* `{a.file}`, {_checksum(a.checksum)}\n" for a in s.archives)
        sheets.append(
            f"(sheet-{s.name})=\n## {s.name}\n\n{s.about}.\n\n- *Used for:* {s.used_for}\n"
            f"- *Contents:* {s.rows:,} samples of {shape}, {s.classes} classes\n"
            f"- *Source:* {s.origin}\n{files}- *License:* {s.license}\n"
            f"- *Citation:* [entry](references.md#{s.citation})\n"
        )
    head = ["data set", "samples", "features", "classes", "license"]
    return "\n".join([_table(head, rows), *sheets])


def _checksum(checksum: str) -> str:
    algorithm, digits = checksum.split(":")
    shown = {"gitblob": "git blob", "md5": "MD5"}.get(algorithm, algorithm.replace("sha", "SHA-"))
    return f"{shown} `{digits}`"


def fields(model: type[BaseModel]) -> str:
    """Return a table of a model's fields: name, what is allowed, default, meaning."""
    rows = [
        [f"`{name}`", _allowed(told), f"`{told.get('default')!r}`", told.get("description", "")]
        for name, told in model.model_json_schema()["properties"].items()
    ]
    return _table(["field", "allowed", "default", "meaning"], rows)


def _allowed(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return ", or ".join(_allowed(choice) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema:
        return f"`{schema['$ref'].split('/')[-1]}`"
    if schema.get("type") == "array":
        return f"list: {_allowed(schema['items'])}"
    bounds = [f"{sign} {_number(schema[key])}" for key, sign in _BOUNDS.items() if key in schema]
    kind = schema["type"]
    return f"{_TYPES.get(kind, kind)} {', '.join(bounds)}".strip()


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def setup(app: Any) -> dict[str, Any]:
    """Write the fragments before Sphinx looks for files; come before napoleon (priority 500)."""
    book = Path(app.srcdir) / "book"
    for name, text in fragments(book).items():
        (book / name).write_text(text, encoding="utf-8")

    def process(_app: Any, what: str, _name: str, _object: Any, _options: Any, lines: Any) -> None:
        lines[:] = as_restructured_text(what, lines)

    app.connect("autodoc-process-docstring", process, priority=1)
    return {"parallel_read_safe": True}


def as_restructured_text(what: str, lines: list[str]) -> list[str]:
    r"""Return a docstring's lines as napoleon should have them.

    |w| is escaped. Prose that follows a section moves before the first one, else it would be read
    as part of it. Entries get their text below their name, where no colon makes a type of it.
    """
    text = "\n".join(lines).replace("|", r"\|")
    if what in ("attribute", "data", "property"):
        # An empty comment; else napoleon takes what stands before a colon for a type.
        return ["..", "", *text.split("\n")]
    prose, *parts = _SECTION.split(text)
    sections = ""
    for title, content in zip(parts[::2], parts[1::2], strict=True):
        first, *others = content.strip("\n").split("\n\n")
        after = [p for p in others if not p.startswith(" ") and not _ENTRY.match(p)]
        inside = "\n\n".join([first, *(p for p in others if p not in after)])
        if title in ("Parameters", "Attributes"):
            inside = _ENTRY.sub(r"\1\n    \2", inside)
        prose += "".join(f"{paragraph}\n\n" for paragraph in after)
        sections += f"\n{title}\n{'-' * len(title)}\n{inside}\n"
    return (prose + sections).split("\n")
