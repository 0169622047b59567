"""Have computed what the pages need before they are executed: one plan for the whole book.

Page by page, two pages that are at work need not be those with the most to compute, and in the end
one of them works alone. Planned together, the longest chain of steps starts first, on all cores.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prunemia.book.execute import Task
from prunemia.book.files import naming
from prunemia.book.pages import Page
from prunemia.book.parallel import last_message
from prunemia.book.progress import Teller

MODULE = "prunemia.book.carry_out"
"""Runs in a process of its own: it imports torch, which takes seconds."""


def compute_ahead(work: Sequence[tuple[Page, Task]], jobs: int, tell: Teller, log: Path) -> None:
    """Compute on ``jobs`` processes what these pages need and the store has not.

    What fails here is told and left to the page, which will fail by itself and say where.
    """
    wants: list[dict[str, Any]] = [
        {
            "page": page.name,
            "needs": page.needs,
            "parameters": dict(page.defaults) | dict(task.parameters),
        }
        for page, task in work
        if page.needs
    ]
    if not wants or (len(wants) == 1 and jobs == 1):
        return
    with naming(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("w", encoding="utf-8")
    with file:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(jobs)], stdin=subprocess.PIPE, stderr=file, text=True
        )
        try:
            _follow(process, json.dumps(wants), tell, log)
        finally:
            tell.clear()
            process.terminate()
            process.wait()
    if process.returncode:
        tell.line(f"Not all could be computed before the pages are executed; log: {log}")


def _follow(process: subprocess.Popen[str], wants: str, tell: Teller, log: Path) -> None:
    """Tell how far the process is until it ends; it ends when this pipe to it is closed."""
    assert process.stdin is not None
    # one that could not start has closed the pipe; its exit code says so
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(wants + "\n")
        pipe.flush()
        while True:
            try:
                process.wait(timeout=1)
                return
            except subprocess.TimeoutExpired:
                tell.status(f"computing what the pages show ({last_message(log) or 'planning'})")
