import io
import multiprocessing
import time

import nbformat
import psutil
import pytest
from minibook import write_page

from prunemia.book import progress
from prunemia.book.execute import Task, execute
from prunemia.book.kernel import own_kernel
from prunemia.book.parallel import execute_all, last_message
from prunemia.book.progress import Teller


def task(folder, name, *code):
    return Task(
        name,
        write_page(folder, name, *code),
        folder / "out" / f"{name}.ipynb",
        folder / f"{name}.log",
        {},
    )


def test_pages_that_fail_or_are_killed_do_not_stop_the_others(tmp_path):
    said = []
    tasks = [
        task(tmp_path, "killed", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"),
        task(tmp_path, "bad", "raise RuntimeError('no luck')"),
        task(tmp_path, "good", "print(1)"),
    ]

    failed = execute_all(tasks, 2, Teller(said.append))

    text = "\n".join(said)
    assert sorted(failed) == ["bad", "killed"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.ipynb"]
    assert "bad: failed after" in text
    assert "    | raise RuntimeError('no luck')\n    RuntimeError: no luck\n    log: " in text
    assert "its process ended with code -9" in text
    assert "Traceback" in (tmp_path / "bad.log").read_text()


def test_forked_kernels_share_nothing_and_show_what_a_started_one_shows(tmp_path):
    shows = """import os, random
import matplotlib.pyplot as plt, pandas as pd
from prunemia import plots
plots.setup()
random.seen = getattr(random, "seen", 0) + 1
print(random.seen, os.environ["PYTHONHASHSEED"], {"b", "a", "c"}, __name__)
plt.figure(figsize=(1, 1)).subplots().plot([1, 2])
pd.DataFrame({f"a long column, number {i}": [i] for i in range(25)})"""
    tasks = [task(tmp_path, name, shows) for name in ("one", "two")]

    assert execute_all(tasks, 1, Teller(print)) == []

    with own_kernel():
        execute(tasks[0].notebook, tmp_path / "started.ipynb", {}, io.StringIO())
    expected = read_outputs(tmp_path / "started.ipynb")
    assert expected[0]["text"].startswith("1 0 ")
    assert any("image/svg+xml" in output.get("data", {}) for output in expected)
    assert read_outputs(tasks[0].output) == read_outputs(tasks[1].output) == expected


def read_outputs(path):
    return nbformat.read(path, as_version=4).cells[-1].outputs


def test_pages_tell_how_far_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    said = []
    code = """import sys, time
for i in range(3):
    print(f"\\rnetwork {i} of 3", end="", file=sys.stderr)
    time.sleep(1.5)"""
    tasks = [task(tmp_path, "quick", "import time\ntime.sleep(2)"), task(tmp_path, "slow", code)]

    execute_all(tasks, 1, Teller(said.append), {"quick": 1, "slow": 100})

    assert any(line.startswith("0 of 2 pages (quick") for line in said)
    assert any(line.startswith("1 of 2 pages, about ") for line in said)
    assert any(line.endswith("min left (slow: network 1 of 3)") for line in said)
    assert said[-1] == "2 of 2 pages"
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


def test_nothing_keeps_running_when_the_runner_is_killed(tmp_path):
    page = task(
        tmp_path,
        "long",
        "import time\nprint('at work', file=__import__('sys').stderr)\ntime.sleep(300)",
    )
    runner = multiprocessing.get_context("spawn").Process(
        target=execute_all, args=([page], 1, Teller(print))
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
