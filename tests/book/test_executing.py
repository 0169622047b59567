"""Pages executed by papermill: what is left of a run, and what a failure says."""

import io
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from minibook import PARAMETERS, write_page

from prunemia.book import build
from prunemia.book.build import Task, execute, execute_all, standalone
from prunemia.book.pages import answer_of
from prunemia.errors import RunError

v4 = nbformat.v4
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}, "text/plain": "bar"}
SHOWS = """import json, os, sys
import matplotlib.pyplot as plt, pandas as pd
print("told", file=sys.stderr)
print(json.dumps([sys.prefix, os.environ["OMP_NUM_THREADS"]]), {"b", "a", "c"}, object())
plt.figure(figsize=(1, 1)).subplots().plot([1, 2])
pd.DataFrame({"a": [1]}).style.format("{:.1f}")"""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Set back what a runner, a process of its own, sets for its kernels."""
    for name in ("JUPYTER_PATH", "OMP_NUM_THREADS", "PYTHONHASHSEED"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "")


def test_an_executed_page_holds_results_and_no_trace_of_the_run(tmp_path):
    source = write_page(tmp_path, "page", SHOWS, "sparsity")
    log = io.StringIO()
    outputs = [tmp_path / "deep" / f"{n}.ipynb" for n in range(2)]
    first, second = (execute(source, out, {"sparsity": 0.5}, log) for out in outputs)

    assert [cell.id for cell in first.cells] == [
        "title", "parameters", "cell-2", "code-0", "code-1"
    ]  # fmt: skip
    assert first.cells[2].source == "# Parameters\nsparsity = 0.5\n"
    assert first.cells[-1].outputs[0].data["text/plain"] == "0.5"
    assert set(first.metadata) == {"kernelspec", "language_info"}
    printed = first.cells[3].outputs[0].text
    assert json.loads(printed[: printed.index("]") + 1]) == [sys.prefix, "1"]
    assert "told" in log.getvalue()
    assert "told" not in json.dumps(first.cells[3].outputs)
    one, other = (re.sub(" at 0x[0-9a-f]+", "", out.read_text()) for out in outputs)
    assert one == other  # figures and tables, too
    assert nbformat.read(outputs[1], as_version=4) == second
    nbformat.validate(second)


def test_a_failing_cell_is_named(tmp_path):
    source = write_page(tmp_path, "page", "x = 0\n1 / x", "print('never')")
    log = io.StringIO()

    with pytest.raises(RunError) as caught:
        execute(source, tmp_path / "out.ipynb", {}, log)

    assert str(caught.value) == "the cell «x = 0 …» failed: ZeroDivisionError: division by zero"
    assert "ZeroDivisionError" in log.getvalue()
    assert "\x1b" not in log.getvalue()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebooks"]


def task(folder, name, *code):
    source = write_page(folder, name, *code)
    return Task(name, source, folder / "out" / f"{name}.ipynb", folder / f"{name}.log", {})


def test_pages_that_fail_do_not_stop_the_others(tmp_path):
    said = []
    tasks = [
        task(tmp_path, "bad", "raise RuntimeError('no luck')"),
        task(tmp_path, "good", "print(1)"),
    ]

    failed = execute_all(tasks, 2, said.append)

    assert failed == {
        "bad": "the cell «raise RuntimeError('no luck') …» failed: RuntimeError: no luck"
    }
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.ipynb"]
    assert sorted(line.split(" pages: ")[0] for line in said) == ["  1 of 2", "  2 of 2"]
    assert f"log: {tmp_path}/bad.log" in "\n".join(said)
    assert "Traceback" in (tmp_path / "bad.log").read_text()


@pytest.mark.parametrize(
    "death",
    ["os.kill(os.getpid(), 9)", "os._exit(3)"],  # what the system does where memory ends
)
def test_a_kernel_that_dies_is_told_with_its_cell_and_the_old_output_stays(tmp_path, death):
    page = task(tmp_path, "page", "import os", f"x = 1\n{death}", "print('never')")
    page.output.parent.mkdir()
    page.output.write_text("the old one")

    failed = execute_all([page], 1, lambda _: None)

    said = "the cell «x = 1 …» ended its process: most likely it took more memory than there is"
    assert failed == {"page": said}
    assert page.output.read_text() == "the old one"


def test_cleaning_keeps_what_the_book_needs_and_nothing_else():
    stream = {name: v4.new_output("stream", name=name, text=name) for name in ("stdout", "stderr")}
    widget = v4.new_output("display_data", data=WIDGET)
    kept = {
        "tags": ["remove-input"],
        "mystnb": {"image": {"alt": "A figure."}},
        "jupyter": {"source_hidden": True},
    }
    styled = '<style>#T_0fe3a {}</style><table id="T_0fe3a"><td id="T_0fe3a_row0">T_12</td>'
    data = {"text/html": styled, "text/plain": "<Styler at 0x7f366b560890>"}
    table = v4.new_output("execute_result", data=data, execution_count=1)
    code = v4.new_code_cell("1", outputs=[stream["stderr"], widget, stream["stdout"], table])
    code.metadata = kept | {"papermill": {"duration": 3}, "execution": {"started": "now"}}
    injected = v4.new_code_cell("x = 1", id="random", metadata={"tags": ["injected-parameters"]})
    notebook = v4.new_notebook(
        cells=[injected, code],
        metadata={"papermill": {}, "widgets": {}, "language_info": {"name": "python"}},
    )

    build._clean(notebook)

    assert notebook.cells[1].metadata == kept
    assert notebook.cells[1].outputs[0] == stream["stdout"]
    assert notebook.cells[1].outputs[1].data == {
        "text/html": styled.replace("T_0fe3a", "T1"), "text/plain": "<Styler>"
    }  # fmt: skip
    assert len(notebook.cells[1].outputs) == 2
    assert notebook.cells[0].id == "cell-0"
    assert set(notebook.metadata) == {"language_info"}


def answered(*texts):
    """An executed notebook with a figure and these Markdown outputs, one cell each."""
    figure = v4.new_code_cell("plot()")
    figure.outputs = [v4.new_output("display_data", data={"image/png": "iVBORw0KGgo="})]
    cells = [v4.new_markdown_cell("# A page\n\nIt is $x < 1$ and [more](https://x).", id="a")]
    for text in texts:
        output = v4.new_output("display_data", data={"text/markdown": text})
        cells.append(v4.new_code_cell("answer(…)", outputs=[output]))
    return v4.new_notebook(cells=[*cells, figure])


def test_the_answer_of_a_page_is_found():
    run_of = "*This run: mnist1d, computed here.*"

    assert answer_of(answered(run_of, "> **Answer.** Two points [1, 3].")) == "Two points [1, 3]."
    assert answer_of(answered(run_of)) == ""


def loaded(html):
    """Return what a browser would load from elsewhere, by hand rather than by a parser."""
    found = re.findall(r'<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)="([^"]+)"', html)
    return [url for url in found if not url.startswith("data:")] + re.findall(
        r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"' ]+", html
    )


def test_a_page_for_any_browser_loads_nothing_from_elsewhere(tmp_path):
    script = tmp_path / "book" / "_static" / "mathjax" / "tex-svg.js"
    script.parent.mkdir(parents=True)
    script.write_text("/* draws */ '</script>'")
    notebook = answered("> **Answer.** Two points.")

    inside = standalone(notebook, tmp_path / "notebooks" / "page.ipynb")
    outside = standalone(notebook, tmp_path.parent / "page.ipynb")

    assert loaded(inside) == loaded(outside) == []
    assert "Two points." in inside
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in inside
    assert r"/* draws */ '<\/script>'" in inside
    assert "draws" not in outside
    assert "x &lt; 1" in outside


PAGE = "import prunemia as pm\nexp = pm.experiment(globals())"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("sparsty", "0.9"), "UsageError: sparsty: no such parameter (did you mean 'sparsity'?)"),
        (("sparsity", "1.9"), "UsageError: sparsity: 1.9 is not allowed: should be less than"),
    ],
)
def test_plain_papermill_ends_at_a_wrong_parameter(tmp_path, given, message):
    known = PARAMETERS.split("note")[0]  # which is no parameter of the book's pages
    source = write_page(tmp_path, "page", PAGE, "print('computed')", parameters=known)
    output = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", source, output, "-p", *given, "-k", "python3"]
    quiet = {"PYTHONWARNINGS": "ignore", "JUPYTER_PATH": ""}

    done = subprocess.run(
        command, env=os.environ | quiet, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    written = nbformat.read(output, as_version=4)
    errors = [o for c in written.cells for o in c.get("outputs", []) if o.output_type == "error"]
    assert [len(error.traceback) for error in errors] == [1]
    assert errors[0].traceback[0].startswith(message)
    assert done.stderr.strip().splitlines()[-1].startswith(message)
    assert "computed" not in json.dumps([cell.get("outputs") for cell in written.cells])


def test_nothing_keeps_running_when_the_runner_is_killed(tmp_path):
    page = task(
        tmp_path,
        "long",
        "import time\nprint('at work', file=__import__('sys').stderr)\ntime.sleep(300)",
    )
    runner = multiprocessing.get_context("spawn").Process(
        target=execute_all, args=([page], 1, print)
    )
    runner.start()
    for_seconds(120, lambda: page.log.is_file() and "at work" in page.log.read_text())
    started = psutil.Process(runner.pid).children(recursive=True)
    assert len(started) >= 2  # the page's process and its kernel

    runner.kill()
    runner.join()

    for_seconds(30, lambda: all(over(process) for process in started))
    assert not page.output.exists()


def over(process):
    return not process.is_running() or process.status() == "zombie"


def for_seconds(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
