"""Pages found, their parameters checked, and what they call."""

import numpy as np
import pytest
from minibook import write_page, write_profile, write_repository, write_toc

import prunemia as pm
from prunemia import results
from prunemia.book import pages
from prunemia.book.calls import DIFFERS, LONG, described, known
from prunemia.book.pages import Page, discover, find_page, in_order, profile
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
    assert list(page.defaults.values()) == ["mnist1d", "cnn1d", "l1unstructured", 0.7, 0, None]
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
    ("name", "text", "value"),
    [
        ("lr", "1e-2", 0.01),  # a text to YAML 1.1, a number to the page
        ("lr", "1", 1.0),
        ("when", "2024-05-01", "2024-05-01"),  # a date to YAML
        ("when", "'a=b'", "a=b"),
        ("title", "yes", "yes"),  # a truth to YAML
        ("title", "null", None),
        ("when", "null", "null"),
        ("flag", "yes", True),
        ("names", "[a, b]", ["a", "b"]),
    ],
)
def test_a_value_is_read_as_the_type_of_the_default(root, name, text, value):
    read = one(root, COMPUTED).check({}, {name: text})[name]
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flag": "many"}, "flag: 'many' is not allowed: should be a valid boolean"),
        ({"lr": "true"}, "lr: True is a truth value, and this field takes none$"),  # not 1.0
        ({"name": "x"}, "name: the page computes it; allowed: lr, tag, when, flag, title, names$"),
        ({"second": "3"}, "second: the page computes it"),
        ({"tag": "x"}, "tag: cannot be given, as the parameters cell has computed name from it by"),
        ({"nam": "x"}, r"nam: no such parameter \(did you mean 'name'\?\)$"),
    ],
)
def test_what_cannot_be_given_says_so_in_one_sentence(root, given, message):
    with pytest.raises(UsageError, match=message) as caught:
        one(root, COMPUTED).check({}, given)
    assert "\n" not in str(caught.value)


def test_a_damaged_notebook_is_refused_in_one_sentence(tmp_path):
    for text in ("{}", '{"cells": 3}', "{"):
        (tmp_path / "odd.ipynb").write_text(text)
        with pytest.raises(UsageError, match=r"odd\.ipynb: cannot be read as a notebook"):
            _ = Page("odd", tmp_path / "odd.ipynb").defaults


def test_a_wrong_parameter_ends_in_one_sentence_and_in_a_notebook_too(page):
    for values, message in (
        ({"sparcity": 0.9}, r"sparcity: no such parameter \(did you mean 'sparsity'\?\)$"),
        ({"q" * 5000: 0.9}, r"q{200}…: no such parameter; allowed: dataset, "),
        ({"sparsity": 1.5}, "^sparsity: 1.5 is not allowed: should be less than 1$"),
    ):
        with pytest.raises(UsageError, match=message):
            page.check(values, {})
        with pytest.raises(UsageError, match=message) as shown:
            pm.experiment({**values})
        assert shown.value._render_traceback_() == [f"UsageError: {shown.value}"]


def test_a_page_gets_values_of_the_right_type_and_only_those_given(page, root):
    typed = page.check({"sparsity": "1e-2", "seed": 3.0}, {"note": "null"})
    assert typed == {"sparsity": 0.01, "seed": 3, "note": None}
    assert page.check({"seed": 1}, {"seed": "2"}) == {"seed": 2}
    tables = one(root, 'dataset: str = "location"\n')  # without a network any data set is allowed
    assert tables.check({"dataset": "digits"}, {}) == {"dataset": "digits"}
    levels = one(root, "sparsities: list = [0.5, 0.7]\npruners: list = ['slim']\n")
    with pytest.raises(UsageError, match=r"sparsities\.1: 1\.5 is not allowed"):
        levels.check({}, {"sparsities": "[0.5, 1.5]"})


def test_a_page_gets_what_it_knows_and_its_own_values_from_a_profile_or_it_is_refused(root):
    write_profile(root, "mine", {"sparsity": 0.5, "seed": 1, "pages": {"deep/second": {"seed": 2}}})
    values = profile(root, "mine", discover(root))
    assert values == {"first": {"sparsity": 0.5, "seed": 1}, "deep/second": {"seed": 2}}
    for content, message in (
        ({"sparcity": 0.5}, r"sparcity: no such parameter \(did you mean 'sparsity'\?"),
        ({"pages": {"thrid": {"seed": 2}}}, "a profile maps parameters to values"),
        (["a", "b"], "a profile maps parameters to values"),
    ):
        write_profile(root, "mine", content)
        with pytest.raises(UsageError, match=rf"mine\.yml: {message}"):
            profile(root, "mine", discover(root))


def test_pages_come_in_the_order_of_the_table_of_contents(root):
    write_page(root, "apart", "1")
    write_toc(root, "deep/second", "apart", "first")
    assert list(discover(root)) == ["deep/second", "apart", "first"]
    assert in_order(root)[::2] == ["book/intro", "book/more", "notebooks/first"]
    (root / "book" / "_toc.yml").write_text("format: jb-book\nchapters: []\n")
    with pytest.raises(UsageError, match=r"book/_toc\.yml: 'root' key not found"):
        in_order(root)


