"""Pages found, their parameters checked, and what they call."""

import pytest
from minibook import write_page, write_profile, write_repository, write_toc

import prunemia as pm
from prunemia import results
from prunemia.book.pages import (
    Page,
    described,
    discover,
    find_page,
    find_root,
    in_order,
    known,
    profile,
)  # fmt: skip
from prunemia.errors import UsageError


@pytest.fixture
def root(tmp_path):
    return write_repository(tmp_path)


@pytest.fixture
def page(root):
    return discover(root)["first"]


def one(root, parameters):
    return Page("odd", write_page(root, "odd", parameters=parameters))


def test_defaults_are_those_of_the_parameters_cell(page, root):
    assert page.defaults == {
        "dataset": "mnist1d", "model": "cnn1d", "pruner": "l1unstructured", "sparsity": 0.7,
        "seed": 0, "note": None,
    }  # fmt: skip
    spread = "levels: list = [  # not this\n    0.5,\n    -0.7,\n]  # of sparsity\n%magic\nb = 2\n"
    assert one(root, spread).defaults == {"levels": [0.5, -0.7], "b": 2}


COMPUTED = """\
lr: float = 0.1
tag: str = "lr=0.1, # not a comment"
when = "2024"
flag: bool = False
title: str | None = None
names: list[str] | None = None
name = f"{tag} today"
first, second = 1, 2
day = date.today()
"""


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"lr": "1e-2"}, 0.01),  # a text to YAML 1.1, a number to the page
        ({"lr": "1"}, 1.0),
        ({"when": "2024-05-01"}, "2024-05-01"),  # a date to YAML
        ({"when": "'a=b'"}, "a=b"),
        ({"title": "yes"}, "yes"),  # a truth to YAML
        ({"title": "null"}, None),
        ({"when": "null"}, "null"),
        ({"flag": "yes"}, True),
        ({"names": "[a, b]"}, ["a", "b"]),
    ],
)
def test_a_value_is_read_as_the_type_of_the_default(root, given, value):
    page = one(root, COMPUTED)
    (read,) = page.check({}, given).values()
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flag": "many"}, "flag: 'many' is not allowed: should be a valid boolean"),
        ({"lr": "true"}, "lr: True is a truth value, and this field takes none$"),  # not 1.0
        ({"name": "x"}, "name: the page computes it; allowed: lr, tag, when, flag, title, names$"),
        ({"day": "x"}, "day: the page computes it"),
        ({"second": "3"}, "second: the page computes it"),
        ({"tag": "x"}, "tag: cannot be given, as the parameters cell has computed name from it by"),
        ({"nam": "x"}, r"nam: no such parameter \(did you mean 'name'\?\)$"),
        ({"title": "[1"}, "title: is not YAML"),
    ],
)
def test_what_cannot_be_given_says_so_in_one_sentence(root, given, message):
    with pytest.raises(UsageError, match=message) as caught:
        one(root, COMPUTED).check({}, given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{}", '{"cells": 3}', "{"])
def test_a_damaged_notebook_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "odd.ipynb"
    path.write_text(text)

    with pytest.raises(UsageError, match=r"odd\.ipynb: cannot be read as a notebook"):
        _ = Page("odd", path).defaults


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sparcity": 0.9}, r"sparcity: no such parameter \(did you mean 'sparsity'\?\)$"),
        ({"q" * 5000: 0.9}, r"q{200}…: no such parameter; allowed: dataset, "),
        ({"sparsity": 1.5}, "sparsity: 1.5 is not allowed: should be less than 1"),
        ({"dataset": "nosuch"}, "dataset: 'nosuch' must be one of mnist1d, digits, location"),
        ({"model": "columnfc", "pruner": "slim"}, "pruner: 'slim' ranks BatchNorm scales, of"),
        ({"dataset": "gone.npz"}, "dataset: 'gone.npz' is a path, but there is no such file"),
    ],
)
def test_a_wrong_parameter_ends_in_one_sentence_and_in_a_notebook_too(page, values, message):
    with pytest.raises(UsageError, match=message) as caught:
        page.check(values, {})
    with pytest.raises(UsageError, match=message) as shown:
        pm.experiment({**values})
    assert "\n" not in str(caught.value)
    assert shown.value._render_traceback_() == [f"UsageError: {shown.value}"]


