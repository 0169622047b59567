import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import pytest

from prunemia.book.kernel import LOCK, PREFIX, UNLOCKED_FOR, own_kernel, sweep_kernels


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the test's own folder of temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


def hold(started):
    with own_kernel():
        started.set()
        time.sleep(300)


def test_the_next_run_sweeps_the_folder_of_a_killed_run_and_no_other(folder):
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=hold, args=(started,))
    process.start()
    assert started.wait(60)
    [held] = folder.glob(f"{PREFIX}*")

    with own_kernel():
        assert held.is_dir()  # its run is at work
    process.kill()
    process.join()
    assert held.is_dir()  # nobody was there to remove it
    with own_kernel():
        [used] = folder.glob(f"{PREFIX}*")
        assert used != held
    assert list(folder.glob(f"{PREFIX}*")) == []


def test_a_folder_that_was_never_held_goes_once_it_is_old(folder):
    new, old = folder / f"{PREFIX}new", folder / f"{PREFIX}old"
    for path, age in ((new, 0), (old, UNLOCKED_FOR + 60)):
        path.mkdir()
        os.utime(path, (time.time() - age,) * 2)

    sweep_kernels()

    assert list(folder.iterdir()) == [new]


def test_a_link_is_not_followed(folder, tmp_path_factory):
    elsewhere: Path = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / LOCK).touch()
    (folder / f"{PREFIX}link").symlink_to(elsewhere)

    sweep_kernels()

    assert (elsewhere / LOCK).exists()
