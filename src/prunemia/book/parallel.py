"""Execute pages in parallel processes, which end when the process that started them does."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from prunemia.book import warm
from prunemia.book.execute import Task, execute
from prunemia.book.files import naming
from prunemia.book.kernel import own_kernel
from prunemia.book.progress import Teller, last_line, pages_done, seconds_left
from prunemia.errors import RunError


def execute_all(
    tasks: Sequence[Task], jobs: int, tell: Teller, weights: Mapping[str, float] | None = None
) -> list[str]:
    """Execute tasks in up to ``jobs`` processes, in their order; return the names that failed.

    A page that fails, or whose process is killed, does not keep the others from running.
    ``weights`` say how much work each page is, in any unit; None: all equally much.
    """
    with own_kernel():
        return _Pool(tasks, jobs, tell, weights or dict.fromkeys((t.name for t in tasks), 1)).run()


class _Pool:
    """The pages that wait, run and are done."""

    def __init__(
        self, tasks: Sequence[Task], jobs: int, tell: Teller, weights: Mapping[str, float]
    ) -> None:
        self.jobs, self.tell, self.weights = jobs, tell, weights
        self.waiting = list(tasks)
        self.running: list[_Running] = []
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    def run(self) -> list[str]:
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < self.jobs:
                    self.running.append(_Running(self.waiting.pop(0)))
                wait([page.process.sentinel for page in self.running], timeout=1)
                for page in [page for page in self.running if not page.process.is_alive()]:
                    self._end(page)
                self.tell.status(self.status())
        finally:
            self.tell.clear()
            for page in self.running:
                page.process.terminate()
                page.process.join()
        return self.failed

    def _end(self, page: _Running) -> None:
        self.running.remove(page)
        self.seconds[page.task.name] = page.seconds
        if error := page.error():
            self.failed.append(page.task.name)
            self.tell.line(f"{page.task.name}: failed after {page.seconds:.0f} s {error}")

    def status(self) -> str:
        running = {page.task.name: page.seconds for page in self.running}
        left = seconds_left(self.weights, self.seconds, running, self.jobs)
        text = pages_done(len(self.seconds), len(self.weights), left)
        if not self.running:
            return text
        longest = self.running[0]
        return f"{text} ({': '.join(filter(None, [longest.task.name, longest.news()]))})"


class _Running:
    """A page in its own process."""

    def __init__(self, task: Task) -> None:
        context = warm.context()
        self.task = task
        self.started = time.monotonic()
        with naming(task.log):
            task.log.parent.mkdir(parents=True, exist_ok=True)
            task.log.write_text("", encoding="utf-8")
        self.answer, theirs = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(
            target=_work, args=(task, theirs, dict(os.environ)), name=task.name
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
            code = self.process.exitcode
            message = f"its process ended with code {code} (killed, or out of memory)"
        return message and f"{message}\n    log: {self.task.log}"

    def news(self) -> str:
        """Return the page's last message."""
        return last_message(self.task.log)


def last_message(log: Path) -> str:
    """Return the last line of a log, without its progress bar."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        return last_line(file.read().decode("utf-8", errors="replace"))


def _work(task: Task, answer: Connection, environment: dict[str, str]) -> None:
    """Execute one task in a child process; answer "" or what went wrong."""
    os.environ.update(environment)  # the server that it was forked from has that of its start
    with task.log.open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 2)  # this process's own warnings and the kernel's go there too
        kernel = warm.ForkedKernel()  # before there is a second thread
        threading.Thread(target=_end_with_parent, daemon=True).start()
        try:
            execute(task.notebook, task.output, task.parameters, log, warm.manager_of(kernel))
            answer.send("")
        except (RunError, OSError) as error:
            answer.send(str(error))
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            kernel.kill()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
