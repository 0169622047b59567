"""Execute one notebook, and take from the result what differs between two equal runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from prunemia.book.files import write_whole
from prunemia.book.progress import ANSI
from prunemia.errors import RunError

KEPT_CELL_METADATA = ("tags", "mystnb")
WIDGETS = "application/vnd.jupyter.widget-view+json"
_TABLE = re.compile(r"\bT_[0-9a-f]{5}(?=[_\"' ])")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class Messages(Protocol):
    """Where a kernel's messages go."""

    def write(self, text: str, /) -> int:
        """Take a piece of text."""

    def flush(self) -> None:
        """Pass on what was taken."""


@dataclass(frozen=True)
class Task:
    """One page to execute: where it is read and written, and what goes in."""

    name: str
    notebook: Path
    output: Path
    log: Path
    parameters: Mapping[str, Any]


def execute(
    notebook: Path,
    output: Path,
    parameters: Mapping[str, Any],
    stderr: Messages,
    manager: type | None = None,
) -> None:
    """Execute a notebook and write the result, without traces of the run.

    Raises
    ------
    RunError
        As `executed`, or the result cannot be written; then no output exists.
    """
    output.unlink(missing_ok=True)
    write_notebook(output, executed(notebook, parameters, stderr, manager))


def executed(
    notebook: Path, parameters: Mapping[str, Any], stderr: Messages, manager: type | None = None
) -> Any:
    """Execute a notebook as papermill does, and return the result without traces of the run.

    The kernel is that of `kernel.own_kernel`, or the one of a ``manager`` (`warm.manager_of`); what
    it writes to stderr goes to ``stderr``, not into the result. The same input gives the same
    result.

    Raises
    ------
    RunError
        A cell failed, the kernel died, or its messages cannot be written.
    """
    import papermill  # slow to import, and a refusal is quick

    try:
        result = papermill.execute_notebook(
            notebook,
            None,
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            stderr_file=stderr,
            store_widget_state=False,
            record_timing=False,
            **({} if manager is None else {"kernel_manager_class": manager}),
        )
    except papermill.PapermillExecutionError as error:
        stderr.write(ANSI.sub("", "\n".join(error.traceback)) + "\n")
        raise RunError(_failing_cell(error.source, f"{error.ename}: {error.evalue}")) from error
    except OSError as error:
        name = error.filename or getattr(stderr, "name", "the messages of its kernel")
        raise RunError(f"{name}: cannot be written: {error.strerror or error}") from error
    except Exception as error:
        raise RunError(f"{type(error).__name__}: {error}") from error
    return clean(result)


def write_notebook(path: Path, notebook: Any) -> None:
    """Write a notebook whole, or not at all."""
    import nbformat  # slow to import, and a refusal is quick

    text: str = nbformat.writes(notebook)
    write_whole(path, text + "\n")


def clean(notebook: Any) -> Any:
    """Take out what differs between two equal runs: paths, times, random ids, stderr, widgets."""
    for name in ("papermill", "widgets"):
        notebook.metadata.pop(name, None)
    for number, cell in enumerate(notebook.cells):
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA and v}
        if "injected-parameters" in cell.metadata.get("tags", []) or "id" not in cell:
            cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.outputs = [_steady(o, number) for o in cell.outputs if not _dropped(o)]
    return notebook


def _dropped(output: Any) -> bool:
    return output.get("name") == "stderr" or WIDGETS in output.get("data", {})


def _steady(output: Any, number: int) -> Any:
    """Take memory addresses out, and name the tables of styled DataFrames after their cell."""
    data = output.get("data", {})
    # glue keeps what it takes under the same types with a prefix
    for kind in [kind for kind in data if kind.endswith("text/plain")]:
        data[kind] = _ADDRESS.sub("", data[kind])
    for kind in [kind for kind in data if kind.endswith("text/html")]:
        for table, random in enumerate(dict.fromkeys(_TABLE.findall(data[kind]))):
            data[kind] = data[kind].replace(random, f"T_{number}_{table}")
    return output


def _failing_cell(source: str, error: str) -> str:
    lines = "\n".join(f"    | {line}" for line in source.splitlines())
    return f"in the cell\n{lines}\n    {ANSI.sub('', error)}"
