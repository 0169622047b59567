"""Kernels that are forked instead of started, so that what pages import is imported once.

Imports are half of the time of a page whose results are stored. A server process imports them and
nothing else (`PRELOADED`); each page gets a process forked from it, and its kernel is forked from
that before anything ran there: pages share no state but the modules.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any

PRELOADED = (
    "papermill",
    "ipykernel.kernelapp",
    "itables",
    "matplotlib.pyplot",
    "prunemia.book.attack_page",
    "prunemia.book.glue",
    "prunemia.claims",
    "prunemia.plots",
)


def context() -> ForkServerContext:
    """Return how to start a page's process: forked from the server, which starts with the first."""
    chosen = multiprocessing.get_context("forkserver")
    chosen.set_forkserver_preload(list(PRELOADED))
    # What the kernel sets, but before matplotlib is imported: it reads this then.
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    return chosen


class ForkedKernel:
    """A kernel's process, in which nothing has happened yet; looks like a subprocess.Popen."""

    stdin = stdout = stderr = None

    def __init__(self) -> None:
        fork = multiprocessing.get_context("fork")
        theirs, self._ours = fork.Pipe(duplex=False)
        self._process = fork.Process(target=_serve, args=(theirs, self._ours))
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def serve(self, connection_file: str) -> None:
        """Let it serve what the file describes."""
        self._ours.send(connection_file)
        self._ours.close()

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """Wait for its end, and return its exit code."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def manager_of(kernel: ForkedKernel) -> type:
    """Return the class of a kernel manager that has this kernel instead of starting one."""
    from jupyter_client.manager import AsyncKernelManager  # slow to import

    class Manager(AsyncKernelManager):
        async def _async_launch_kernel(self, kernel_cmd: list[str], **_: Any) -> None:  # noqa: ARG002
            kernel.serve(self.connection_file)
            provisioner: Any = self.provisioner
            provisioner.process, provisioner.pid = kernel, kernel.pid
            self._reconcile_connection_info(provisioner.connection_info)

    return Manager


def _serve(connection: Connection, other_end: Connection) -> None:
    """Be a kernel, once the file with its addresses is known; end with the page's process."""
    import pandas as pd
    from ipykernel.kernelapp import IPKernelApp

    # pandas, imported outside of a kernel, fits tables to a terminal: what it does inside of one
    pd.set_option("display.max_columns", 20)
    other_end.close()  # or the end of the page's process would not show here
    try:
        file = connection.recv()
    except EOFError:
        return
    sys.argv = ["ipykernel_launcher"]
    # it looks once a second whether the page's process is still its parent
    parent = f"--IPKernelApp.parent_handle={os.getppid()}"
    IPKernelApp.launch_instance(argv=["-f", file, "--log-level=50", parent])