def test_a_page_gets_values_of_the_right_type_and_only_those_given(page, root):
    assert page.check({"sparsity": "1e-2", "seed": 3.0}, {"note": "null"}) == {
        "sparsity": 0.01, "seed": 3, "note": None
    }  # fmt: skip
    assert page.check({"seed": 1}, {"seed": "2"}) == {"seed": 2}
    with pytest.raises(UsageError, match="'slim' ranks BatchNorm scales"):
        one(root, 'pruner: str = "slim"\nmodel: str = "cnn1d"').check({"model": "columnfc"}, {})
    tables = one(root, 'dataset: str = "location"\n')  # without a network any data set is allowed
    assert tables.check({"dataset": "digits"}, {}) == {"dataset": "digits"}
    levels = one(root, "sparsities: list = [0.5, 0.7]\npruners: list = ['slim']\n")
    assert levels.check({"sparsities": [0.5, 0.9]}, {}) == {"sparsities": [0.5, 0.9]}
    with pytest.raises(UsageError, match=r"sparsities\.1: 1\.5 is not allowed"):
        levels.check({}, {"sparsities": "[0.5, 1.5]"})


def test_a_page_gets_from_a_profile_what_it_knows_and_its_own_values_win(root):
    write_profile(root, "mine", {"sparsity": 0.5, "seed": 1, "pages": {"deep/second": {"seed": 2}}})

    assert profile(root, "mine", discover(root)) == {
        "first": {"sparsity": 0.5, "seed": 1},
        "deep/second": {"seed": 2},
    }
    assert profile(root, "default", discover(root)) == {"first": {}, "deep/second": {}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"sparcity": 0.5}, r"mine\.yml: sparcity: no such parameter \(did you mean 'sparsity'\?"),
        ({"pages": {"thrid": {"seed": 2}}}, r"mine\.yml: a profile maps parameters to values"),
        ("- a\n- b\n", r"mine\.yml: a profile maps parameters to values"),
        ("a: [", r"mine\.yml: is not YAML"),
    ],
)
def test_a_wrong_profile_is_refused(root, content, message):
    write_profile(root, "mine", content)

    with pytest.raises(UsageError, match=message):
        profile(root, "mine", discover(root))


def test_pages_come_in_the_order_of_the_table_of_contents(root, request):
    write_page(root, "apart", "1")
    write_toc(root, "deep/second", "apart", "first")

    assert list(discover(root)) == ["deep/second", "apart", "first"]
    assert in_order(root) == [
        "book/intro", "notebooks/deep/second", "book/more", "notebooks/apart", "notebooks/first",
    ]  # fmt: skip
    whole = in_order(request.config.rootpath)
    assert whole[0] == "notebooks/start"
    assert len(whole) == len(set(whole)) > 20
    (root / "book" / "_toc.yml").write_text("format: jb-book\nchapters: []\n")
    with pytest.raises(UsageError, match=r"book/_toc\.yml: 'root' key not found"):
        in_order(root)


