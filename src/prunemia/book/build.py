"""Execute the notebooks where something changed, and build the book from them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from prunemia.book import parameters
from prunemia.book.appendix import fragments
from prunemia.book.execute import ANSI, Task, execute_all, write_whole
from prunemia.book.pages import TOC, Page, discover
from prunemia.errors import RunError, UsageError

PACKAGE = Path(__file__).parents[1]
NOT_SEEN_BY_PAGES = frozenset(
    {"book.py", "cli.py", "pages.py", "parameters.py", "reference.py", "runner.py"}
)
NOT_EXECUTED = """\
:::{{warning}}
This page has not been executed on this profile: it shows no results. `prunemia book --only {name}`
executes it. :::"""


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
        stamps = {name: _stamp(task, self.root) for name, task in tasks.items()}
        changes = {
            name: "forced" if force else changed(task.output, stamps[name])
            for name, task in tasks.items()
        }
        stale = [task for name, task in tasks.items() if changes[name]]
        unchanged = len(tasks) - len(stale)
        self.say(
            f"Profile {self.profile}: {len(pages)} pages, {len(stale)} to execute"
            + (f", {unchanged} unchanged" if unchanged else "")
            + (f", {jobs} at a time" if len(stale) > 1 < jobs else "")
        )
        for task in stale:
            self.say(f"  {task.name}: {changes[task.name]}")
            stamp_path(task.output).unlink(missing_ok=True)
        failed = execute_all(_by_length(stale, pages), jobs, self.say) if stale else []
        for task in stale:
            if task.name not in failed:
                write_whole(stamp_path(task.output), json.dumps(stamps[task.name], indent=1))
        if failed:
            raise RunError(
                f"{len(failed)} of {len(stale)} pages failed: {', '.join(failed)}; the book was not built"
            )

    def _build(self, pages: dict[str, Page], strict: bool, force: bool) -> None:
        missing = self._fill_stage(pages)
        if missing:
            self.say(f"Never executed on this profile, so without results: {', '.join(missing)}")
        built, site = self.build / "_build", self.build / "_build" / "html" / "index.html"
        made_from = [_digest(self.build / "stage"), _digest(PACKAGE, "*.py"), _versions(self.root)]
        stamp = json.dumps(made_from)
        if force or not site.is_file() or not _same(built / "stamp.json", stamp):
            self.say("Building the book …")
            run_sphinx(self.build, strict=strict or not missing)
            write_whole(built / "stamp.json", stamp)
        self.say(f"The book: {site.resolve().as_uri()}")

    def _fill_stage(self, pages: dict[str, Page]) -> list[str]:
        """Lay out for Sphinx what it reads, as in the repository; return the pages without results."""
        stage = self.build / "stage"
        shutil.rmtree(stage, ignore_errors=True)
        shutil.copytree(self.root / "book", stage / "book")
        shutil.copy(self.root / "_config.yml", stage)
        for name, text in fragments().items():
            (stage / "book" / name).write_text(text, encoding="utf-8")
        for name, page in pages.items():
            target = stage / "notebooks" / f"{name}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            if self._output(name).is_file():
                shutil.copy(self._output(name), target)
            else:
                target.write_text(_marked_unexecuted(page), encoding="utf-8")
        return [name for name in pages if not self._output(name).is_file()]


def run_sphinx(build: Path, strict: bool) -> None:
    """Build build/_build/html from build/stage; with ``strict``, a warning is an error.

    Raises
    ------
    RunError
        Sphinx failed; its messages are the text, and the last good book stays.
    """
    new = build / "new"
    shutil.rmtree(new, ignore_errors=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "."]
    command += ["--config", "_config.yml", "--toc", str(TOC), "--path-output", str(new)]
    command += ["--all", "-q", "--keep-going", *(["-W", "-n"] if strict else [])]
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "NO_COLOR": "1", "PYTHONHASHSEED": "0"}
    result = subprocess.run(
        command,
        cwd=build / "stage",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log = build / "logs" / "sphinx.log"
    messages = ANSI.sub("", result.stdout)
    write_whole(log, messages)
    if result.returncode:
        complaints = [
            line
            for line in messages.splitlines()
            if re.search("WARNING|ERROR|Error|Exception", line)
        ]
        raise RunError("\n".join([*complaints, f"the book could not be built; log: {log}"]))
    shutil.rmtree(build / "_build", ignore_errors=True)
    (new / "_build").rename(build / "_build")
    shutil.rmtree(new)


def _by_length(tasks: list[Task], pages: Mapping[str, Page]) -> list[Task]:
    """Put pages of many experiments first, so that none of them is at work alone in the end; of equals the last."""
    return sorted(
        tasks, key=lambda task: parameters.experiments(pages[task.name], task.parameters)
    )[::-1]


def stamp_path(output: Path) -> Path:
    """Return where it is noted what an executed page was made from."""
    return output.with_suffix(".json")


def changed(output: Path, stamp: Mapping[str, Any]) -> str:
    """Say why a page is to be executed (again); "" if it is not."""
    if not output.is_file():
        return "not executed yet"
    try:
        before = json.loads(stamp_path(output).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "not executed completely"
    different = [name for name in stamp if before.get(name) != stamp[name]]
    return f"changed: {', '.join(different)}" if different else ""


def _stamp(task: Task, root: Path) -> dict[str, Any]:
    """Return all that an executed page depends on, by kind."""
    files = [Path(v) for v in task.parameters.values() if isinstance(v, str) and v.endswith(".npz")]
    return {
        "notebook": _digest(task.notebook),
        "parameters": dict(task.parameters),
        "data": [_digest(file) for file in files],
        "package": _digest(PACKAGE, "*.py", NOT_SEEN_BY_PAGES),
        "versions": _versions(root),
    }


def _digest(path: Path, pattern: str = "*", without: frozenset[str] = frozenset()) -> str:
    """Hash a file, or those of a folder that match, with their names."""
    files = [path] if path.is_file() else sorted(f for f in path.rglob(pattern) if f.is_file())
    total = hashlib.sha256()
    for file in files:
        if file.name not in without:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"{file.relative_to(path)}\0{content}\n".encode())
    return total.hexdigest()


def _versions(root: Path) -> dict[str, str]:
    """Return the versions of Python and of what requirements.txt lists."""
    found = {"python": sys.version.split()[0]}
    listing = root / "requirements.txt"
    for line in listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else ():
        if name := re.match(r"[A-Za-z0-9][\w.-]*", line):
            try:
                found[name[0]] = version(name[0])
            except PackageNotFoundError:
                found[name[0]] = "none"
    return found


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
