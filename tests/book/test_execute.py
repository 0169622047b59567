import io
import json
import multiprocessing
import os
import sys
import time

import nbformat
import psutil
import pytest
from minibook import write_page

from prunemia.book import execute as runner
from prunemia.book.execute import (
    RunError,
    Task,
    clean,
    execute,
    execute_all,
    last_message,
    own_kernel,
    write_whole,
)

WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc"}, "text/plain": "bar"}


@pytest.fixture
def execute_one(tmp_path):
    """Execute a page of these cells; return the output's path and what went to stderr."""

    def run(*code, name="page", **parameters):
        source, output, stderr = (
            write_page(tmp_path, name, *code),
            tmp_path / f"{name}.out.ipynb",
            io.StringIO(),
        )
        with own_kernel():
            execute(source, output, parameters, stderr)
        return output, stderr.getvalue()

    return run


def task(folder, name, *code):
    return Task(
        name,
        write_page(folder, name, *code),
        folder / "out" / f"{name}.ipynb",
        folder / f"{name}.log",
        {},
    )


def test_an_executed_page_holds_results_and_no_trace_of_the_run(execute_one):
    cells = [
        "import sys\nprint('told', file=sys.stderr)\nprint('set', {'a', 'b', 'c'})\nsparsity",
        "print(seed)",
    ]
    output, stderr = execute_one(*cells, sparsity=0.5)
    again, _ = execute_one(*cells, sparsity=0.5, name="elsewhere/again")

    notebook = nbformat.read(output, as_version=4)
    assert [cell.id for cell in notebook.cells] == [
        "title",
        "parameters",
        "cell-2",
        "code-0",
        "code-1",
    ]
    assert notebook.cells[3].outputs[1].data["text/plain"] == "0.5"
    assert "told" in stderr
    assert "told" not in "".join(o.get("text", "") for o in notebook.cells[3].outputs)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    # The title differs; all that executing adds is the same, byte for byte.
    assert again.read_text().replace("# Elsewhere/Again", "# Page") == output.read_text()


def test_a_failing_cell_leaves_no_output_not_even_an_older_one(execute_one, tmp_path):
    (tmp_path / "page.out.ipynb").write_text("an older one")

    with pytest.raises(RunError) as caught:
        execute_one("x = 0\n1 / x", "print('never')")

    assert str(caught.value).splitlines() == [
        "in the cell",
        "    | x = 0",
        "    | 1 / x",
        "    ZeroDivisionError: division by zero",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notebooks"]


def test_cleaning_keeps_what_the_book_needs_and_nothing_else():
    v4 = nbformat.v4
    stream = {name: v4.new_output("stream", name=name, text=name) for name in ("stdout", "stderr")}
    widget = v4.new_output("display_data", data=WIDGET)
    kept = {"tags": ["hide-input"], "mystnb": {"figure": {"name": "fig"}}}
    styles = [
        f'<style>#T_{i} {{}}</style><table id="T_{i}"><td id="T_{i}_row0">T_12</td>'
        for i in ("0fe3a", "1_0")
    ]
    data = {"text/html": styles[0], "text/plain": "<Styler at 0x7f366b560890>"}
    table = v4.new_output("execute_result", data=data, execution_count=1)
    code = v4.new_code_cell("1", outputs=[stream["stderr"], widget, stream["stdout"], table])
    code.metadata = kept | {"papermill": {"duration": 3}, "execution": {"started": "now"}}
    injected = v4.new_code_cell("x = 1", id="random", metadata={"tags": ["injected-parameters"]})
    notebook = v4.new_notebook(
        cells=[injected, code],
        metadata={"papermill": {}, "widgets": {}, "language_info": {"name": "python"}},
    )

    cleaned = clean(notebook)

    assert cleaned.cells[1].metadata == kept
    assert cleaned.cells[1].outputs[0] == stream["stdout"]
    assert cleaned.cells[1].outputs[1].data == {"text/html": styles[1], "text/plain": "<Styler>"}
    assert len(cleaned.cells[1].outputs) == 2
    assert cleaned.cells[0].id == "cell-0"
    assert set(cleaned.metadata) == {"language_info"}


def test_pages_that_fail_or_are_killed_do_not_stop_the_others(tmp_path):
    said = []
    tasks = [
        task(tmp_path, "killed", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"),
        task(tmp_path, "bad", "raise RuntimeError('no luck')"),
        task(tmp_path, "good", "print(1)"),
    ]

    failed = execute_all(tasks, 2, said.append)

    text = "\n".join(said)
    assert sorted(failed) == ["bad", "killed"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.ipynb"]
    assert "[2/3] bad: failed after" in text
    assert "    | raise RuntimeError('no luck')\n    RuntimeError: no luck\n    log: " in text
    assert "its process ended with code -9" in text
    assert "[3/3] good: done in" in text
    assert "Traceback" in (tmp_path / "bad.log").read_text()


def test_a_long_page_tells_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_NEWS", 0.0)
    said = []
    code = """import sys, time
for i in range(3):
    print(f"\\rnetwork {i} of 3", end="", file=sys.stderr)
    time.sleep(1.5)"""

    execute_all([task(tmp_path, "slow", code)], 1, said.append)

    assert said[0] == "[1/1] slow: started"
    assert "[1/1] slow: network 1 of 3" in said
    assert len(set(said)) == len(said)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("", ""),
        ("one\ntwo\n", "two"),
        ("one\n\r a: 10%|#  | 1/9\r a: 20%|##| 2/9 [00:01]\r", "a: 20% 2/9 [00:01]"),
        ("\x1b[31mred\x1b[0m\n\n", "red"),
        ("x" * 5000 + "\nend", "end"),
    ],
)
def test_the_last_message_is_found_between_returns_and_newlines(tmp_path, log, message):
    path = tmp_path / "log"
    path.write_bytes(log.encode())

    assert last_message(path) == message


def test_a_file_is_replaced_whole_or_stays(tmp_path):
    path = tmp_path / "deep" / "file.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half \ud800")

    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_kernels_started_here_are_this_interpreter(execute_one, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    output, _ = execute_one(
        "import json, os, sys\nprint(json.dumps([sys.prefix, os.environ['OMP_NUM_THREADS']]))"
    )

    printed = nbformat.read(output, as_version=4).cells[-1].outputs[0].text
    assert json.loads(printed) == [sys.prefix, "1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "JUPYTER_PATH" not in os.environ


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
    for_seconds(60, lambda: page.log.is_file() and "at work" in page.log.read_text())
    started = psutil.Process(runner.pid).children(recursive=True)
    assert len(started) >= 2  # the page's process and its kernel

    runner.kill()
    runner.join()

    for_seconds(
        20,
        lambda: (
            not any(process.is_running() and process.status() != "zombie" for process in started)
        ),
    )
    assert not page.output.exists()


def for_seconds(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
