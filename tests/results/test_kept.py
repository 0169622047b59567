import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch

import prunemia as pm
from prunemia import registry, results
from prunemia.errors import UsageError
from prunemia.lab.steps import Step
from prunemia.results import kept, tables
from prunemia.results.tables import levels

TINY = {"samples": 400, "width": 4, "epochs": 2, "finetune_epochs": 1, "shadows": 1}
RULES = ("warm-up", "last")


def grid(book, **changes):
    """Write the grid of the table "tiny"."""
    fields = {"attacks": ["conf"], **TINY, "stopping": list(RULES)} | changes
    (book / "grids" / "tiny.yml").write_text(json.dumps(fields))


def repository(root, patch):
    """Write a repository with one grid and an empty results/, and go there."""
    for folder in ("results", "grids"):
        (root / folder).mkdir()
    (root / "_config.yml").write_text("title: a book\n")
    (root / "pyproject.toml").write_text('[project]\nname = "prunemia"\n')
    grid(root, seed=[0, 1])
    patch.setitem(results.TABLES, "tiny", levels)
    patch.chdir(root)


def make(store, **how):
    return results.make("tiny", pm.Lab(store, device="cpu", progress=False), **how)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """A repository with its table, and the store that it was made with."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        repository(root, patch)
        make(root / "store")
    return root


@pytest.fixture
def book(tmp_path, monkeypatch):
    """The repository before its table is made."""
    repository(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def made(book, made_once):
    """The table, in a repository of the test's own."""
    for folder in ("results", "store"):
        shutil.copytree(made_once / folder, book / folder, dirs_exist_ok=True)
    return results.read("tiny")


def stale(said):
    """Expect that the table is refused."""
    with pytest.raises(results.StaleTableError, match=said):
        results.read("tiny")


def test_a_table_comes_back_with_its_record(made, book):
    exps = [pm.Experiment(**TINY, stopping=rule, seed=s) for rule in RULES for s in (0, 1)]
    found = levels(pm.Lab(book / "store", device="cpu", progress=False), exps, ["conf"])
    pd.testing.assert_frame_equal(made, found.round(6), check_dtype=False, rtol=0, atol=1e-12)
    record = results.record("tiny")
    [part] = record["parts"]
    assert part["processor"] == {"name": kept.processor(), "probe": kept.probe()}
    assert {"package", "python", "libraries", "device", "made"} <= set(part)
    assert record["cells"] == {kept.cell(exp): 0 for exp in exps}


def test_a_table_grows_with_its_grid_part_by_part(made, book):
    rows = (book / "results" / "tiny.csv").read_text().splitlines()
    grid(book, seed=[0, 1, 2, 3])
    # what the grid asks for since is lacking, and all other rows can be read
    pd.testing.assert_frame_equal(results.read("tiny"), made)
    assert [exp.seed for exp in results.lacking("tiny")] == [2, 3, 2, 3]
    assert results.holding("tiny", [pm.Experiment(**TINY, seed=1)]) == "tiny"
    assert results.holding("tiny", [pm.Experiment(**TINY, seed=2)]) == ""

    table = make(book / "another store", wanted=lambda exp: exp.seed == 3)

    grown = (book / "results" / "tiny.csv").read_text().splitlines()
    assert [row for row in grown[1:] if ",3," not in row] == rows[1:]
    assert {exp.seed for exp in results.lacking("tiny")} == {2}
    # the last seed alone was computed
    lab = pm.Lab(book / "another store", device="cpu", progress=False)
    exps = [pm.Experiment(**TINY, seed=seed) for seed in (0, 1, 3)]
    assert [lab.has(Step("pruned", exp, "pruned")) for exp in exps] == [False, False, True]
    record = results.record("tiny")
    assert [part["experiments"] for part in record["parts"]] == [4, 2]
    assert [record["cells"][kept.cell(exp)] for exp in exps] == [0, 0, 1]
    # the order is the grid's
    order = table[["stopping", "seed"]].drop_duplicates().to_numpy().tolist()
    assert order == [[rule, seed] for rule in RULES for seed in (0, 1, 3)]


@pytest.mark.usefixtures("made")
def test_rows_of_experiments_that_left_the_grid_go(book):
    rows = (book / "results" / "tiny.csv").read_text().splitlines()
    grid(book, seed=[1])
    assert set(results.read("tiny")["seed"]) == {1}
    assert set(make(book / "another store")["seed"]) == {1}
    left = (book / "results" / "tiny.csv").read_text().splitlines()
    assert left == [row for row in rows if ",0," not in row]
    assert results.record("tiny")["parts"][0]["experiments"] == 2
    assert not (book / "another store" / "pruned").exists()


@pytest.mark.usefixtures("made")
def test_experiments_that_changed_are_computed_though_their_rows_look_the_same(book):
    before = results.read("tiny").query("seed == 0 and stopping == 'last'")
    # no column of the table says how many epochs
    grid(book, seed=0, stopping="last", epochs=3)
    table = make(book / "store")
    assert len(table) == len(before)
    assert (table["original"].to_numpy() != before["original"].to_numpy()).mean() > 0.5
    assert [part["experiments"] for part in results.record("tiny")["parts"]] == [1]