def test_the_root_and_a_page_are_found_from_anywhere_inside(root, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(root / "notebooks" / "deep")
    assert find_page("deep/second").path == root / "notebooks" / "deep" / "second.ipynb"
    assert find_page("second.ipynb").name == "second"
    monkeypatch.chdir(tmp_path_factory.mktemp("outside"))
    with pytest.raises(UsageError, match="is not inside the book's repository"):
        pages.find_root()


CELL = 'dataset: str = "mnist1d"  # a data set\nseed: int = 3\nseeds: int = 5\n'


@pytest.fixture
def shown(monkeypatch):
    """Collect what is displayed, as Markdown."""
    texts = []
    monkeypatch.setattr("prunemia.book.calls.display_markdown", lambda t, **_: texts.append(t))
    return texts


def test_an_experiment_takes_its_fields_from_a_pages_names_and_leaves_the_others(shown):
    names = {"dataset": "digits", "model": "cnn2d", "seeds": 3, "plots": object(), "seed": 7}

    exp = pm.experiment({**names, "_private": 1, "exit": print}, own="my rows · my network")

    assert exp == pm.Experiment(dataset="digits", model="cnn2d", seed=7)
    assert shown == ["*This run: my rows · my network, computed here.*"]


def cells(*sources, **names):
    """What a notebook's ``globals()`` hold: the sources that were executed, and names."""
    return {"In": ["", *sources], **names}


# Run All, then the cell again: the names that later cells assigned are none of its parameters
LATER = [CELL, "import prunemia as pm\nexp = pm.experiment(globals())", "limit = 0.05",
         "accuracies = [lab.original(exp).accuracy for _ in seeds]", "path, width = 1, 3",
         "%matplotlib inline", "exp = pm.experiment(globals())"]  # fmt: skip


@pytest.mark.parametrize(
    ("sources", "seed"),
    [
        (LATER, 3),
        ([CELL, CELL.replace("= 3", "= 4")], 4),  # edited, and executed again
        ([CELL + 'path = f"{seed}.csv"\n'], 3),
        ([CELL.replace("= 3", "= 2 + 1")], 3),  # computed, and a parameter all the same
    ],
)
def test_in_a_notebook_parameters_cells_alone_are_read_as_executed_last(shown, sources, seed):
    names = {"dataset": "mnist1d", "seed": seed, "seeds": 5, "path": "3.csv", "limit": 0.05}
    assert pm.experiment(cells(*sources, **names, accuracies=[0.1])).seed == seed
    assert shown[0].endswith(f"cnn1d · l1unstructured 0.7 · seed {seed}, computed here.*")


def test_in_a_notebook_what_papermill_wrote_is_read(shown):
    names = {"dataset": "mnist1d", "seed": 3, "seeds": 5, "sparsty": 0.9}

    for sources in ([CELL, "# Parameters\nsparsty = 0.9\n"], [CELL + "sparsty: float = 0.9"]):
        with pytest.raises(UsageError, match="sparsty: no such parameter"):
            pm.experiment(cells(*sources, **names))
    assert shown == []
    assert known(cells("sparsity: float = 0.7", sparsity=0.5)) == {"sparsity": 0.5}


def test_a_run_is_described_in_one_line():
    for fields, line in (
        ({"pruner": "dense", "seed": 2}, "mnist1d · cnn1d · dense · seed 2"),
        ({"defense": "ppb"}, "mnist1d · cnn1d · l1unstructured 0.7 · ppb 4"),
        ({"finetune_epochs": 3, "width": 8}, "width 8 · finetune epochs 3"),
    ):
        assert line in described(pm.Experiment(**fields))


def test_a_run_names_the_table_that_has_more_of_it(shown, monkeypatch):
    holding = {"control": "control_mnist1d", "paper": ""}
    monkeypatch.setattr(results, "holding", lambda kind, _: holding[kind])
    pm.experiment({"seed": 0}, "control", "paper")
    said = "here; more runs, all of the same samples, from results/control_mnist1d.csv.*"
    assert said in shown[-1]
    pm.experiment({"seed": 0, "rows": "fresh"}, "control")
    assert "; more runs, each with samples of its own, from" in shown[-1]
    pm.experiment({"seed": 0}, "paper")
    assert "computed here; so are its other runs, which no table in results/ has" in shown[-1]


def test_an_answer_has_at_most_sixty_words_and_two_intervals(shown):
    longest = " ".join(["word"] * 58) + " +0.02 [0.01, 0.03] +0.05 [−0.02, 0.12] – ."
    pm.answer(longest)

    assert shown == [f"> **Answer.** {longest}"]
    for told in (f"{longest} more", "[1, 2] [0.1, 0.2], [−3 %, 4 %] three"):
        pm.answer(told)  # said, so that a page with a reader's parameters goes on
        assert shown[-2:] == [f"> **Answer.** {told}", LONG]
    pm.answer("A link [to a page](page.md), a list [a, b] and [0.1, 0.2].")
    assert shown[-1] != LONG


def test_a_check_that_fails_is_said_and_the_page_goes_on(shown):
    pm.check(True)
    pm.check(np.isclose(0.1, 0.2))
    assert shown == ["✓ The package gives the same.", DIFFERS]
