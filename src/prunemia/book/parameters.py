"""Parameters of pages: read from the command line and profiles, and checked before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from prunemia.book.pages import Page
from prunemia.errors import UsageError
from prunemia.experiment import Experiment, PageParameters, explain

_TYPES = {t.__name__: t for t in (bool, dict, float, int, list, str, tuple)}


def parse(assignments: Iterable[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` strings, each value a YAML scalar or list, into a mapping."""
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise UsageError(
                f"-p {assignment}: a parameter needs a name and a value, as in -p sparsity 0.9"
            )
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"{name}: {text!r} is not a YAML value") from error
    return values


def load_profile(folder: Path, name: str, pages: Mapping[str, Page]) -> dict[str, dict[str, Any]]:
    """Read notebooks/profiles/NAME.yml: the values that each page gets, by page.

    The file maps parameters to values for the whole book; its key ``pages``
    maps pages to values of their own, which win. A page gets what it knows.

    Raises
    ------
    UsageError
        No such profile; it is no mapping; it names what no page knows.
    """
    path = folder / f"{name}.yml"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in folder.glob("*.yml")))
        raise UsageError(f"--profile {name}: no such profile; allowed: {there or 'none'}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        own = values.pop("pages", None) or {}
        unknown = sorted(own.keys() - pages.keys())
        if unknown:
            raise UsageError(
                f"{path.name}: there is no page {unknown[0]!r}; allowed: {', '.join(pages)}"
            )
        result = {p: select(page, values) | dict(own.get(p) or {}) for p, page in pages.items()}
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"{path.name}: a profile maps parameters to values, which this does not ({error})"
        ) from error
    require_known(values, pages.values(), where=f"{path.name}: ")
    for page_name, page_values in result.items():
        require_known(page_values, [pages[page_name]], where=f"{path.name}, page {page_name}: ")
    return result


def select(page: Page, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the page has a parameter for."""
    return {name: value for name, value in values.items() if name in page.parameters}


def require_known(values: Iterable[str], pages: Iterable[Page], where: str = "") -> None:
    """Refuse a name that none of the pages has, naming those that they have."""
    known = list(dict.fromkeys(name for page in pages for name in page.parameters))
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UsageError(
                f"{where}{name}: no such parameter{hint}; allowed: {', '.join(known) or 'none'}"
            )


def check(page: Page, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as the page gets them, coerced to their types.

    Fields of `Experiment` are checked together with the page's other values,
    as the page's experiments will be; fields of `PageParameters` likewise. Any
    other parameter is checked against its annotation.

    Raises
    ------
    UsageError
        A name is unknown, or a value is not allowed; the text says what is.
    """
    require_known(values, [page])
    merged = {**page.defaults, **values}
    try:
        fields = {name: value for name, value in merged.items() if name in Experiment.model_fields}
        shared = {
            name: value for name, value in merged.items() if name in PageParameters.model_fields
        }
        experiment, extra = Experiment(**fields), PageParameters(**shared)
        _check_alternatives(page, experiment, extra)
    except ValidationError as error:
        raise UsageError(explain(error)) from error
    return {name: _coerced(name, value, page, experiment, extra) for name, value in values.items()}


def experiments(page: Page, values: Mapping[str, Any]) -> int:
    """Return how many experiments the page's lists and seeds span, at these values."""
    count = 1
    for name, value in {**page.defaults, **values}.items():
        if isinstance(value, list | tuple):
            count *= len(value)
        elif name == "seeds":
            count *= int(value)
    return count


def _check_alternatives(page: Page, experiment: Experiment, extra: PageParameters) -> None:
    """Check the experiments that the page makes of its lists, as `Experiment` does."""
    if "pruners" in page.parameters:
        for pruner in extra.pruners:
            experiment.replace(pruner=pruner)
    if "strengths" in page.parameters:
        for strength in extra.strengths:
            experiment.replace(defense="ppb", strength=strength)


def _coerced(name: str, value: Any, page: Page, *models: BaseModel) -> Any:
    for model in models:
        if name in type(model).model_fields:
            return model.model_dump(mode="json")[name]
    annotation = page.parameters[name].annotation
    if not annotation:
        return value
    try:
        return TypeAdapter(eval(annotation, {"__builtins__": _TYPES})).validate_python(value)
    except ValidationError as error:
        raise UsageError(f"{name}: {value!r} is not allowed; allowed: {annotation}") from error
    except (NameError, TypeError, SyntaxError) as error:
        raise UsageError(
            f"{page.name}: the type of {name}, {annotation}, is none of {', '.join(_TYPES)}"
        ) from error