def test_the_root_and_a_page_are_found_from_anywhere_inside(root, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(root / "notebooks" / "deep")
    assert find_root() == root.resolve()
    assert find_page("deep/second").path == root / "notebooks" / "deep" / "second.ipynb"
    assert find_page("second.ipynb").name == "second"
    for name in ("gone", "gone.ipynb", "x" * 200):
        with pytest.raises(UsageError, match="there is no such page or notebook"):
            find_page(name)

    monkeypatch.chdir(tmp_path_factory.mktemp("outside"))
    with pytest.raises(UsageError, match="is not inside the book's repository"):
        find_root()


CELL = 'dataset: str = "mnist1d"  # a data set\nseed: int = 3\nseeds: int = 5\n'


@pytest.fixture
def shown(monkeypatch):
    """Collect what is displayed, as Markdown."""
    texts = []
    monkeypatch.setattr("IPython.display.display_markdown", lambda text, **_: texts.append(text))
    return texts


def test_an_experiment_takes_its_fields_from_a_pages_names_and_leaves_the_others(shown):
    names = {"dataset": "digits", "model": "cnn2d", "seeds": 3, "plots": object(), "seed": 7}

    exp = pm.experiment({**names, "_private": 1, "exit": print}, own="my rows · my network")

    assert exp == pm.Experiment(dataset="digits", model="cnn2d", seed=7)
    assert shown == ["*This run: my rows · my network, computed here.*"]


def cells(*sources, **names):
    """What a notebook's ``globals()`` hold: the sources that were executed, and names."""
    return {"In": ["", *sources], **names}


def test_in_a_notebook_only_parameters_cells_are_read(shown):
    page_names = {"dataset": "mnist1d", "seed": 3, "seeds": 5}
    later = {"limit": 0.05, "accuracies": [0.1, 0.2], "width_of_a_bar": 3}
    call = "import prunemia as pm\nexp = pm.experiment(globals())"
    others = ["limit = 0.05", "accuracies = [lab.original(exp).accuracy for _ in seeds]"]
    sources = [CELL, call, *others, "seed_of_a_bar, width_of_a_bar = 1, 3", "%matplotlib inline"]

    exp = pm.experiment(cells(*sources, **page_names, **later))

    assert exp.seed == 3
    assert shown == ["*This run: mnist1d · cnn1d · l1unstructured 0.7 · seed 3, computed here.*"]
    # Run All, then the cell again: the names that later cells assigned are none of its parameters
    assert pm.experiment(cells(*sources, call, **page_names, **later)) == exp


@pytest.mark.parametrize(
    ("sources", "seed"),
    [
        ([CELL, CELL.replace("= 3", "= 4")], 4),  # edited, and executed again
        ([CELL + 'path = f"{seed}.csv"\n'], 3),
        ([CELL.replace("= 3", "= 2 + 1")], 3),  # computed, and a parameter all the same
    ],
)
def test_a_parameters_cell_counts_as_it_was_executed_last(shown, sources, seed):
    names = {"dataset": "mnist1d", "seed": seed, "seeds": 5, "path": "3.csv"}
    assert pm.experiment(cells(*sources, **names)).seed == seed
    assert f"seed {seed}" in shown[0]


def test_in_a_notebook_what_papermill_wrote_is_read(shown):
    names = {"dataset": "mnist1d", "seed": 3, "seeds": 5, "sparsty": 0.9}

    for sources in ([CELL, "# Parameters\nsparsty = 0.9\n"], [CELL + "sparsty: float = 0.9"]):
        with pytest.raises(UsageError, match="sparsty: no such parameter"):
            pm.experiment(cells(*sources, **names))
    assert shown == []
    assert known(cells("sparsity: float = 0.7", sparsity=0.5)) == {"sparsity": 0.5}


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "mnist1d · cnn1d · l1unstructured 0.7 · seed 0"),
        ({"pruner": "dense", "seed": 2}, "mnist1d · cnn1d · dense · seed 2"),
        ({"defense": "ppb"}, "mnist1d · cnn1d · l1unstructured 0.7 · ppb 4"),
        ({"finetune_epochs": 3, "width": 8}, "width 8 · finetune epochs 3"),
    ],
)
def test_a_run_is_described_in_one_line(fields, line):
    assert line in described(pm.Experiment(**fields))


def test_a_run_names_the_table_that_has_more_of_it(shown, monkeypatch):
    holding = {"control": "control_mnist1d", "paper": ""}
    monkeypatch.setattr(results, "holding", lambda kind, _: holding[kind])
    for count, so_far in ((0, ""), (1200, " (so far without 1,200 experiments of its grid)")):
        monkeypatch.setattr(results, "lacking", lambda _, count=count: [1] * count)
        pm.experiment({"seed": 0}, "control", "paper")
        more = f"results/control_mnist1d.csv{so_far}.*"
        assert shown[-1].endswith(f"here; more runs, all of the same samples, from {more}")
    pm.experiment({"seed": 0, "rows": "fresh"}, "control")
    assert "; more runs, each with samples of its own, from" in shown[-1]


def test_an_answer_has_at_most_sixty_words_and_two_intervals(shown):
    longest = " ".join(["word"] * 58) + " +0.02 [0.01, 0.03] +0.05 [−0.02, 0.12] – ."
    pm.answer(longest)

    assert shown == [f"> **Answer.** {longest}"]
    with pytest.raises(ValueError, match=r"at most 60 words and 2 intervals; this has 61 and 2"):
        pm.answer(longest + " more")
    with pytest.raises(ValueError, match=r"this has 1 and 3"):
        pm.answer("[1, 2] [0.1, 0.2], [−3 %, 4 %] three")
    pm.answer("A link [to a page](page.md), a list [a, b] and [0.1, 0.2].")
    assert len(shown) == 2
