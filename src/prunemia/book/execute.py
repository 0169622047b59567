"""Execute notebooks: one at a time or in parallel processes, each result whole or not at all."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TextIO

from prunemia.errors import RunError

KEPT_CELL_METADATA = ("tags", "mystnb")
WIDGETS = "application/vnd.jupyter.widget-view+json"
SECONDS_BETWEEN_NEWS = 10.0
_TABLE = re.compile(r"\bT_[0-9a-f]{5}(?=[_\"' ])")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_BAR = re.compile(r"\|[^|]*\| ")
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass(frozen=True)
class Task:
    """One page to execute: where it is read and written, and what goes in."""

    name: str
    notebook: Path
    output: Path
    log: Path
    parameters: Mapping[str, Any]


def execute(notebook: Path, output: Path, parameters: Mapping[str, Any], stderr: TextIO) -> None:
    """Execute a notebook as papermill does, and write the result without run-specific traces.

    The kernel is this very interpreter; what it writes to stderr goes to
    ``stderr``, not into the output. The same input gives the same bytes.

    Raises
    ------
    RunError
        A cell failed or the kernel died; then no output exists.
    """
    import nbformat
    import papermill

    output.unlink(missing_ok=True)
    try:
        executed = papermill.execute_notebook(
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
        stderr.write(ANSI.sub("", "\n".join(error.traceback)) + "\n")
        raise RunError(_failing_cell(error.source, f"{error.ename}: {error.evalue}")) from error
    except Exception as error:
        raise RunError(f"{type(error).__name__}: {error}") from error
    text: str = nbformat.writes(clean(executed))
    write_whole(output, text + "\n")


def clean(notebook: Any) -> Any:
    """Take out what differs between two equal runs: paths, times, random ids, stderr, widget views."""
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
    """Take memory addresses out, and give the tables of styled DataFrames ids that tell the cell; theirs are random."""
    data = output.get("data", {})
    if "text/plain" in data:
        data["text/plain"] = _ADDRESS.sub("", data["text/plain"])
    for table, random in enumerate(dict.fromkeys(_TABLE.findall(data.get("text/html", "")))):
        data["text/html"] = data["text/html"].replace(random, f"T_{number}_{table}")
    return output


def _failing_cell(source: str, error: str) -> str:
    lines = "\n".join(f"    | {line}" for line in source.splitlines())
    return f"in the cell\n{lines}\n    {ANSI.sub('', error)}"


def write_whole(path: Path, text: str) -> None:
    """Write a file aside and move it into place, so that half of it is never seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False
    ) as file:
        try:
            file.write(text)
            file.close()
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        finally:
            Path(file.name).unlink(missing_ok=True)


@contextlib.contextmanager
def own_kernel() -> Iterator[None]:
    """Make ``python3`` mean this interpreter, one thread a process, for kernels started inside the block."""
    from ipykernel.kernelspec import write_kernel_spec

    with tempfile.TemporaryDirectory(prefix="prunemia-kernel-") as folder:
        write_kernel_spec(Path(folder) / "kernels" / "python3", extra_arguments=["--log-level=50"])
        changes = {
            "JUPYTER_PATH": folder,
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        before = {name: os.environ.get(name) for name in changes}
        os.environ.update(changes)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def execute_all(tasks: Sequence[Task], jobs: int, say: Callable[[str], None]) -> list[str]:
    """Execute tasks in up to ``jobs`` processes, telling what happens; return the names that failed.

    A page that fails, or whose process is killed, does not keep the others from running.
    """
    failed: list[str] = []
    waiting = list(enumerate(tasks, start=1))
    running: list[_Running] = []
    with own_kernel():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    number, task = waiting.pop(0)
                    say(f"[{number}/{len(tasks)}] {task.name}: started")
                    running.append(_Running(task, f"[{number}/{len(tasks)}] {task.name}"))
                wait([r.process.sentinel for r in running], timeout=1)
                for r in [r for r in running if not r.process.is_alive()]:
                    running.remove(r)
                    error = r.error()
                    say(
                        f"{r.title}: {'failed after' if error else 'done in'} {r.seconds:.0f} s{error}"
                    )
                    failed += [r.task.name] if error else []
                for r in running:
                    r.tell_news(say)
        finally:
            for r in running:
                r.process.terminate()
                r.process.join()
    return failed


class _Running:
    """A page in its own process."""

    def __init__(self, task: Task, title: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.task, self.title = task, title
        self.started = self.told_at = time.monotonic()
        self.told = ""
        task.log.parent.mkdir(parents=True, exist_ok=True)
        task.log.write_text("", encoding="utf-8")
        self.answer, theirs = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(
            target=_work, args=(task, theirs), name=task.name
        )
        self.process.start()
        theirs.close()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def error(self) -> str:
        """Return "" after success, else what to show."""
        self.process.join()
        try:
            message: str = self.answer.recv()
        except EOFError:
            message = (
                f"its process ended with code {self.process.exitcode} (killed, or out of memory)"
            )
        return message and f" {message}\n    log: {self.task.log}"

    def tell_news(self, say: Callable[[str], None]) -> None:
        """Say the page's last progress message, where it is new, at most every ten seconds."""
        if time.monotonic() - self.told_at < SECONDS_BETWEEN_NEWS:
            return
        news = last_message(self.task.log)
        if news and news != self.told:
            say(f"{self.title}: {news}")
            self.told, self.told_at = news, time.monotonic()


def last_message(log: Path) -> str:
    """Return the last line of a log in which lines end with a newline or, as bars do, a return; without the bar."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        text = ANSI.sub("", file.read().decode("utf-8", errors="replace"))
    line = next((line.strip() for line in reversed(re.split(r"[\r\n]", text)) if line.strip()), "")
    return _BAR.sub(" ", line)


def _work(task: Task, answer: Connection) -> None:
    """Execute one task in a child process; answer "" or what went wrong."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with task.log.open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 2)  # this process's own warnings and the kernel's go there too
        try:
            execute(task.notebook, task.output, task.parameters, log)
            answer.send("")
        except RunError as error:
            answer.send(str(error))
        except KeyboardInterrupt:
            sys.exit(130)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
