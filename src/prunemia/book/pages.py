"""The book's pages: where they are, in which order, which parameters each takes."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from prunemia.errors import UsageError, shortened
from prunemia.experiment import Experiment, PageParameters, explain
from prunemia.files import load_yaml, read_yaml
from prunemia.registry import suggest

TOC = Path("book/_toc.yml")


@dataclass(frozen=True)
class Page:
    """A notebook; ``name`` is its path under notebooks/, without suffix, as in ``attacks/conf``."""

    name: str
    path: Path

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The parameters of the page and their own values.

        Raises
        ------
        UsageError
            The notebook has no parameters cell of the form ``name: type = literal  # help``.
        """
        try:
            cells = json.loads(self.path.read_text(encoding="utf-8"))["cells"]
            source = next(
                "".join(cell["source"])
                for cell in cells
                if "parameters" in cell["metadata"].get("tags", [])
            )
            return dict(_assignments(source))
        except StopIteration:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
            raise UsageError(
                f"{self.path}: cannot be read as a notebook with a parameters cell ({error})"
            ) from error

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that the page gets, of the types that it needs.

        Raises
        ------
        UsageError
            A name is unknown, or a value is not allowed; the text says what is.
        """
        require_known(values, [self])
        merged = {**self.defaults, **values}
        if "model" not in merged:  # a page on tables alone: its data set meets no network
            merged.pop("dataset", None)
        try:
            experiment, extra = (
                model(**{name: merged[name] for name in model.model_fields.keys() & merged.keys()})
                for model in (Experiment, PageParameters)
            )
        except ValidationError as error:
            raise UsageError(explain(error)) from error
        typed = {**experiment.model_dump(mode="json"), **extra.model_dump(mode="json")}
        return {n: typed.get(n, value) if n in merged else value for n, value in values.items()}


def _assignments(source: str) -> Iterator[tuple[str, Any]]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node.target.id, ast.literal_eval(node.value)  # type: ignore[union-attr]
        elif isinstance(node, ast.Assign):
            yield node.targets[0].id, ast.literal_eval(node.value)  # type: ignore[attr-defined]


def require_known(values: Iterable[str], pages: Iterable[Page], where: str = "") -> None:
    """Refuse a name that none of the pages has, naming those that they have."""
    known = dict.fromkeys(name for page in pages for name in page.defaults)
    for name in values:
        if name not in known:
            raise UsageError(
                f"{where}{name}: no such parameter{suggest(name, known)}; "
                f"allowed: {', '.join(known) or 'none'}"
            )


def parse(assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` strings, each value a YAML scalar or list, into a mapping."""
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise UsageError(
                f"-p {shortened(assignment)}: a parameter needs a name and a value, "
                "as in -p sparsity 0.9"
            )
        values[name] = load_yaml(text, shortened(name))
    return values


def profile(root: Path, name: str, pages: Mapping[str, Page]) -> dict[str, dict[str, Any]]:
    """Return what notebooks/profiles/NAME.yml gives each page: the parameters that it knows.

    The file maps parameters to values for the whole book; its key ``pages`` maps pages to values of
    their own, which win.
    """
    folder = root / "notebooks" / "profiles"
    if not (path := folder / f"{shortened(name)}.yml").is_file():
        allowed = ", ".join(sorted(file.stem for file in folder.glob("*.yml")))
        raise UsageError(f"--profile {shortened(name)}: no such profile; allowed: {allowed}")
    values = read_yaml(path) or {}
    own = values.pop("pages", {}) if isinstance(values, dict) else None
    if not isinstance(own, dict) or not set(own) <= set(pages):
        raise UsageError(f"{path.name}: a profile maps parameters to values, and pages to such")
    require_known(values, pages.values(), where=f"{path.name}: ")
    return {
        page: {n: v for n, v in values.items() if n in known.defaults} | own.get(page, {})
        for page, known in pages.items()
    }


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


def in_order(root: Path) -> list[str]:
    """Return what the table of contents names, in its order, without suffixes."""

    def files(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (str(node[key]) for key in ("root", "file") if key in node)
            node = [node.get(key, []) for key in ("parts", "chapters", "sections")]
        if isinstance(node, list):
            for item in node:
                yield from files(item)

    return list(files(yaml.safe_load((root / TOC).read_text(encoding="utf-8"))))


def discover(root: Path) -> dict[str, Page]:
    """Return the book's pages by name, in the order of the table of contents."""
    names = [n.removeprefix("notebooks/") for n in in_order(root) if n.startswith("notebooks/")]
    return {name: Page(name, root / "notebooks" / f"{name}.ipynb") for name in names}


def find_page(name: str) -> Page:
    """Return a page by its name (from anywhere in the repository) or by the path of a notebook."""
    if name.endswith(".ipynb"):
        page = Page(Path(name).stem, Path(name))
    else:
        root = find_root()
        page = Page(name, root / "notebooks" / f"{name}.ipynb")
    if not page.path.is_file():
        raise UsageError(f"{shortened(name)}: there is no such page or notebook")
    return page
