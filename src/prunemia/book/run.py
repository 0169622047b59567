"""Pages executed by papermill, alone or in a pool of processes, and written as HTML."""

from __future__ import annotations

import multiprocessing
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunemia.errors import RunError
from prunemia.files import write_text

KEPT_CELL_METADATA = ("tags", "mystnb", "jupyter")
WIDGETS = "application/vnd.jupyter.widget-view+json"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_VOLATILE = ((re.compile(r" at 0x[0-9a-f]+"), ""), (re.compile(r"\bT_[0-9a-f]{5}(?=[_\"' ])"), "T"))
MATHJAX = Path("book/_static/mathjax/tex-svg.js")


@dataclass(frozen=True)
class Task:
    """One page to execute: where it is read and written, what goes in, where messages go."""

    name: str
    notebook: Path
    output: Path
    log: Path
    parameters: Mapping[str, Any]


def execute_all(tasks: Sequence[Task], jobs: int, say: Callable[[str], None]) -> dict[str, str]:
    """Execute tasks in ``jobs`` processes, in their order; return the errors of those that failed.

    A page that fails does not keep the others from running.
    """
    failed = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_end_with_parent) as pool:
        started = {pool.submit(_timed, task): task for task in tasks}
        for number, future in enumerate(as_completed(started), start=1):
            task, error = started[future], future.exception()
            said = f"{number} of {len(tasks)} pages: {task.name}"
            if error is None:
                say(f"  {said} ({future.result():.0f} s)")
            else:
                failed[task.name] = str(error) or type(error).__name__
                say(f"  {said} failed: {failed[task.name]}\n    log: {task.log}")
    return failed


def _timed(task: Task) -> float:
    started = time.monotonic()
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("w", encoding="utf-8") as log:
        result = execute(task.notebook, task.parameters, log)
    write_notebook(task.output, result)
    return time.monotonic() - started


def _end_with_parent() -> None:
    """End this process when the one that started it does, also where that is killed."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def execute(notebook: Path, parameters: Mapping[str, Any], stderr: Any) -> Any:
    """Execute a notebook by papermill and return it, without traces of the run.

    The kernel is this interpreter, on one thread; what it writes to stderr goes to ``stderr``. The
    same input gives the same result.

    Raises
    ------
    RunError
        A cell failed, or the kernel died; the text names the cell.
    """
    import papermill  # slow to import, and a refusal is quick
    from ipykernel.kernelspec import write_kernel_spec

    with tempfile.TemporaryDirectory(prefix="prunemia-kernel-") as folder:
        # a kernel named python3 may be another environment's: this one is the interpreter at work
        write_kernel_spec(Path(folder) / "kernels" / "python3", extra_arguments=["--log-level=50"])
        os.environ |= {"JUPYTER_PATH": folder, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
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
            )
        except papermill.PapermillExecutionError as error:
            stderr.write(_ANSI.sub("", "\n".join(error.traceback)) + "\n")
            cell = error.source.strip().split("\n")[0][:80]
            raise RunError(f"the cell «{cell} …» failed: {error.ename}: {error.evalue}") from error
        except Exception as error:
            raise RunError(f"{type(error).__name__}: {error}") from error
    return _clean(result)


def _clean(notebook: Any) -> Any:
    """Take out what differs between two equal runs: paths, times, random ids, stderr, widgets."""
    for name in ("papermill", "widgets"):
        notebook.metadata.pop(name, None)
    for number, cell in enumerate(notebook.cells):
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA and v}
        if "injected-parameters" in cell.metadata.get("tags", []) or "id" not in cell:
            cell.id = f"cell-{number}"
        if cell.cell_type == "code":
            cell.outputs = [
                _steady(output, number)
                for output in cell.outputs
                if output.get("name") != "stderr" and WIDGETS not in output.get("data", {})
            ]
    return notebook


def _steady(output: Any, number: int) -> Any:
    """Take memory addresses out, and name the tables of styled DataFrames after their cell."""
    data = output.get("data", {})
    output.get("metadata", {}).pop("needs_background", None)
    output.pop("transient", None)
    for kind in [kind for kind in data if kind in ("text/plain", "text/html")]:
        for pattern, new in _VOLATILE:
            data[kind] = pattern.sub(f"{new}{number}" if new else "", data[kind])
    return output


def write_notebook(path: Path, notebook: Any) -> None:
    """Write a notebook whole, or not at all."""
    import nbformat

    write_text(path, nbformat.writes(notebook) + "\n")


def answer_of(notebook: Any) -> str:
    """Return the text of an executed page's answer, "" where it has none."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = str(output.get("data", {}).get("text/markdown", ""))
            if text.startswith("> **Answer.**"):
                return text.removeprefix("> **Answer.** ")
    return ""


def standalone(notebook: Any, source: Path) -> str:
    """Return an executed notebook as one HTML page that needs no network.

    ``source``: where it comes from; formulas are drawn by the MathJax of the book around it, and
    stay as TeX outside of the book.
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=True, mathjax_url="", require_js_url="", jquery_url="")
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r'<script[^>]*src="[^"]*"[^>]*>\s*</script>', "", body)
    for folder in source.resolve().parents:
        if (folder / MATHJAX).is_file():
            script = (
                (folder / MATHJAX).read_text(encoding="utf-8").replace("</script", "<\\/script")
            )
            setting = 'MathJax = {tex: {inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]]}};'
            extra = f"<script>{setting}</script>\n<script>{script}</script>\n</head>"
            return body.replace("</head>", extra, 1)
    return body
