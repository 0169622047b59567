import time
import warnings

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import prunemia as pm
from prunemia import attacks
from prunemia.cli import main
from prunemia.errors import RunError, UsageError
from prunemia.lab import grid, sweep


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "grid.yml"
        path.write_text(text)
        return path

    return write


def test_lists_are_crossed_in_the_order_in_which_they_are_written(written):
    parsed = grid.read(
        written(
            "attacks: [mentr, conf]\nof: original\n"
            "seed: [0, 1]\nsparsity: [0.5, 0.9]\nsamples: 300\n"
        )
    )

    base = pm.Experiment(samples=300)
    assert parsed.experiments == tuple(
        base.replace(seed=k, sparsity=s) for k in (0, 1) for s in (0.5, 0.9)
    )
    assert (parsed.attacks, parsed.of) == (("mentr", "conf"), ("original",))


def test_without_attacks_and_networks_all_attacks_on_the_pruned_network(written):
    parsed = grid.read(written("seed: 3\n"))

    assert (parsed.experiments, parsed.attacks, parsed.of) == (
        (pm.Experiment(seed=3),),
        attacks.names(),
        ("pruned",),
    )


def test_what_the_adversary_assumes_is_crossed_too(written):
    parsed = grid.read(
        written(
            "sparsity: [0.5, 0.7]\n"
            "adversary:\n  - null\n  - {sparsity: [0.5, 0.9]}\n  - {pruner: none}\n"
        )
    )

    assumed = [
        e.adversary and (e.adversary.pruner, e.adversary.sparsity) for e in parsed.experiments
    ]
    assert assumed == 2 * [None, (None, 0.5), (None, 0.9), ("none", None)]


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

    assert [(e.model, e.pruner, e.seed) for e in parsed] == [
        ("cnn1d", "slim", 0),
        ("cnn1d", "l1structured", 0),
        ("cnn1d", "slim", 1),
        ("cnn1d", "l1structured", 1),
        ("cnn1d", "slim", 2),
        ("columnfc", "l1unstructured", 0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sparcity: 0.5", "sparcity: no such field; allowed: dataset, samples"),
        (
            "sparsity: [0.5, 1.5]",
            "sparsity: 1.5 is not allowed: should be less than 1 (at sparsity 1.5)",
        ),
        (
            "pruner: [l1unstructured, slim]\nmodel: columnfc",
            "'slim' ranks BatchNorm scales, of which model 'columnfc'",
        ),
        ("attacks: [conf, cnof]", "attacks: 'cnof' is not allowed; allowed: conf, xent"),
        ("of: both", "of: 'both' is not allowed; allowed: pruned, original"),
        ("seed: []", "seed: an empty list; allowed: one value or more"),
        (
            "adversary: {sparcity: 0.5}",
            "adversary.sparcity: no such field; allowed: pruner, sparsity",
        ),
        ("adversary: 0.5", "adversary maps names to values"),
        ("grids: {}", "grids: allowed: a list of grids"),
        ("grids: [0.5]", "grids: each maps names to values"),
        ("- seed", "a grid maps names to values"),
        ("", "a grid maps names to values"),
        ("seed: [0", "is not YAML: "),
        (
            "seed: ["
            + ", ".join(map(str, range(400)))
            + "]\ndraws: ["
            + ", ".join(map(str, range(1, 400)))
            + "]",
            "159,600 experiments",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_the_file_the_field_and_the_value(written, text, message):
    path = written(text)
    with pytest.raises(UsageError) as caught:
        grid.read(path)

    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


MANY = list(range(1, 101))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"seed: {MANY}\ndraws: {MANY}\nepochs: {MANY}\nshadows: {MANY}",
            "100,000,000 experiments; allowed: at most 100,000",
        ),
        (
            f"seed: {MANY}\nadversary: {{pruner: {MANY}, sparsity: {MANY}}}",
            "1,000,000 experiments; allowed: at most 100,000",
        ),
        (
            "adversary: {"
            + ", ".join(f"{n}: {MANY}" for n in ("pruner", "sparsity", "defense", "strength"))
            + "}",
            "100,000,000 adversaries; allowed: at most 100,000",
        ),
        (
            f"seed: {MANY}\ndraws: {MANY}\ngrids: [{{epochs: {MANY[:6]}}}, {{epochs: {MANY[:6]}}}]",
            "120,000 experiments; allowed: at most 100,000",
        ),
        (
            "\n".join(f"f{k}: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" for k in range(400)),
            "more than 10^12 experiments; allowed: at most 100,000",
        ),
        ("seed: 2024-99-99", "is not YAML: month must be in 1..12"),
        ("seed: 0\nseed: 1", "seed: given twice"),
    ],
)
def test_a_grid_too_large_is_refused_before_it_is_built(written, text, message):
    started = time.process_time()
    with pytest.raises(UsageError) as caught:
        grid.read(written(text))

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.process_time() - started < 5


