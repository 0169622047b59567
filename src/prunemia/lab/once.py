"""Compute an artefact once: read it, or wait for whoever is at it, or compute and store it.

What it cost is noted beside it, and progress is shown.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from prunemia.lab.bench import Files
from prunemia.store import Store


class Computing:
    """Where artefacts are computed that the store has not.

    Parameters
    ----------
    store : where they are kept.
    progress : show on stderr what is being computed.
    """

    def __init__(self, store: Store, progress: bool) -> None:
        self.store = store
        self.progress = progress
        self._nested = [
            0.0,
            0.0,
        ]  # CPU and wall seconds of the artefacts inside the one that is being computed

    def once(
        self,
        stage: str,
        key: str,
        title: str,
        compute: Callable[[], Files],
        note: Callable[[], dict[str, Any]],
    ) -> Files:
        """Return the artefact, computed first if nobody has.

        ``note()`` and the seconds that it took are kept with it.
        """
        files = self.store.get(stage, key)
        if files is not None:
            return files
        with self.store.lock(
            stage, key, on_wait=lambda: self._say(f"waiting for another process: {title}")
        ):
            files = self.store.get(stage, key)
            if files is None:
                files, spent = self._timed(compute)
                self.store.put(stage, key, files, {"what": title} | note() | spent)
        return files

    @contextlib.contextmanager
    def bar(self, title: str, epochs: int) -> Iterator[Callable[[str], None]]:
        """Show a bar, and give what moves it on by an epoch and says how it goes."""
        pause = 0.2 if sys.stderr.isatty() else 5.0  # seconds between lines: a log wants fewer
        with tqdm(
            total=epochs, desc=title, unit="epoch", disable=not self.progress, mininterval=pause
        ) as bar:

            def report(line: str) -> None:
                bar.set_postfix_str(line, refresh=False)
                bar.update()

            yield report

    def _timed(self, compute: Callable[[], Files]) -> tuple[Files, dict[str, float]]:
        """Compute; return the files and their CPU and wall seconds, without inner artefacts'."""
        outer = self._nested
        self._nested = [0.0, 0.0]
        cpu_before = time.process_time()
        wall_before = time.perf_counter()
        try:
            files = compute()
        finally:
            cpu = time.process_time() - cpu_before
            wall = time.perf_counter() - wall_before
            inner = self._nested
            self._nested = [outer[0] + cpu, outer[1] + wall]
        return files, {"cpu_seconds": cpu - inner[0], "seconds": wall - inner[1]}

    def _say(self, text: str) -> None:
        if self.progress:
            tqdm.write(text, file=sys.stderr)
