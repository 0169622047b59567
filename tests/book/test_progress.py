import io

import pytest

from prunemia.book import progress
from prunemia.book.progress import Calm, Teller, pages_done, seconds_left


class Clock:
    """The seconds that a test lets pass."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_log_gets_a_status_once_a_minute_and_only_where_it_is_new(clock):
    said = []
    tell = Teller(said.append)

    for second in range(0, 300, 10):
        clock.now = float(second)
        tell.status(f"{second // 100} pages")

    assert said == ["0 pages", "1 pages", "2 pages"]


def test_a_terminal_gets_a_status_that_is_overwritten_and_lines_that_stay(monkeypatch):
    monkeypatch.setenv("COLUMNS", "11")
    terminal = io.StringIO()
    tell = Teller(lambda line: terminal.write(f"{line}\n"), terminal)

    tell.status("0 of 2 pages")
    tell.status("1 of 2 pages")
    tell.line("failed")
    tell.clear()

    clear = "\r\x1b[2K"
    assert terminal.getvalue() == f"{clear}0 of 2 pag{clear}1 of 2 pag{clear}failed\n"


def test_bars_become_a_status_and_lines_stay_lines():
    said, shown = [], []
    tell = Teller(said.append)
    tell.status = shown.append
    stream = Calm(tell)

    for piece in ["a war", "ning\n", "\rnet: 10%|#  | 1/9", "\rnet: 20%|##| 2/9", "\n", "end\n"]:
        stream.write(piece)

    assert said == ["a warning", "end"]
    assert shown == ["net: 10% 1/9", "net: 20% 2/9", "net: 20% 2/9"]


def test_the_time_left_follows_from_the_work_done():
    weights = {"a": 6, "b": 2, "c": 2}

    # "a" took 60 s, so a unit takes 10 s; "b" is at work for 5 of its 20 s, "c" waits for 20 s.
    assert seconds_left(weights, {"a": 60}, {"b": 5}, 1) == pytest.approx(15 + 20)
    # Two at a time: no sooner than "c" alone.
    assert seconds_left(weights, {"a": 60}, {"b": 5}, 2) == pytest.approx(20)
    # "b" takes longer than it should: it counts no less than nothing.
    assert seconds_left(weights, {"a": 60}, {"b": 50}, 1) == pytest.approx(20)
    assert seconds_left(weights, {}, {"a": 100}, 1) is None
    assert seconds_left(weights, {"a": 6, "b": 2, "c": 2}, {}, 1) == 0


@pytest.mark.parametrize(
    ("done", "seconds", "text"),
    [
        (7, 540.0, "7 of 17 pages, about 9 min left"),
        (7, 20.0, "7 of 17 pages, less than a minute left"),
        (0, None, "0 of 17 pages"),
        (17, 0.0, "17 of 17 pages"),
    ],
)
def test_the_status_says_how_many_and_how_long(done, seconds, text):
    assert pages_done(done, 17, seconds) == text