def test_anew_computes_all(made, book):
    made.assign(pruned=0.123).to_csv(book / "results" / "tiny.csv", index=False)
    assert (make(book / "store")["pruned"] == 0.123).all()
    pd.testing.assert_frame_equal(make(book / "store", anew=True), made)


def test_a_cell_is_what_is_not_default_and_later_versions(monkeypatch):
    # cnn1d's version is 2: it counts; so does dp's, which is raised here
    plain = pm.Experiment(seed=3)
    text = '[{"seed":3},{"model cnn1d":2}]'
    assert kept.cell(plain) == hashlib.sha256(text.encode()).hexdigest()[:8]
    assert kept.cell(plain.replace(shadows=5)) == kept.cell(plain)
    assert kept.cell(plain.replace(shadows=4)) != kept.cell(plain)

    private = plain.replace(defense="dp")
    believed = private.replace(defense="ppb", adversary=pm.Adversary(defense="dp"))
    before = {exp: kept.cell(exp) for exp in (plain, private, believed)}
    raised = dataclasses.replace(registry.DEFENSES["dp"], version=99)
    monkeypatch.setitem(registry.DEFENSES, "dp", raised)
    assert [exp for exp, old in before.items() if kept.cell(exp) == old] == [plain]


def test_rows_of_originals_are_those_of_the_control_of_their_seed():
    exps = [pm.Experiment(pruner="dense", seed=s) for s in (0, 1)] + [pm.Experiment(seed=1)]
    labels = pd.DataFrame([tables.label(exp) for exp in exps])
    originals = labels[:2].assign(pruner=tables.ORIGINAL)
    table = kept.as_text(pd.concat([labels, originals]))

    assert kept.owners(table, exps).tolist() == [0, 1, 2, 0, 1]
    assert kept.owners(table, exps[1:]).tolist() == [-1, 0, 1, -1, 0]
    with pytest.raises(UsageError, match=r"4 experiments, of which .* tell 3 apart"):
        kept.owners(table, [*exps, exps[0].replace(shadows=4)])


@pytest.mark.parametrize(("kind", "what"), [("stages", "pruned"), ("attacks", "conf")])
@pytest.mark.usefixtures("made")
def test_a_table_of_other_versions_is_refused(book, kind, what):
    path = book / "results" / "tiny.json"
    record = json.loads(path.read_text())
    record["versions"][kind][what] += 1
    path.write_text(json.dumps(record))
    stale(f"made by version .* of {kind} '{what}'")


@pytest.mark.usefixtures("made")
def test_a_comment_in_a_grid_changes_nothing_and_a_field_does(book):
    with (book / "grids" / "tiny.yml").open("a") as file:
        file.write("\n# a comment\n")
    assert len(results.read("tiny")) > 0

    grid(book, seed=[0, 1], weight_decay=0)
    stale("the 4 experiments of grids/tiny.yml are new or changed since it was made; compute them")
    grid(book, seed=[0, 1], attacks=["conf", "mentr"])
    stale("made without mentr; make it anew with")
    (book / "grids" / "tiny.yml").unlink()
    stale(r"its grid grids/tiny.yml is gone")


def test_tables_that_are_not_there_are_named(book, tmp_path_factory, monkeypatch):
    with pytest.raises(UsageError, match=r"no table 'nothing' in .*; there: none"):
        results.read("nothing")
    with pytest.raises(UsageError, match=r"'nothing' is not allowed; allowed: .*tiny"):
        results.make("nothing", pm.Lab(book / "store", progress=False))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert results.holding("tiny", [pm.Experiment()]) == ""
    with pytest.raises(UsageError, match=r"no results/ of the book here or above"):
        results.read("tiny")


def test_every_table_of_the_book_is_there_and_current():
    assert [name for name in results.TABLES if not results.exists(name)] == []
    assert all(len(results.read(name)) > 0 for name in results.TABLES)
    sizes = [file.stat().st_size for file in kept.folder().glob("*")]
    assert (max(sizes) < 2.5e6, sum(sizes) < 9.5e6) == (True, True)


CODE = "from prunemia.results import kept; print(kept.probe(), kept.processor())"


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch has no older instructions to fall back to",
)
def test_a_probe_depends_on_the_instructions_and_not_on_processes_or_threads():
    def started(**changes):
        command, how = [sys.executable, "-c", CODE], {"stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=os.environ | changes, **how)

    # vectors of another length add in another order
    alike, other = started(OMP_NUM_THREADS="1"), started(ATEN_CPU_CAPABILITY="default")
    probe, name = other.communicate()[0].split(maxsplit=1)

    assert alike.communicate()[0] == f"{kept.probe()} {kept.processor()}\n"
    assert len(probe) == 16
    assert probe != kept.probe()
    assert name != f"{kept.processor()}\n"
