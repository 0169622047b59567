import time
import tracemalloc

import pytest

import prunemia as pm
from prunemia import attacks
from prunemia.errors import UsageError
from prunemia.sweep import grid


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


HUNDRED = list(range(1, 101))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # 100⁴ experiments of one grid; 100³ adversaries; twice 60,000; 10⁴⁰⁰; 10¹² of an alias.
        (
            f"seed: {HUNDRED}\ndraws: {HUNDRED}\nepochs: {HUNDRED}\nshadows: {HUNDRED}",
            "100,000,000 experiments; allowed: at most 100,000",
        ),
        (
            f"adversary: {{pruner: {HUNDRED}, sparsity: {HUNDRED}, defense: {HUNDRED}}}",
            "1,000,000 experiments; allowed: at most 100,000",
        ),
        (
            f"seed: {HUNDRED}\ndraws: {HUNDRED}\n"
            "grids: [{epochs: [1, 2, 3, 4, 5, 6]}, {epochs: [1, 2, 3, 4, 5, 6]}]",
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
    path = written(text)
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(UsageError) as caught:
            grid.read(path)
        seconds, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert seconds < 5
    assert peak < 20e6


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
