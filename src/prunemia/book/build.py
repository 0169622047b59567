"""Pages executed by papermill where something changed, built into the book, and printed."""

import hashlib
import json
import logging
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from prunemia.book.pages import DIFFERS, LONG, TOC, Page, discover, in_order, profile, require_known
from prunemia.errors import RunError, UsageError
from prunemia.files import atomic_write, require_folder, write_text
from prunemia.store import default_root

PACKAGE = Path(__file__).parents[1]
TEMPLATE = r"""{%- extends "index.html.j2" -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}
<script>MathJax = {tex: {inlineMath: [["$", "$"], ["\\(", "\\)"]]}};</script>
<script>{{ resources.mathjax }}</script>
{%- endblock -%}"""


@dataclass(frozen=True)
class Task:
    """One page to execute; ``stamp``: a hash of what it depends on, which its output keeps."""

    name: str
    notebook: Path
    output: Path
    log: Path
    parameters: Mapping[str, Any]
    stamp: str = ""


def execute_all(tasks: Sequence[Task], jobs: int, say: Callable[[str], None]) -> dict[str, str]:
    """Execute tasks in ``jobs`` processes; return the errors of those that failed, by name."""
    failed = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_end_with_parent) as pool:
        started = {pool.submit(_timed, task): task for task in tasks}
        for number, future in enumerate(as_completed(started), start=1):
            task, error = started[future], future.exception()
            if error is None:
                how = f"({future.result():.0f} s)"
            else:
                failed[task.name] = str(error) or type(error).__name__
                how = f"failed: {failed[task.name]}\n    log: {task.log}"
            say(f"  {number} of {len(tasks)} pages: {task.name} {how}")
    return failed


def _end_with_parent() -> None:
    """End this process when the one that started it does, also where that is killed."""
    parent: Any = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _timed(task: Task) -> float:
    started = time.monotonic()
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("w", encoding="utf-8") as log:
        execute(task.notebook, task.output, task.parameters, log, task.stamp)
    return time.monotonic() - started


def execute(
    notebook: Path, output: Path, parameters: Mapping[str, Any], stderr: Any, stamp: str = ""
) -> Any:
    """Execute a notebook by papermill, write it without traces of the run, and return it.

    A `RunError` names the cell that failed or whose kernel died; an older output then stays.
    """
    import nbformat
    import papermill  # slow to import, and a refusal is quick
    from ipykernel.kernelspec import write_kernel_spec
    from nbclient.exceptions import DeadKernelError

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # all that it warns of is checked
    cells: list[str] = []
    with tempfile.TemporaryDirectory(prefix="prunemia-kernel-") as folder:
        # a kernel named python3 may be another environment's: this one is the interpreter at work
        write_kernel_spec(Path(folder) / "kernels" / "python3", extra_arguments=["--log-level=50"])
        os.environ |= {"JUPYTER_PATH": folder, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
        try:
            seen = {"on_cell_execute": lambda **now: cells.append(now["cell"].source)}
            with_kernel = {"kernel_name": "python3", "language": "python", "stderr_file": stderr}
            result = papermill.execute_notebook(
                notebook, None, dict(parameters), progress_bar=False, **with_kernel, **seen
            )
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            if isinstance(error, papermill.PapermillExecutionError):
                stderr.write(re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback)) + "\n")
                why = f"failed: {error.ename}: {error.evalue}"
            elif isinstance(error, DeadKernelError):
                why = "ended its process: most likely it took more memory than there is"
            where = f"the cell «{cells[-1].strip().splitlines()[0][:80]} …» " if cells else ""
            raise RunError(where + why) from error
    _clean(result)
    result.metadata |= {"stamp": stamp} if stamp else {}
    write_text(output, nbformat.writes(result) + "\n")
    return result


def _clean(notebook: Any) -> None:
    """Take out what differs between two equal runs: paths, times, random ids, stderr, widgets."""
    for name in ("papermill", "widgets"):
        notebook.metadata.pop(name, None)
    for number, cell in enumerate(notebook.cells):
        told = cell.metadata
        cell.metadata = {n: told[n] for n in ("tags", "mystnb", "jupyter") if told.get(n)}
        if "injected-parameters" in cell.metadata.get("tags", []) or "id" not in cell:
            cell.id = f"cell-{number}"
        for output in cell.get("outputs", [])[:]:
            data = output.get("data", {})
            if output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in data:
                cell.outputs.remove(output)
            output.get("metadata", {}).pop("needs_background", None)
            for kind in {"text/plain", "text/html"} & data.keys():  # addresses, styled tables' ids
                text = re.sub(r" at 0x[0-9a-f]+", "", data[kind])
                data[kind] = re.sub(r"\bT_[0-9a-f]{5}(?=[_\"' ])", f"T{number}", text)


