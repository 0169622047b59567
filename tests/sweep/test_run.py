import time

import pandas as pd
import pytest

import prunemia as pm
from prunemia.cli import main
from prunemia.lab import addresses, plan
from prunemia.sweep import grid, run


@pytest.mark.parametrize("options", [[], ["--plan"]])
def test_a_scheduler_that_is_none_is_refused_at_once_before_anything_is_planned(
    tmp_path, capsys, monkeypatch, options
):
    monkeypatch.setattr(plan, "plan", lambda *_: pytest.fail("planned"))
    grid = tmp_path / "grid.yml"
    grid.write_text("seed: 0\n")
    output = str(tmp_path / "table.csv")
    started = time.perf_counter()

    arguments = ["sweep", str(grid), "--store", str(tmp_path), "--output", output]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--scheduler", "gibberish", *options])

    assert time.perf_counter() - started < 5
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("prunemia: --scheduler gibberish: is no address of a Dask scheduler;")
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["grid.yml"]


@pytest.mark.parametrize(("address", "warned"), [("10.0.0.5:8786", 1), ("127.0.0.1:8786", 0)])
def test_a_sweep_says_once_that_its_scheduler_is_open(tmp_path, monkeypatch, address, warned):
    # Warnings are errors here, so connect's own would end the test.
    def carry_out(_, scheduler):
        addresses.warn_if_open(scheduler)  # as connecting does
        return pd.DataFrame(), []

    monkeypatch.setattr(run, "carry_out", carry_out)
    said = []

    few = grid.Grid((pm.Experiment(),), ("conf",), ("pruned",))
    run.run(few, pm.Lab(tmp_path, address), tmp_path / "table.csv", None, said.append)

    assert sum("can run code" in line for line in said) == warned
    assert any("experiments" in line for line in said)
