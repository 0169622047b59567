"""Sphinx in a process of its own, which ends when the process that started it does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from prunemia.book.files import naming, write_whole
from prunemia.book.pages import TOC
from prunemia.book.progress import ANSI
from prunemia.errors import RunError

_CHILD = "from prunemia.book.sphinx import build_here; build_here()"


def run_sphinx(build: Path, strict: bool) -> None:
    """Build build/_build/html from build/stage; with ``strict``, a warning is an error.

    Raises
    ------
    RunError
        Sphinx failed; its messages are the text, and the last good book stays.
    """
    new, log = build / "new", build / "logs" / "sphinx.log"
    shutil.rmtree(new, ignore_errors=True)
    arguments = ["build", ".", "--config", "_config.yml", "--toc", str(TOC)]
    arguments += ["--path-output", str(new), "--all", "-q", "--keep-going"]
    arguments += ["-W", "-n"] if strict else []
    code = _run_child(arguments, build / "stage", log)
    messages = ANSI.sub("", log.read_text(encoding="utf-8", errors="replace"))
    write_whole(log, messages)
    if code:
        complaints = [
            line
            for line in messages.splitlines()
            if re.search("WARNING|ERROR|Error|Exception", line)
        ]
        raise RunError("\n".join([*complaints, f"the book could not be built; log: {log}"]))
    shutil.rmtree(build / "_build", ignore_errors=True)
    (new / "_build").rename(build / "_build")
    shutil.rmtree(new)


def _run_child(arguments: list[str], folder: Path, log: Path) -> int:
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "NO_COLOR": "1", "PYTHONHASHSEED": "0"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with naming(log), log.open("wb") as messages:
        # The child reads its standard input, to which nothing is written: it ends with us.
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=messages,
            stderr=subprocess.STDOUT,
        )
    with process:
        try:
            return process.wait()
        finally:
            process.kill()


def build_here() -> None:
    """Run jupyter-book on the command line's arguments, and end when standard input does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from jupyter_book.cli.main import main  # slow to import, and only this process needs it

    main()


def _end_with_parent() -> None:
    # The file descriptor, not sys.stdin: a buffer's lock would be held while the interpreter ends.
    while os.read(0, 4096):
        pass
    os._exit(1)