def standalone(notebook: Any, source: Path) -> str:
    """Return an executed notebook as one HTML page without network; without MathJax, TeX stays."""
    from nbconvert import HTMLExporter

    scripts = [folder / "book/_static/mathjax/tex-svg.js" for folder in source.resolve().parents]
    script = next(filter(Path.is_file, scripts), None)
    code = script.read_text(encoding="utf-8").replace("</script", "<\\/script") if script else ""
    exporter = HTMLExporter(raw_template=TEMPLATE, embed_images=True)
    return str(exporter.from_notebook_node(notebook, resources={"mathjax": code})[0])


@dataclass(frozen=True)
class Book:
    """The sources under ``root`` and, under ``build``: pages/PROFILE, logs, stage, _build/html."""

    root: Path
    build: Path
    profile: str = "default"
    say: Callable[[str], None] = print
    jobs: int = 1  # pages executed at a time
    force: bool = False  # execute and build also where nothing changed

    def make(self, only: Sequence[str], given: Mapping[str, str], html: bool = True) -> None:
        """Execute what changed of the pages ``only`` (none: all), then build the book (``html``).

        ``given`` wins over the profile. UsageError: nothing ran; RunError: a page or Sphinx failed.
        """
        pages = discover(self.root)
        # all pages depend on the tables, the package's own files, Python and its libraries
        libraries = sorted(f.name for folder in sys.path for f in Path(folder).glob("*.dist-info"))
        own = sorted(
            f for f in PACKAGE.rglob("*.*") if f.suffix in (".py", ".html", ".css", ".yml")
        )
        package = _digest(own, json.dumps([sys.version, libraries]))
        shared = _digest(sorted(self.root.glob("results/*.csv")), package)
        tasks = self.tasks(pages, only, given, shared)
        require_folder(self.build, f"the folder {self.build}")
        self.build.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.build / ".lock", timeout=0):
                stale = [t for t in tasks if self.force or _stamp_of(t.output) != t.stamp]
                self.say(f"Profile {self.profile}: {len(pages)} pages, {len(stale)} to execute")
                if stale:
                    require_folder(default_root(), f"the store {default_root()}")
                if failed := execute_all(stale, self.jobs, self.say):
                    said = f"{len(failed)} of {len(stale)} pages failed: {', '.join(failed)}"
                    raise RunError(f"{said}; the book was not built")
                if html:
                    self._build(pages, shared)
        except Timeout as error:
            said = f"another `prunemia book` is at work in {self.build}"
            raise UsageError(f"{said}; wait until it ends") from error

    def tasks(
        self, pages: Mapping[str, Page], only: Sequence[str], given: Mapping[str, str], shared: str
    ) -> list[Task]:
        """Return what each wanted page is executed with; all names and values are checked."""
        require_known(only, pages, "--only ", "page")
        values = profile(self.root, self.profile, pages)
        wanted = {name: page for name, page in pages.items() if name in only or not only}
        require_known(given, {n: d for p in wanted.values() for n, d in p.parameters.items()})
        tasks = []
        for name, page in wanted.items():
            own = {n: text for n, text in given.items() if n in page.parameters}
            try:
                checked = page.check(values[name], own)
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from error
            arrays = [Path(value) for value in checked.values() if str(value).endswith(".npz")]
            stamp = _digest([page.path, *arrays], json.dumps([checked, shared]))
            log = self.build / "logs" / f"{name}.log"
            tasks.append(Task(name, page.path, self._output(name), log, checked, stamp))
        return tasks

    def _output(self, name: str) -> Path:
        return self.build / "pages" / self.profile / f"{name}.ipynb"

    def _build(self, pages: Mapping[str, Page], shared: str) -> None:
        """Lay out for Sphinx what it reads, as in the repository; call it where that changed."""
        stage = self.build / "stage"
        shutil.rmtree(stage, ignore_errors=True)
        shutil.copytree(self.root / "book", stage / "book")
        shutil.copy(self.root / "_config.yml", stage)
        if (bench := self.root / "results" / "bench.txt").is_file():
            shutil.copy(bench, stage / "book")
        missing = [name for name in pages if not self._output(name).is_file()]
        for name, page in pages.items():
            target = stage / "notebooks" / f"{name}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(page.path if name in missing else self._output(name), target)
            for sign in (DIFFERS, LONG):
                if sign in target.read_text(encoding="utf-8"):
                    self.say(f"{name}: {sign.strip('*')}")
        if missing:
            self.say(f"Never executed on this profile, so without results: {', '.join(missing)}")
        stamp = _digest(sorted(file for file in stage.rglob("*") if file.is_file()), shared)
        made = self.build / "_build" / "stamp"
        if self.force or not made.is_file() or made.read_text(encoding="utf-8") != stamp:
            self.say("Building the book …")
            self._sphinx(stamp)
        self.say(f"The book: {(made.parent / 'html' / 'index.html').resolve().as_uri()}")

    def _sphinx(self, stamp: str) -> None:
        """Build build/_build from build/stage; a warning is an error, and the last book stays."""
        new, log = self.build / "new", self.build / "logs" / "sphinx.log"
        shutil.rmtree(new, ignore_errors=True)
        command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
        command += [".", "--config", "_config.yml", "--toc", str(TOC), "--path-output", str(new)]
        command += ["--all", "-W", "-n", "-q", "--keep-going"]
        quiet = {"PYTHONWARNINGS": "ignore", "NO_COLOR": "1", "PYTHONHASHSEED": "0"}
        where: Any = {"cwd": self.build / "stage", "env": os.environ | quiet}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", **where)
        write_text(log, done.stdout + done.stderr)
        if done.returncode:
            lines = re.findall(".*(?:WARNING|ERROR|Error|Exception).*", done.stdout + done.stderr)
            raise RunError("\n".join([*lines[:20], f"the book could not be built; log: {log}"]))
        (new / "_build" / "stamp").write_text(stamp, encoding="utf-8")
        shutil.rmtree(self.build / "_build", ignore_errors=True)
        (new / "_build").rename(self.build / "_build")
        shutil.rmtree(new)


