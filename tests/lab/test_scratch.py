import multiprocessing
import os
import signal

from prunemia.lab.scratch import scratch


def test_two_sweeps_have_a_folder_each_and_the_first_to_end_leaves_the_others(tmp_path):
    with scratch(tmp_path) as first:
        with scratch(tmp_path) as second:
            (first / "spilled").touch()
            assert second != first
        assert (first / "spilled").exists()
        assert not second.exists()
    assert not list(tmp_path.glob(".dask*"))


def test_the_folder_is_removed_where_the_sweep_fails(tmp_path):
    try:
        with scratch(tmp_path):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert not list(tmp_path.glob(".dask*"))


def _hold(root, ready):
    with scratch(root) as folder:
        (folder / "spilled").touch()
        ready.set()
        signal.pause()


def test_the_next_sweep_removes_what_a_killed_one_left(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=[tmp_path, ready])
    process.start()
    assert ready.wait(60)
    (abandoned,) = tmp_path.glob(".dask-*")

    with scratch(tmp_path):
        assert (abandoned / "spilled").exists()  # its owner lives
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert (abandoned / "spilled").exists()
    with scratch(tmp_path) as folder:
        assert list(tmp_path.glob(".dask-*")) == [folder]
