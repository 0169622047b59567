"""Pages executed by papermill: what is left of a run, and what a failure says."""

import io
import json
import multiprocessing
import os
import re
import sys
import time

import nbformat
import papermill
import psutil
import pytest
from bs4 import BeautifulSoup
from minibook import PARAMETERS, write_page
from sitecheck import external

from prunemia.book import build
from prunemia.book.build import Task, execute, execute_all, standalone
from prunemia.book.pages import answer_of

v4 = nbformat.v4
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

    ids = [cell.id for cell in first.cells]
    assert ids == ["title", "parameters", "cell-2", "code-0", "code-1"]
    assert first.cells[-1].outputs[0].data["text/plain"] == "0.5"
    assert set(first.metadata) == {"kernelspec", "language_info"}
    printed = first.cells[3].outputs[0].text
    assert json.loads(printed[: printed.index("]") + 1]) == [sys.prefix, "1"]
    assert "told" in log.getvalue()
    assert "told" not in json.dumps(first.cells[3].outputs)
    one, other = (re.sub(" at 0x[0-9a-f]+", "", out.read_text()) for out in outputs)
    assert one == other  # figures and tables, too
    nbformat.validate(second)


def task(folder, name, *code):
    source = write_page(folder, name, *code)
    return Task(name, source, folder / "out" / f"{name}.ipynb", folder / f"{name}.log", {})


def test_a_failing_page_and_a_dying_kernel_are_told_and_do_not_stop_the_others(tmp_path):
    said = []
    dying = task(tmp_path, "dying", "import os", "x = 1\nos.kill(os.getpid(), 9)", "print(1)")
    tasks = [task(tmp_path, "bad", "x = 0\n1 / x", "print(1)"), dying]
    dying.output.parent.mkdir()
    dying.output.write_text("the old one")

    failed = execute_all([*tasks, task(tmp_path, "good", "print(1)")], 2, said.append)

    assert failed["bad"] == "the cell «x = 0 …» failed: ZeroDivisionError: division by zero"
    assert failed["dying"].startswith("the cell «x = 1 …» ended its process: most likely it took")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"good.ipynb", "dying.ipynb"}
    assert dying.output.read_text() == "the old one"
    assert sorted(line[:8] for line in said) == ["  1 of 3", "  2 of 3", "  3 of 3"]
    assert f"log: {tmp_path}/bad.log" in "\n".join(said)
    log = (tmp_path / "bad.log").read_text()
    assert ("Traceback" in log, "\x1b" in log) == (True, False)


def test_cleaning_keeps_what_the_book_needs_and_nothing_else():
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}, "text/plain": "bar"}
    styled = '<style>#T_0fe3a {}</style><table id="T_0fe3a"><td id="T_0fe3a_row0">T_12</td>'
    table = {"text/html": styled, "text/plain": "<Styler at 0x7f366b560890>"}
    outputs = [v4.new_output("stream", name=name, text=name) for name in ("stderr", "stdout")]
    outputs += [v4.new_output("display_data", data=data) for data in (widget, table)]
    kept = {"tags": ["remove-input"], "mystnb": {"image": {"alt": "A figure."}}}
    code = v4.new_code_cell("1", outputs=outputs, metadata=kept | {"papermill": {"duration": 3}})
    notebook = v4.new_notebook(cells=[code], metadata={"papermill": {}, "widgets": {}})

    build._clean(notebook)

    assert (notebook.metadata, notebook.cells[0].metadata) == ({}, kept)
    printed, result = notebook.cells[0].outputs
    assert printed.text == "stdout"
    assert result.data == {"text/html": styled.replace("T_0fe3a", "T0"), "text/plain": "<Styler>"}


def test_a_page_for_any_browser_loads_nothing_from_elsewhere(tmp_path):
    script = tmp_path / "book" / "_static" / "mathjax" / "tex-svg.js"
    script.parent.mkdir(parents=True)
    script.write_text("/* draws */ '</script>'")
    shown = [{"text/markdown": "*This run: mnist1d.*"}, {"image/png": "iVBORw0KGgo="}]
    shown += [{"text/markdown": "> **Answer.** Two points [1, 3]."}]
    outputs = [v4.new_output("display_data", data=data) for data in shown]
    cells = [v4.new_markdown_cell("# A page\n\nIt is $x < 1$ and [more](https://x).")]
    notebook = v4.new_notebook(cells=[*cells, v4.new_code_cell("answer(…)", outputs=outputs)])
    assert answer_of(notebook) == "Two points [1, 3]."

    inside = standalone(notebook, tmp_path / "notebooks" / "page.ipynb")
    outside = standalone(notebook, tmp_path.parent / "page.ipynb")

    for html in (inside, outside):
        assert list(external(BeautifulSoup(html, "html.parser"))) == []
    parts = ("Two points [1, 3].", 'src="data:image/png;base64,iVBORw0KGgo="', "'<\\/script>'")
    assert all(part in inside for part in parts)
    assert "draws" not in outside
    assert "x &lt; 1" in outside


def test_plain_papermill_ends_at_a_wrong_parameter(tmp_path):
    known = PARAMETERS.split("note")[0]  # which is no parameter of the book's pages
    first = "import prunemia as pm\nexp = pm.experiment(globals())"
    source = write_page(tmp_path, "page", first, "print('computed')", parameters=known)
    output, given = tmp_path / "out.ipynb", {"sparsty": 0.9}
    message = "UsageError: sparsty: no such parameter (did you mean 'sparsity'?)"
    with pytest.raises(papermill.PapermillExecutionError, match=re.escape(message)):
        papermill.execute_notebook(source, output, given, kernel_name="python3", progress_bar=False)

    cells = nbformat.read(output, as_version=4).cells
    [shown] = [output for cell in cells for output in cell.get("outputs", [])]
    assert shown.traceback == [message]


def test_nothing_keeps_running_when_the_runner_is_killed(tmp_path):
    code = "import sys, time\nprint('at work', file=sys.stderr)\ntime.sleep(300)"
    page = task(tmp_path, "long", code)
    spawn = multiprocessing.get_context("spawn")
    runner = spawn.Process(target=execute_all, args=([page], 1, print))
    runner.start()
    wait(120, lambda: page.log.is_file() and "at work" in page.log.read_text())
    started = psutil.Process(runner.pid).children(recursive=True)
    assert len(started) >= 2  # the page's process and its kernel

    runner.kill()
    wait(30, lambda: all(not p.is_running() or p.status() == "zombie" for p in started))
    assert not page.output.exists()


def wait(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