def _stamp_of(output: Path) -> str:
    """Return what an executed page was made from, as a hash; "" where it cannot be told."""
    try:
        return str(json.loads(output.read_text(encoding="utf-8"))["metadata"]["stamp"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _digest(files: Iterable[Path], text: str) -> str:
    """Hash a text, and files with their names."""
    contents = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    return hashlib.sha256(json.dumps([text, contents]).encode()).hexdigest()


def print_book(root: Path, site: Path, out: Path, say: Callable[[str], None]) -> None:
    """Print every page of the built book in ``site``, in its order, into one PDF."""
    browsers = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    browser, joiner = next(filter(None, browsers), None), shutil.which("pdfunite")
    if not browser or not joiner:
        missing = "pdfunite" if browser else "chromium"
        raise UsageError(f"pdf: {missing} is missing; Debian's packages: chromium, poppler-utils")
    pages = [site / f"{name}.html" for name in in_order(root)]
    if not all(page.is_file() for page in pages):
        raise UsageError(f"pdf: no whole book in {site}; build it first, with 'make book'")
    with tempfile.TemporaryDirectory() as folder, atomic_write(out) as aside:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
        command += [f"--user-data-dir={folder}", "--virtual-time-budget=10000"]
        prints = {f"{folder}/{number:03}.pdf": page for number, page in enumerate(pages)}
        quiet: Any = {"capture_output": True, "text": True, "timeout": 120, "check": True}
        try:
            for number, (file, page) in enumerate(prints.items(), start=1):
                say(f"{number} of {len(pages)}: {page.relative_to(site)}")
                output = f"--print-to-pdf={file}"
                subprocess.run([*command, output, page.resolve().as_uri()], **quiet)
            subprocess.run([joiner, *prints, str(aside)], **quiet)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said = str(error.stderr or "").strip()[-500:]
            raise RunError(f"pdf: {error.cmd[-1]}: {said or error}") from error
