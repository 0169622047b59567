"""What the appendix makes from the code itself: data sheets and tables of fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

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


def fragments(root: Path) -> dict[str, str]:
    """Return by file name the fragments that book/ includes; ``root``: of the repository."""
    return {
        "bench.fragment.md": timings(root / "results" / "bench.txt"),
        "datasheets.fragment.md": datasheets(SOURCES.values()),
        "experiment.fragment.md": fields(Experiment),
        "adversary.fragment.md": fields(Adversary),
        "page-parameters.fragment.md": fields(PageParameters),
    }


def timings(file: Path) -> str:
    """Return the table that `make bench` wrote, as it is; without one, how to make it."""
    if not file.is_file():
        return "This repository has no such table yet. `make bench` writes it.\n"
    return f"```text\n{file.read_text(encoding='utf-8').rstrip()}\n```\n"


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
    overview = _table(["data set", "samples", "features", "classes", "license"], rows)
    return "\n".join([overview, *(_sheet(source) for source in sources)])


def _sheet(source: Source) -> str:
    entries = [
        ("Used for", source.used_for),
        ("Contents", f"{source.rows:,} samples of {_shape(source)}, {source.classes} classes"),
        ("Source", source.origin),
        *(
            ("File", f"`{archive.file}`, {_checksum(archive.checksum)}")
            for archive in source.archives
        ),
        ("License", source.license),
        ("Citation", f"[entry](references.md#{source.citation})"),
    ]
    listed = "\n".join(f"- *{name}:* {text}" for name, text in entries)
    return f"(sheet-{source.name})=\n## {source.name}\n\n{source.about}.\n\n{listed}\n"


def _shape(source: Source) -> str:
    return "×".join(f"{length:,}" for length in source.shape)


def _checksum(checksum: str) -> str:
    algorithm, digits = checksum.split(":")
    for prefix, shown in (("gitblob", "git blob"), ("sha", "SHA-"), ("md5", "MD5")):
        algorithm = algorithm.replace(prefix, shown)
    return f"{algorithm} `{digits}`"


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
