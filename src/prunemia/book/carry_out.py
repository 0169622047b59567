"""Carry out what pages need: ``python -m prunemia.book.carry_out JOBS``, started by `ahead`.

Reads from stdin one line of JSON, a list of {"page", "needs", "parameters"}, and ends when stdin
does: then the process that started it is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from contextlib import AbstractContextManager
from typing import Any

from prunemia.book import needs
from prunemia.lab import on_dask
from prunemia.lab.map import compute
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.plan import plan_steps
from prunemia.lab.steps import merged


def main(jobs: int) -> int:
    """Carry out the needs on ``jobs`` processes; return 1 if something failed."""
    wants = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipeline = Pipeline()
    planned = plan_steps(pipeline, together(wants))
    for failure in planned.refused:
        print(failure, file=sys.stderr)
    where: AbstractContextManager[str | None] = contextlib.nullcontext()
    if jobs > 1 and len(planned.todo) > 1:
        where = on_dask.local(jobs, pipeline.store.root)
    with where as address:
        errors = compute(planned, address)
    for error in dict.fromkeys(errors.values()):
        print(error, file=sys.stderr)
    return 1 if errors or planned.refused else 0


def together(wants: list[dict[str, Any]]) -> needs.Steps:
    """Return the steps that all these pages need, each once."""
    return merged(needs.steps(want["needs"], want["parameters"]) for want in wants)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
