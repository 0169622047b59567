"""Execute the notebooks where something changed, and build the book from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from prunemia.book import parameters
from prunemia.book.ahead import compute_ahead
from prunemia.book.appendix import fragments
from prunemia.book.execute import Task
from prunemia.book.files import naming, require_folder, write_whole
from prunemia.book.kernel import own_kernel
from prunemia.book.pages import Page, discover
from prunemia.book.parallel import execute_all
from prunemia.book.progress import teller
from prunemia.book.sphinx import run_sphinx
from prunemia.book.stamp import (
    PACKAGE,
    changed,
    digest,
    package_files,
    stamp_of,
    stamp_path,
    versions,
)
from prunemia.errors import RunError, UsageError
from prunemia.store import default_root

NOT_EXECUTED = """\
:::{{warning}}
This page has not been executed on this profile: it shows no results. `prunemia book --only {name}`
executes it.
:::"""


@dataclass(frozen=True)
class Book:
    """The sources under ``root``, what is made of them under ``build``, on one profile.

    ``build`` holds pages/PROFILE (executed notebooks, a stamp beside each),
    logs, stage (what Sphinx reads) and _build/html.
    """

    root: Path
    build: Path
    profile: str = "default"
    say: Callable[[str], None] = print

    def make(
        self,
        only: Iterable[str] = (),
        given: Mapping[str, Any] | None = None,
        *,
        jobs: int = 1,
        force: bool = False,
        html: bool = True,
    ) -> None:
        """Execute what changed, then build the book.

        Parameters
        ----------
        only : names of the pages to execute; none: all.
        given : parameters that win over the profile's.
        jobs : pages executed at a time.
        force : execute pages and build the book even where nothing changed.
        html : whether to build the book.

        Raises
        ------
        UsageError
            A page, profile, parameter or value is not allowed; nothing ran.
        RunError
            A page failed, or the book has a warning.
        """
        pages = discover(self.root)
        only = list(only)
        tasks = self._plan(pages, only, given or {})
        require_folder(self.build, f"the folder {self.build}")
        self.build.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.build / ".lock", timeout=0):
                self._execute(pages, tasks, jobs, force)
                if html:
                    self._build(pages, strict=not only, force=force)
        except Timeout as error:
            raise UsageError(
                f"another `prunemia book` is at work in {self.build}; wait until it ends"
            ) from error

    def _plan(
        self, pages: dict[str, Page], only: list[str], given: Mapping[str, Any]
    ) -> dict[str, Task]:
        """Return what each wanted page would be executed with; all names and values are checked."""
        unknown = [name for name in only if name not in pages]
        if unknown:
            raise UsageError(
                f"--only {unknown[0]}: there is no such page; allowed: {', '.join(pages)}"
            )
        profile = parameters.load_profile(self.root / "notebooks" / "profiles", self.profile, pages)
        wanted = {name: page for name, page in pages.items() if name in only or not only}
        parameters.require_known(given, wanted.values())
        tasks = {}
        for name, page in wanted.items():
            try:
                values = parameters.check(page, profile[name] | parameters.select(page, given))
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from error
            tasks[name] = Task(
                name, page.path, self._output(name), self.build / "logs" / f"{name}.log", values
            )
        return tasks

    def _output(self, name: str) -> Path:
        return self.build / "pages" / self.profile / f"{name}.ipynb"

    def _execute(
        self, pages: dict[str, Page], tasks: dict[str, Task], jobs: int, force: bool
    ) -> None:
        stamps = {name: stamp_of(task, self.root) for name, task in tasks.items()}
        reasons = {
            name: "forced" if force else changed(task.output, stamps[name])
            for name, task in tasks.items()
        }
        stale = [task for name, task in tasks.items() if reasons[name]]
        self._announce(len(pages), reasons, jobs)
        if not stale:
            return
        require_folder(default_root(), f"the store {default_root()}")
        for task in stale:
            stamp_path(task.output).unlink(missing_ok=True)
        tell = teller(self.say)
        with own_kernel():  # the same threads as the pages' kernels have
            log = self.build / "logs" / "ahead.log"
            compute_ahead([(pages[t.name], t) for t in stale], jobs, tell, log)
        work = {t.name: parameters.experiments(pages[t.name], t.parameters) for t in stale}
        failed = execute_all(by_length(stale, work), jobs, tell, work)
        for task in stale:
            if task.name not in failed:
                write_whole(stamp_path(task.output), json.dumps(stamps[task.name], indent=1))
        if failed:
            raise RunError(
                f"{len(failed)} of {len(stale)} pages failed: {', '.join(failed)}; "
                "the book was not built"
            )

    def _announce(self, total: int, reasons: Mapping[str, str], jobs: int) -> None:
        stale = [name for name, reason in reasons.items() if reason]
        unchanged = len(reasons) - len(stale)
        self.say(
            f"Profile {self.profile}: {total} pages, {len(stale)} to execute"
            + (f", {unchanged} unchanged" if unchanged else "")
            + (f", {jobs} at a time" if len(stale) > 1 < jobs else "")
        )
        for reason in dict.fromkeys(reasons[name] for name in stale):
            self.say(f"  {reason}: {', '.join(n for n in stale if reasons[n] == reason)}")

    def _build(self, pages: dict[str, Page], strict: bool, force: bool) -> None:
        with naming(self.build / "stage"):
            missing = self._fill_stage(pages)
        if missing:
            self.say(f"Never executed on this profile, so without results: {', '.join(missing)}")
        built, site = self.build / "_build", self.build / "_build" / "html" / "index.html"
        stage = self.build / "stage"
        staged = sorted(file for file in stage.rglob("*") if file.is_file())
        sources = digest(package_files(), PACKAGE)
        stamp = json.dumps([digest(staged, stage), sources, versions(self.root)])
        if force or not site.is_file() or not _same(built / "stamp.json", stamp):
            self.say("Building the book …")
            run_sphinx(self.build, strict=strict or not missing)
            write_whole(built / "stamp.json", stamp)
        self.say(f"The book: {site.resolve().as_uri()}")

    def _fill_stage(self, pages: dict[str, Page]) -> list[str]:
        """Lay out for Sphinx what it reads, as in the repository; return pages without results."""
        stage = self.build / "stage"
        shutil.rmtree(stage, ignore_errors=True)
        shutil.copytree(self.root / "book", stage / "book")
        shutil.copy(self.root / "_config.yml", stage)
        for name, text in fragments(self.root).items():
            (stage / "book" / name).write_text(text, encoding="utf-8")
        for name, page in pages.items():
            target = stage / "notebooks" / f"{name}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            if self._output(name).is_file():
                shutil.copy(self._output(name), target)
            else:
                target.write_text(_marked_unexecuted(page), encoding="utf-8")
        return [name for name in pages if not self._output(name).is_file()]


def by_length(tasks: Iterable[Task], work: Mapping[str, float]) -> list[Task]:
    """Put long pages first, so that none is at work alone in the end; of equals the last."""
    return sorted(tasks, key=lambda task: work[task.name])[::-1]


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _marked_unexecuted(page: Page) -> str:
    notebook = json.loads(page.path.read_text(encoding="utf-8"))
    note = {
        "cell_type": "markdown",
        "id": "not-executed",
        "metadata": {},
        "source": NOT_EXECUTED.format(name=page.name),
    }
    notebook["cells"].insert(1, note)
    return json.dumps(notebook, indent=1)
