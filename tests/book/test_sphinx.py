import multiprocessing
import subprocess
import sys
import time

import psutil
import pytest

from prunemia.book import sphinx
from prunemia.errors import RunError


@pytest.fixture
def build(tmp_path):
    (tmp_path / "stage").mkdir()
    return tmp_path


def start(build, child):
    """Run Sphinx's stand-in in a process that can be killed."""
    sphinx._CHILD = child
    sphinx.run_sphinx(build, strict=True)


CHILD = """
import sys, threading, time
from prunemia.book.sphinx import _end_with_parent
threading.Thread(target=_end_with_parent, daemon=True).start()
print("at work", flush=True)
time.sleep(300)
"""


def test_sphinx_ends_when_the_process_that_started_it_is_killed(build):
    process = multiprocessing.get_context("spawn").Process(target=start, args=(build, CHILD))
    process.start()
    log = build / "logs" / "sphinx.log"
    for_seconds(60, lambda: log.is_file() and "at work" in log.read_text())
    [child] = [
        p for p in psutil.Process(process.pid).children() if "sphinx" in " ".join(p.cmdline())
    ]

    process.kill()
    process.join()

    for_seconds(20, lambda: not child.is_running() or child.status() == "zombie")


def test_the_child_that_builds_the_book_ends_with_its_input():
    code = f"""
import sys, time, types
cli = types.ModuleType("jupyter_book.cli.main")
cli.main = lambda: time.sleep(300)
sys.modules["jupyter_book.cli.main"] = cli
{sphinx._CHILD}
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, timeout=60, check=False
    )

    assert ended.returncode == 1


def test_what_sphinx_complains_of_is_the_error_and_the_last_book_stays(build, monkeypatch):
    (build / "_build").mkdir()
    (build / "_build" / "good").touch()
    child = "print('reading\\x1b[31m'); print('a.md:3: WARNING: odd'); raise SystemExit(2)"
    monkeypatch.setattr(sphinx, "_CHILD", child)

    with pytest.raises(RunError, match=r"^a\.md:3: WARNING: odd\nthe book could not be built; log"):
        sphinx.run_sphinx(build, strict=True)
    assert (build / "_build" / "good").exists()
    assert (build / "logs" / "sphinx.log").read_text() == "reading\na.md:3: WARNING: odd\n"


def for_seconds(seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
