"""What a long run says while it works: one line that is kept up to date, or a line a minute."""

from __future__ import annotations

import io
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping

ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_BAR = re.compile(r"\|[^|]*\| ")
SECONDS_BETWEEN_LINES = 60.0


class Teller:
    """Lines that stay, and a status that a terminal overwrites and a log gets once a minute."""

    def __init__(self, say: Callable[[str], None], terminal: io.TextIOBase | None = None) -> None:
        self._say, self._terminal = say, terminal
        self._told, self._told_at = "", time.monotonic()
        self._shown = False

    def line(self, text: str) -> None:
        """Say a line that stays."""
        self.clear()
        self._say(text)

    def status(self, text: str) -> None:
        """Say how far it is."""
        if self._terminal is not None:
            self._terminal.write(f"\r\x1b[2K{text[: shutil.get_terminal_size().columns - 1]}")
            self._terminal.flush()
            self._shown = True
        elif text != self._told and time.monotonic() - self._told_at >= SECONDS_BETWEEN_LINES:
            self._say(text)
            self._told, self._told_at = text, time.monotonic()

    def clear(self) -> None:
        """Take the status off the terminal."""
        if self._terminal is not None and self._shown:
            self._terminal.write("\r\x1b[2K")
            self._terminal.flush()
            self._shown = False


def teller(say: Callable[[str], None]) -> Teller:
    """Return a teller that overwrites its status where stderr is a terminal."""
    return Teller(say, sys.stderr if sys.stderr.isatty() else None)  # type: ignore[arg-type]


class Calm(io.TextIOBase):
    """A stream that passes lines on, and makes a status of bars, which redraw themselves."""

    def __init__(self, tell: Teller) -> None:
        self._tell, self._rest = tell, ""

    def write(self, text: str) -> int:
        """Take a piece of text; whole lines are told at once."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if "\r" in line or _BAR.search(line):
                self._status(line)
            else:
                self._tell.line(line)
        if "\r" in self._rest:
            self._status(self._rest)
            self._rest = self._rest[self._rest.rindex("\r") :]
        return len(text)

    def _status(self, line: str) -> None:
        if news := last_line(line):
            self._tell.status(news)


def last_line(text: str) -> str:
    """Return the last line of a text whose lines end as bars end theirs, without the bar."""
    lines = (line.strip() for line in reversed(re.split(r"[\r\n]", ANSI.sub("", text))))
    return _BAR.sub(" ", next((line for line in lines if line), ""))


def seconds_left(
    weights: Mapping[str, float],
    done: Mapping[str, float],
    running: Mapping[str, float],
    jobs: int,
) -> float | None:
    """Estimate how long the rest takes, from what is done; None while nothing is.

    Parameters
    ----------
    weights : how much work each page is, in any unit.
    done : seconds that each finished page took.
    running : seconds that each running page is at work.
    jobs : pages executed at a time.
    """
    work_done = sum(weights[name] for name in done)
    if not work_done:
        return None
    rate = sum(done.values()) / work_done
    left = {name: rate * weights[name] for name in weights if name not in done}
    for name, seconds in running.items():
        left[name] = max(left[name] - seconds, 0.0)
    # No sooner than the longest of them alone, however many run at a time.
    return max(sum(left.values()) / jobs, max(left.values(), default=0.0))


def pages_done(done: int, total: int, seconds: float | None) -> str:
    """Say how many pages are done, and how long the rest takes."""
    text = f"{done} of {total} pages"
    if seconds is None or done == total:
        return text
    minutes = round(seconds / 60)
    return f"{text}, {f'about {minutes} min' if minutes else 'less than a minute'} left"
