"""GRID.yml read, refused, carried out by the command; the table written."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import prunemia as pm
from prunemia import attacks
from prunemia.cli import main
from prunemia.errors import UsageError
from prunemia.lab import grid, sweep


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "grid.yml"
        path.write_text(text)
        return path

    return write


def test_lists_are_crossed_in_the_order_in_which_they_are_written(written):
    text = "attacks: [mentr, conf]\nof: original\nseed: [0, 1]\nsparsity: [0.5, 0.9]\nsamples: 300"
    parsed = grid.read(written(text))
    base = pm.Experiment(samples=300)
    crossed = tuple(base.replace(seed=k, sparsity=s) for k in (0, 1) for s in (0.5, 0.9))
    assert parsed == (crossed, ("mentr", "conf"), ("original",))
    least = grid.read(written("seed: 3\n"))
    assert least == ((pm.Experiment(seed=3),), attacks.names(), ("pruned",))
    # what the adversary assumes is crossed too
    text = "sparsity: [0.5, 0.7]\nadversary: [null, {sparsity: [0.5, 0.9]}, {pruner: none}]"
    assumed = [exp.adversary for exp in grid.read(written(text)).experiments]
    guesses = [{"sparsity": 0.5}, {"sparsity": 0.9}, {"pruner": "none"}]
    assert assumed == 2 * [None, *(pm.Adversary(**guess) for guess in guesses)]


def test_several_grids_share_what_stands_above_them_and_no_experiment_comes_twice(written):
    text = """
        seed: [0, 1]
        width: 8
        grids:
          - {pruner: [slim, l1structured]}
          - {pruner: slim, seed: [1, 2]}
          - {model: columnfc, width: null, seed: 0}
    """
    parsed = grid.read(written(text)).experiments

    crossed = [("cnn1d", pruner, seed) for seed in (0, 1) for pruner in ("slim", "l1structured")]
    rest = [("cnn1d", "slim", 2), ("columnfc", "l1unstructured", 0)]
    assert [(e.model, e.pruner, e.seed) for e in parsed] == crossed + rest


MANY = list(range(1, 101))
TWICE = f"grids: [{{epochs: {MANY[:6]}}}, {{epochs: {MANY[:6]}}}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sparcity: 0.5", "sparcity: no such field; allowed: dataset, samples"),
        ("sparsity: [0.5, 1.5]", "sparsity: 1.5 is not allowed: should be less than 1"),
        ("attacks: [conf, cnof]", "attacks: 'cnof' is not allowed; allowed: conf, xent"),
        ("of: both", "of: 'both' is not allowed; allowed: pruned, original"),
        ("seed: []", "0 experiments (a list is empty); allowed: 1 to 100,000"),
        ("grids: {}", "grids: allowed: a list of grids"),
        ("", "a grid maps names to values"),
        ("seed: [0", "is not YAML: "),
        ("seed: 0\nseed: 1", "seed: given twice"),
        # too large, and refused before it is built
        (f"seed: {MANY}\nadversary: {{pruner: {MANY}, sparsity: {MANY}}}", "1,000,000 experiments"),
        (f"seed: {MANY}\ndraws: {MANY}\n{TWICE}", "120,000 experiments; allowed: 1 to 100,000"),
        ("\n".join(f"f{k}: [0, 1]" for k in range(400)), "more than 10^12 experiments"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_file_the_field_and_the_value(written, text, message):
    path = written(text)
    with pytest.raises(UsageError) as caught:
        grid.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_written_is_read_to_the_bit(tmp_path):
    table = pd.DataFrame({"auc": [1 / 3, 0.1]})
    for name, read in (("a.csv", pd.read_csv), ("a.parquet", pd.read_parquet)):
        grid.write(table, tmp_path / name)
        how = {"float_precision": "round_trip"} if name == "a.csv" else {}
        assert_frame_equal(read(tmp_path / name, **how), table, check_exact=True)


FEW = """{attacks: [conf, mentr], dataset: digits, model: columnfc, epochs: 1, finetune_epochs: 1,
    shadows: 1, draws: 1, grids: [{samples: 300}, {samples: 1798}]}"""


def swept(capsys, *arguments):
    """Call `prunemia sweep`; return its exit code and what it says."""
    with pytest.raises(SystemExit) as ended:
        main(["sweep", *map(str, arguments)])
    return (ended.value.code or 0, *capsys.readouterr())


def test_the_command_writes_the_table_and_lists_what_failed(written, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, store = written(FEW), tmp_path / "store"
    store.mkdir()
    code, said, _ = swept(capsys, file, "--store", store, "--plan")
    assert (code, list(store.iterdir())) == (0, [])
    assert said.startswith("2 experiments, 4 rows; the results of 0 are in the store.\n")

    code, said, error = swept(capsys, file, "--store", store)
    assert (code, said.splitlines()[-1]) == (1, "2 rows written: grid.csv")
    assert "prunemia: 1 experiments failed, the others are in the table:\n  dataset" in error
    assert len(pd.read_csv("grid.csv")) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scheduler", "gibberish", "--plan"], "--scheduler gibberish: is no address of a Dask"),
        (["--output", "table.txt"], "--output table.txt: a table's name ends in .csv or .parquet"),
        (["--output", "folder.csv"], "--output folder.csv: is a folder"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_before_anything_is_planned(
    written, tmp_path, capsys, monkeypatch, options, message
):
    monkeypatch.setattr(sweep, "Plan", lambda *_: pytest.fail("planned"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    code, said, error = swept(capsys, written(FEW), "--store", tmp_path, *options)

    assert (code, said) == (2, "")
    assert error.startswith(f"prunemia: {message}")
    assert error.count("\n") == 1
    assert not (tmp_path / "grid.csv").exists()
