import json

import pandas as pd
import pytest

import prunemia as pm
from prunemia import results
from prunemia.errors import UsageError
from prunemia.results import kept
from prunemia.results.tables import levels

TINY = {"samples": 400, "width": 4, "epochs": 2, "finetune_epochs": 1, "shadows": 1}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A repository with one grid and an empty results/."""
    (tmp_path / "results").mkdir()
    (tmp_path / "grids").mkdir()
    (tmp_path / "_config.yml").write_text("title: a book\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "prunemia"\n')
    fields = "".join(f"{name}: {value}\n" for name, value in TINY.items())
    grid = f"attacks: [conf]\n{fields}stopping: [warm-up, last]\nseed: [0, 1]\n"
    (tmp_path / "grids" / "tiny.yml").write_text(grid)
    monkeypatch.setitem(results.TABLES, "tiny", levels)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def made(book):
    return results.make("tiny", pm.Lab(book / "store", device="cpu", progress=False))


@pytest.mark.usefixtures("book")
def test_a_table_comes_back_with_its_record(made):
    table = results.read("tiny")

    pd.testing.assert_frame_equal(table, made.round(6).reset_index(drop=True), check_dtype=False)
    record = table.attrs["record"]
    assert record["seeds"] == [0, 1]
    assert record["experiments"] == 4
    assert record["versions"]["networks"] == {"cnn1d": pm.kinds.NETWORKS["cnn1d"].version}
    assert {"package", "libraries", "device", "made", "grid_sha256"} <= set(record)


@pytest.mark.usefixtures("made")
def test_effects_of_a_kept_table_are_those_of_the_lab(book):
    exps = [pm.Experiment(**TINY, seed=seed) for seed in (0, 1)]
    name, found = results.control(exps)
    lab = pm.Lab(book / "store", device="cpu", progress=False)
    computed = lab.effects(exps, ["conf"]).query("label == -1")
    keys = ["seed", "measure", "attack", "effect"]

    assert name == "tiny"
    pd.testing.assert_series_equal(
        found.set_index(keys)["value"].sort_index(),
        computed.set_index(keys)["value"].sort_index(),
        atol=2e-6,
    )


@pytest.mark.usefixtures("made")
def test_experiments_that_no_table_has_are_not_found():
    assert results.control([pm.Experiment(**TINY, seed=2)]) is None
    assert results.control([pm.Experiment(**TINY | {"width": 5})]) is None


def test_outside_of_the_repository_nothing_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert results.control([pm.Experiment()]) is None
    with pytest.raises(UsageError, match=r"no results/ of the book here or above"):
        results.read("tiny")


@pytest.mark.parametrize(
    ("kind", "what"), [("stages", "pruned"), ("attacks", "conf"), ("networks", "cnn1d")]
)
@pytest.mark.usefixtures("made")
def test_a_table_of_other_versions_is_refused(book, kind, what):
    path = book / "results" / "tiny.json"
    record = json.loads(path.read_text())
    record["versions"][kind][what] += 1
    path.write_text(json.dumps(record))

    with pytest.raises(results.StaleTableError, match=f"made by version .* of {kind} '{what}'"):
        results.read("tiny")


@pytest.mark.usefixtures("made")
def test_a_table_of_another_grid_is_refused(book):
    with (book / "grids" / "tiny.yml").open("a") as grid:
        grid.write("weight_decay: 0\n")

    with pytest.raises(results.StaleTableError, match=r"grids/tiny.yml has changed since"):
        results.read("tiny")


def test_tables_that_are_not_there_are_named(book):
    with pytest.raises(UsageError, match=r"no table 'nothing' in .*; there: none"):
        results.read("nothing")
    with pytest.raises(UsageError, match=r"'nothing' is not allowed; allowed: .*tiny"):
        results.make("nothing", pm.Lab(book / "store", progress=False))


def test_every_table_of_the_book_is_there_and_current():
    assert [name for name in results.TABLES if not results.there(name)] == []
    for name in results.TABLES:
        assert len(results.read(name)) > 0
        assert kept.folder().joinpath(f"{name}.csv").stat().st_size < 2e6
    assert sum(file.stat().st_size for file in kept.folder().glob("*")) < 5e6
