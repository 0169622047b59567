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

from prunemia.book.appendix import fragments
from prunemia.book.pages import TOC, Page, discover, profile, require_known
from prunemia.book.run import Task, execute_all
from prunemia.errors import RunError, UsageError
from prunemia.files import require_folder, write_text
from prunemia.store import default_root

PACKAGE = Path(__file__).parents[1]
NOT_SEEN_BY_PAGES = re.compile(r"cli/.*|book/(?!page\.py|explorer\.py).*")
"""Files that no page imports, by their paths in the package. Whatever else it holds counts."""
NOT_EXECUTED = "> This page has not been executed on this profile: it shows no results."


@dataclass(frozen=True)
class Book:
    """The sources under ``root``, what is made of them under ``build``, on one profile.

    ``build`` holds pages/PROFILE (executed notebooks, beside each what it was made from), logs,
    stage (what Sphinx reads) and _build/html.
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
        tasks = self._tasks(pages, list(only), given or {})
        require_folder(self.build, f"the folder {self.build}")
        self.build.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.build / ".lock", timeout=0):
                self._execute(tasks, len(pages), jobs, force)
                if html:
                    self._build(pages, force)
        except Timeout as error:
            raise UsageError(
                f"another `prunemia book` is at work in {self.build}; wait until it ends"
            ) from error

    def _tasks(
        self, pages: dict[str, Page], only: list[str], given: Mapping[str, Any]
    ) -> list[Task]:
        """Return what each wanted page is executed with; all names and values are checked."""
        for name in only:
            if name not in pages:
                allowed = ", ".join(pages)
                raise UsageError(f"--only {name}: there is no such page; allowed: {allowed}")
        values = profile(self.root, self.profile, pages)
        wanted = {name: page for name, page in pages.items() if name in only or not only}
        require_known(given, wanted.values())
        tasks = []
        for name, page in wanted.items():
            own = {n: v for n, v in given.items() if n in page.defaults}
            try:
                checked = page.check(values[name] | own)
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from error
            log = self.build / "logs" / f"{name}.log"
            tasks.append(Task(name, page.path, self._output(name), log, checked))
        return tasks

    def _output(self, name: str) -> Path:
        return self.build / "pages" / self.profile / f"{name}.ipynb"

    def _execute(self, tasks: list[Task], total: int, jobs: int, force: bool) -> None:
        stamps = {task.name: self._stamp(task) for task in tasks}
        stale = [t for t in tasks if force or not _same(_beside(t.output), stamps[t.name])]
        self.say(f"Profile {self.profile}: {total} pages, {len(stale)} to execute")
        if not stale:
            return
        require_folder(default_root(), f"the store {default_root()}")
        for task in stale:
            _beside(task.output).unlink(missing_ok=True)
        failed = execute_all(stale, jobs, self.say)
        for task in stale:
            if task.name not in failed:
                write_text(_beside(task.output), stamps[task.name])
        if failed:
            raise RunError(
                f"{len(failed)} of {len(stale)} pages failed: {', '.join(failed)}; "
                "the book was not built"
            )

    def _stamp(self, task: Task) -> str:
        """Return all that an executed page depends on, as JSON."""
        arrays = [Path(v) for v in task.parameters.values() if str(v).endswith(".npz")]
        seen = [f for f in _sources() if not NOT_SEEN_BY_PAGES.fullmatch(_inside(f))]
        parts = [
            _digest([task.notebook, *arrays]),
            dict(task.parameters),
            _digest(sorted(self.root.glob("results/*.csv"))),
            _digest(seen),
            _versions(self.root),
        ]
        return json.dumps(parts, indent=1)

    def _build(self, pages: dict[str, Page], force: bool) -> None:
        missing = self._fill_stage(pages)
        if missing:
            self.say(f"Never executed on this profile, so without results: {', '.join(missing)}")
        built, stage = self.build / "_build", self.build / "stage"
        staged = sorted(file for file in stage.rglob("*") if file.is_file())
        stamp = json.dumps([_digest(staged), _digest(_sources()), _versions(self.root)])
        if force or not _same(built / "stamp.json", stamp):
            self.say("Building the book …")
            self._sphinx()
            write_text(built / "stamp.json", stamp)
        self.say(f"The book: {(built / 'html' / 'index.html').resolve().as_uri()}")

    def _fill_stage(self, pages: dict[str, Page]) -> list[str]:
        """Lay out for Sphinx what it reads, as in the repository; return pages without results."""
        stage = self.build / "stage"
        shutil.rmtree(stage, ignore_errors=True)
        shutil.copytree(self.root / "book", stage / "book")
        shutil.copy(self.root / "_config.yml", stage)
        for name, text in fragments(self.root).items():
            (stage / "book" / name).write_text(text, encoding="utf-8")
        missing = [name for name in pages if not self._output(name).is_file()]
        for name, page in pages.items():
            target = stage / "notebooks" / f"{name}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            if name not in missing:
                shutil.copy(self._output(name), target)
                continue
            notebook = json.loads(page.path.read_text(encoding="utf-8"))
            note = {"cell_type": "markdown", "id": "not-executed", "metadata": {}}
            notebook["cells"].insert(1, note | {"source": NOT_EXECUTED})
            target.write_text(json.dumps(notebook), encoding="utf-8")
        return missing

    def _sphinx(self) -> None:
        """Build build/_build/html from build/stage; a warning is an error, the last book stays."""
        new, log = self.build / "new", self.build / "logs" / "sphinx.log"
        shutil.rmtree(new, ignore_errors=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
        command += [".", "--config", "_config.yml", "--toc", str(TOC), "--path-output", str(new)]
        command += ["--all", "-W", "-n", "-q", "--keep-going"]
        quiet = {"PYTHONWARNINGS": "ignore", "NO_COLOR": "1", "PYTHONHASHSEED": "0"}
        with log.open("w", encoding="utf-8") as messages:
            done = subprocess.run(
                command,
                cwd=self.build / "stage",
                env=os.environ | quiet,
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=subprocess.STDOUT,
            )
        if done.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            said = [line for line in lines if re.search("WARNING|ERROR|Error|Exception", line)]
            raise RunError("\n".join([*said[:20], f"the book could not be built; log: {log}"]))
        shutil.rmtree(self.build / "_build", ignore_errors=True)
        (new / "_build").rename(self.build / "_build")
        shutil.rmtree(new)


def _beside(output: Path) -> Path:
    """Return where it is noted what an executed page was made from."""
    return output.with_suffix(".json")


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _sources() -> list[Path]:
    """Return the package's code and templates."""
    return sorted(f for kind in ("py", "html", "css") for f in PACKAGE.rglob(f"*.{kind}"))


def _inside(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def _digest(files: Iterable[Path]) -> str:
    """Hash files with their names."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _versions(root: Path) -> dict[str, str]:
    """Return the versions of Python and of what requirements.txt lists."""
    installed = {"python": sys.version.split()[0]}
    listing = root / "requirements.txt"
    for line in listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else ():
        if name := re.match(r"[A-Za-z0-9][\w.-]*", line):
            try:
                installed[name[0]] = version(name[0])
            except PackageNotFoundError:
                installed[name[0]] = "none"
    return installed