def test_an_anchor_may_be_used_again(written):
    text = "seed: &few [0, 1]\ngrids: [{sparsity: 0.5}, {sparsity: 0.9, seed: *few}]"

    assert [(e.sparsity, e.seed) for e in grid.read(written(text)).experiments] == [
        (0.5, 0),
        (0.5, 1),
        (0.9, 0),
        (0.9, 1),
    ]


def test_no_such_file(tmp_path):
    with pytest.raises(UsageError, match=r"nosuch\.yml: cannot be read: No such file"):
        grid.read(tmp_path / "nosuch.yml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table.txt", "ends in .csv or .parquet"),
        ("no/table.csv", "there is no such folder"),
        ("x.csv", "is a folder"),
    ],
)
def test_a_table_that_could_not_be_written(tmp_path, name, message):
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(UsageError, match=message):
        grid.check_output(tmp_path / name)


def test_a_table_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    table = pd.DataFrame({"auc": [1 / 3, 0.1]})
    grid.write(table, path)
    assert_frame_equal(pd.read_csv(path, float_precision="round_trip"), table, check_exact=True)
    grid.write(table, tmp_path / "table.parquet")
    assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), table, check_exact=True)

    def full(_, aside, **__):
        aside.write_text("half a ta")
        raise OSError("no space")

    before = path.read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(RunError, match="no space"):
        grid.write(table, path)
    assert path.read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"table.csv", "table.parquet"}


FEW = """
attacks: [conf, mentr]
dataset: digits
model: columnfc
epochs: 1
finetune_epochs: 1
shadows: 1
draws: 1
grids: [{samples: 300}, {samples: 1798}]
"""


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
    assert code == 0
    assert said.splitlines() == [
        "2 experiments, 4 rows; the results of 0 are in the store.",
        "Networks: 4 to train, 4 to prune and fine-tune; 0 are in the store.",
    ]
    assert list(store.iterdir()) == []

    code, said, error = swept(capsys, file, "--store", store)
    assert code == 1
    assert said.endswith("2 rows written: grid.csv\n")
    assert "prunemia: 1 experiments failed, the others are in the table:\n  dataset" in error
    assert len(pd.read_csv("grid.csv")) == 2


@pytest.mark.parametrize("options", [[], ["--plan"]])
def test_a_scheduler_that_is_none_is_refused_before_anything_is_planned(
    written, tmp_path, capsys, monkeypatch, options
):
    monkeypatch.setattr(sweep, "plan", lambda *_: pytest.fail("planned"))
    output = tmp_path / "table.csv"
    arguments = [written(FEW), "--store", tmp_path, "--output", output, "--scheduler", "gibberish"]
    code, said, error = swept(capsys, *arguments, *options)

    assert (code, said) == (2, "")
    assert error.startswith("prunemia: --scheduler gibberish: is no address of a Dask scheduler")
    assert error.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize(("address", "warned"), [("10.0.0.5:8786", 1), ("127.0.0.1:8786", 0)])
def test_a_sweep_says_once_that_its_scheduler_is_open(tmp_path, monkeypatch, address, warned):
    # Warnings are errors here, so connect's own would end the test.
    def compute(planned, scheduler):
        if risk := sweep.risk(scheduler):  # as connecting does
            warnings.warn(risk, sweep.OpenSchedulerWarning, stacklevel=1)
        return dict.fromkeys(planned.todo, "not computed")

    monkeypatch.setattr(sweep, "compute", compute)
    said = []
    few = grid.Grid((pm.Experiment(dataset="digits", model="columnfc"),), ("conf",), ("pruned",))
    with pytest.raises(sweep.SweepError, match="not computed"):
        grid.run(few, pm.Lab(tmp_path, address), tmp_path / "table.csv", None, said.append)

    assert sum("can run code" in line for line in said) == warned
