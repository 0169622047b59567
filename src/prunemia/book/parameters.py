"""Parameters of pages, from the command line and profiles: checked before anything runs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from prunemia.book.annotations import parse_type
from prunemia.book.pages import Page, Parameter, is_file
from prunemia.bounded import load_yaml, read_yaml
from prunemia.data import DataError, check_own
from prunemia.errors import UsageError, shortened
from prunemia.experiment import Experiment, PageParameters, explain
from prunemia.kinds import NETWORKS

_HOLDS = {1: "features", 2: "series", 3: "images"}
LONGEST_TEXT = 4096
"""Most characters of a text or a path."""


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
    if not is_file(path):
        allowed = ", ".join(sorted(file.stem for file in folder.glob("*.yml")))
        name = shortened(name)
        raise UsageError(f"--profile {name}: no such profile; allowed: {allowed or 'none'}")
    values = _profile_mapping(path)
    of_pages = values.pop("pages", None) or {}
    if not isinstance(of_pages, dict) or not all(isinstance(v, dict) for v in of_pages.values()):
        raise _no_profile(path, "pages maps pages to mappings")
    for page_name in of_pages:
        if page_name not in pages:
            known = ", ".join(pages)
            raise UsageError(f"{path.name}: there is no page {page_name!r}; allowed: {known}")
    result = {p: select(page, values) | of_pages.get(p, {}) for p, page in pages.items()}
    require_known(values, pages.values(), where=f"{path.name}: ")
    for page_name, page_values in result.items():
        require_known(page_values, [pages[page_name]], where=f"{path.name}, page {page_name}: ")
    return result


def _profile_mapping(path: Path) -> dict[str, Any]:
    values = read_yaml(path) or {}
    if not isinstance(values, dict):
        raise _no_profile(path, f"it is {shortened(repr(values), 80)}")
    return values


def _no_profile(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"{path.name}: a profile maps parameters to values, which this does not ({reason})"
    )


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
    for name, value in merged.items():
        _require_sort(name, value, page)
    try:
        fields = {name: value for name, value in merged.items() if name in Experiment.model_fields}
        shared = {
            name: value for name, value in merged.items() if name in PageParameters.model_fields
        }
        experiment, extra = Experiment(**fields), PageParameters(**shared)
        _check_alternatives(page, experiment, extra)
    except ValidationError as error:
        raise UsageError(explain(error)) from error
    _check_arrays(merged, experiment)
    return {name: _coerced(name, value, page, experiment, extra) for name, value in values.items()}


def _require_sort(name: str, value: Any, page: Page) -> None:
    """Refuse what would pass for something else: a truth value for a number, a lost file's path."""
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) for item in items) and _numeric(page.parameters[name]):
        raise UsageError(f"{name}: {str(value).lower()} is not allowed: should be a number")
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise UsageError(f"{name}: {shortened(value)!r} is longer than {LONGEST_TEXT:,} characters")
    if isinstance(value, str) and value.endswith(".npz") and not is_file(Path(value)):
        raise UsageError(f"{name}: {shortened(value)!r} is a path, but there is no such file")


def _numeric(parameter: Parameter) -> bool:
    """Say whether a parameter is a number, or a list of numbers, and no truth value."""
    named = set(re.findall(r"\w+", parameter.annotation))
    default = parameter.default
    kinds = {type(item) for item in (default if isinstance(default, list) else [default])}
    return bool(named & {"int", "float"} or kinds & {int, float}) and not (
        "bool" in named or bool in kinds
    )


def _check_arrays(values: Mapping[str, Any], experiment: Experiment) -> None:
    """Read the reader's own data as the page will, so that what is wrong in them shows now."""
    if "dataset" not in values or not experiment.dataset.endswith(".npz"):
        return
    path = Path(experiment.dataset)
    try:
        shape = _read_once(path, path.stat().st_mtime_ns, experiment.samples)
    except (DataError, OSError) as error:
        raise UsageError(f"dataset: {error}") from error
    network = NETWORKS[experiment.model]
    holds = _HOLDS[len(shape)]
    if network.takes not in (None, holds):
        fitting = [name for name, kind in NETWORKS.items() if kind.takes in (None, holds)]
        raise UsageError(
            f"model: {experiment.model!r} takes {network.takes}, and {path} holds {holds}; "
            f"allowed with it: {', '.join(fitting)}"
        )
    if holds == "images" and min(shape[1:]) < network.smallest:
        raise UsageError(
            f"model: {experiment.model!r} takes images of {network.smallest}×{network.smallest} "
            f"or more, and {path} holds {'×'.join(map(str, shape[1:]))}"
        )


@lru_cache(maxsize=8)
def _read_once(path: Path, changed: int, samples: int | None) -> tuple[int, ...]:  # noqa: ARG001
    """Read a data set, once for all pages of a book."""
    return check_own(path, samples)


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
        return TypeAdapter(parse_type(annotation)).validate_python(value)
    except ValidationError as error:
        shown = shortened(repr(value))
        raise UsageError(f"{name}: {shown} is not allowed; allowed: {annotation}") from error
    except ValueError as error:
        raise UsageError(f"{page.name}: the type of {name}: {error}") from error
