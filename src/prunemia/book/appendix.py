"""What the appendix makes from the code itself: data sheets, tables of fields, and docstrings that Sphinx can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from prunemia.book.docstrings import prose_first
from prunemia.data import SOURCES, Source
from prunemia.experiment import Adversary, Experiment, PageParameters

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_TYPES = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "`True`, `False`",
    "null": "`None`",
}


def fragments() -> dict[str, str]:
    """Return by file name the fragments that pages of book/ include."""
    return {
        "datasheets.fragment.md": datasheets(SOURCES.values()),
        "experiment.fragment.md": fields(Experiment),
        "adversary.fragment.md": fields(Adversary),
        "page-parameters.fragment.md": fields(PageParameters),
    }


def datasheets(sources: Iterable[Source]) -> str:
    """Return an overview table, then a section with a sheet for each data set."""
    sources = list(sources)
    rows = [
        [
            f"[{s.name}](#sheet-{s.name})",
            f"{s.rows:,}",
            _shape(s),
            str(s.classes),
            s.license.split(";")[0],
        ]
        for s in sources
    ]
    overview = _table(["data set", "rows", "features", "classes", "license"], rows)
    return "\n".join([overview, *(_sheet(source) for source in sources)])


def _sheet(source: Source) -> str:
    facts = [
        ("Used for", source.used_for),
        ("Contents", f"{source.rows:,} rows of {_shape(source)}, {source.classes} classes"),
        ("Source", source.origin),
        *(
            ("File", f"`{archive.file}`, {_checksum(archive.checksum)}")
            for archive in source.archives
        ),
        ("License", source.license),
        ("Citation", f"{{cite:t}}`{source.citation}`"),
    ]
    listed = "\n".join(f"- *{name}:* {text}" for name, text in facts)
    return f"(sheet-{source.name})=\n## {source.name}\n\n{source.about}.\n\n{listed}\n"


def _shape(source: Source) -> str:
    return "×".join(f"{side:,}" for side in source.shape)


def _checksum(checksum: str) -> str:
    algorithm, digits = checksum.split(":")
    return f"{algorithm.replace('gitblob', 'git blob').replace('sha', 'SHA-').replace('md5', 'MD5')} `{digits}`"


def fields(model: type[BaseModel]) -> str:
    """Return a table of a model's fields: name, what is allowed, default, meaning."""
    properties = model.model_json_schema()["properties"]
    rows = [
        [
            f"`{name}`",
            _allowed(schema),
            f"`{schema.get('default')!r}`",
            schema.get("description", ""),
        ]
        for name, schema in properties.items()
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
    return " ".join([_TYPES[schema["type"]], ", ".join(bounds)]).strip()


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def setup(app: Any) -> dict[str, Any]:
    """Let Sphinx read the package's docstrings; this module is one of its extensions (_config.yml)."""
    app.connect("autodoc-process-docstring", as_restructured_text, priority=1)
    return {"parallel_read_safe": True}


def as_restructured_text(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Escape what our docstrings mean as plain text and reStructuredText or napoleon would not: |w|, a colon."""
    lines[:] = [line.replace("|", r"\|") for line in prose_first(lines)]
    if what in ("attribute", "data", "property"):
        lines[:0] = [
            "..",
            "",
        ]  # an empty comment; else napoleon takes what stands before a colon for a type
