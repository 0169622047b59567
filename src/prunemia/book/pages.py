"""The book's pages: where they are, in which order, and which parameters each takes."""

from __future__ import annotations

import ast
import io
import json
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from prunemia.errors import UsageError, shortened

TOC = Path("book/_toc.yml")
# Notebooks come from anywhere: deep nesting exhausts the stack or the parser's memory.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    SyntaxError,
    RecursionError,
    MemoryError,
)


@dataclass(frozen=True)
class Parameter:
    """One line of a page's parameters cell, ``name: annotation = default  # help``."""

    name: str
    annotation: str
    default: Any
    help: str


@dataclass(frozen=True)
class Page:
    """A notebook; ``name`` is its path under notebooks/, without suffix, as in ``attacks/conf``."""

    name: str
    path: Path

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters by name, in their order.

        Raises
        ------
        UsageError
            The notebook, or that cell, cannot be read.
        """
        try:
            cells = json.loads(self.path.read_text(encoding="utf-8"))["cells"]
            tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
            source = "".join(tagged[0]["source"]) if tagged else ""
            return {p.name: p for p in read_parameters(source)}
        except _UNREADABLE as error:
            reason = shortened(" ".join(str(error).split()) or type(error).__name__)
            raise UsageError(
                f"{self.path}: cannot be read as a notebook with a parameters cell ({reason})"
            ) from error

    @cached_property
    def needs(self) -> list[dict[str, Any]]:
        """What the page needs computed (`prunemia.book.needs`), as its metadata declare it."""
        metadata = json.loads(self.path.read_text(encoding="utf-8")).get("metadata", {})
        needs: list[dict[str, Any]] = metadata.get("prunemia", {}).get("needs", [])
        return needs

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters' own values, by name."""
        return {p.name: p.default for p in self.parameters.values()}


def read_parameters(source: str) -> Iterator[Parameter]:
    """Read the assignments of a parameters cell.

    Like ``papermill.inspect_notebook``, but from the syntax tree: it also reads
    ``int | None`` and strings with ``#`` in them, and costs no second of imports.

    Raises
    ------
    ValueError
        A line is no assignment of a literal to one name.
    """
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {
        t.start[0]: t.string.lstrip("# ").strip() for t in tokens if t.type == tokenize.COMMENT
    }
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if (
            not isinstance(node, ast.Assign | ast.AnnAssign)
            or not isinstance(target, ast.Name)
            or node.value is None
        ):
            raise ValueError(
                f"line {node.lineno} of the parameters cell is not `name: type = value  # help`"
            )
        annotation = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
        yield Parameter(
            target.id,
            annotation,
            ast.literal_eval(node.value),
            comments.get(node.end_lineno or node.lineno, ""),
        )


def find_root(start: Path | None = None) -> Path:
    """Return the repository's root, from anywhere inside it.

    Raises
    ------
    UsageError
        The folder (None: the current one) is not inside the repository.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / TOC).is_file() and (folder / "notebooks").is_dir():
            return folder
    raise UsageError(
        f"{start} is not inside the book's repository (a folder with {TOC} and notebooks/)"
    )


def toc_files(node: Any) -> Iterator[str]:
    """Yield the files that a table of contents names, in its order."""
    if isinstance(node, dict):
        yield from (node[key] for key in ("root", "file") if key in node)
        node = [node[key] for key in ("parts", "chapters", "sections") if key in node]
    if isinstance(node, list):
        for item in node:
            yield from toc_files(item)


def discover(root: Path) -> dict[str, Page]:
    """Return the book's pages by name, in the order of the table of contents."""
    toc = yaml.safe_load((root / TOC).read_text(encoding="utf-8"))
    names = [
        str(file).removeprefix("notebooks/")
        for file in toc_files(toc)
        if str(file).startswith("notebooks/")
    ]
    pages = {name: Page(name, root / "notebooks" / f"{name}.ipynb") for name in names}
    missing = [name for name, page in pages.items() if not page.path.is_file()]
    if missing:
        raise UsageError(
            f"{TOC} names notebooks/{missing[0]}, but there is no notebooks/{missing[0]}.ipynb"
        )
    return pages


def find_page(name: str) -> Page:
    """Return a page by its name (from anywhere in the repository) or by the path of a notebook."""
    path = Path(name)
    if path.suffix == ".ipynb":
        if not is_file(path):
            raise UsageError(f"{shortened(name)}: there is no such notebook")
        return Page(path.stem, path)
    root = find_root()
    page = Page(name, root / "notebooks" / f"{name}.ipynb")
    if not is_file(page.path):
        name = shortened(name)
        raise UsageError(f"{name}: there is no such page; there are {', '.join(discover(root))}")
    return page


def is_file(path: Path) -> bool:
    """Say whether there is such a file; no for a path that is too long for there to be one."""
    try:
        return path.is_file()
    except OSError:
        return False
