"""Pages found, their parameters checked, before anything heavy is imported."""

import pytest
from minibook import write_page, write_profile, write_repository, write_toc

from prunemia.book.pages import (
    Page,
    discover,
    find_page,
    find_root,
    in_order,
    parse,
    profile,
    require_known,
)
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
    spread = "levels: list = [  # not this\n    0.5,\n    -0.7,\n]  # of sparsity\nb = 2\n"
    assert one(root, spread).defaults == {"levels": [0.5, -0.7], "b": 2}


@pytest.mark.parametrize("source", ["x = y + 1", "a, b = 1, 2", "x: int = f()", "x = ", "x = 1 +"])
def test_a_parameters_cell_holds_only_literals(root, source):
    with pytest.raises(UsageError, match=r"odd\.ipynb: cannot be read as a notebook with a param"):
        _ = one(root, source).defaults


@pytest.mark.parametrize("text", ["{}", "[]", '{"cells": 3}', "{", '{"cells": [1]}'])
def test_a_damaged_notebook_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "odd.ipynb"
    path.write_text(text)

    with pytest.raises(UsageError, match=r"odd\.ipynb: cannot be read") as caught:
        _ = Page("odd", path).defaults
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"sparcity": 0.9},
            r"sparcity: no such parameter \(did you mean 'sparsity'\?\); allowed: dataset, model",
        ),
        ({"qqq": 0.9}, r"qqq: no such parameter; allowed: dataset, model"),
        ({"sparsity": 1.5}, "sparsity: 1.5 is not allowed: should be less than 1"),
        ({"dataset": "nosuch"}, "dataset: 'nosuch' must be one of mnist1d, digits, location"),
        (
            {"model": "columnfc", "pruner": "slim"},
            "pruner: 'slim' ranks BatchNorm scales, of which model 'columnfc' has none",
        ),
        ({"seed": "many"}, "seed: 'many' is not allowed"),
        ({"dataset": "gone.npz"}, "dataset: 'gone.npz' is a path, but there is no such file"),
    ],
)
def test_a_wrong_parameter_ends_in_one_sentence(page, values, message):
    with pytest.raises(UsageError, match=message) as caught:
        page.check(values)
    assert "\n" not in str(caught.value)


def test_values_that_go_together_are_checked_with_the_pages_defaults(root):
    slim = one(root, 'model: str = "cnn1d"\npruner: str = "slim"\n')

    with pytest.raises(UsageError, match="'slim' ranks BatchNorm scales"):
        slim.check({"model": "columnfc"})


def test_a_page_gets_values_of_the_right_type_and_only_those_given(page):
    # YAML 1.1 reads 1e-2 as a string; the field is a float.
    checked = page.check({"sparsity": "1e-2", "seed": 3.0, "note": None})

    assert checked == {"sparsity": 0.01, "seed": 3, "note": None}
    assert isinstance(checked["seed"], int)
    assert page.check({}) == {}


def test_the_data_set_of_a_page_without_a_network_may_be_any(root):
    page = one(root, 'dataset: str = "location"\nsparsity: float = 0.7\n')

    assert page.check({}) == {}
    assert page.check({"dataset": "digits", "sparsity": "5e-1"}) == {
        "dataset": "digits", "sparsity": 0.5
    }  # fmt: skip


def test_each_element_of_a_list_is_checked(root):
    levels = one(root, "sparsities: list = [0.5, 0.7]\npruners: list = ['slim']\n")

    assert levels.check({"sparsities": [0.5, 0.9]}) == {"sparsities": [0.5, 0.9]}
    with pytest.raises(UsageError, match=r"sparsities\.1: 1\.5 is not allowed"):
        levels.check({"sparsities": [0.5, 1.5]})
    with pytest.raises(UsageError, match=r"pruners\.0: 'slam' must be one of"):
        levels.check({"pruners": ["slam"]})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.9", 0.9),
        ("null", None),
        ("slim", "slim"),
        ("[0.5, 0.7]", [0.5, 0.7]),
        ("3", 3),
        ("true", True),
        ("a=b", "a=b"),
    ],
)
def test_values_are_read_as_yaml(text, value):
    assert parse([f"x={text}"]) == {"x": value}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("sparsity", "-p sparsity: a parameter needs a name and a value"),
        ("=3", "-p =3: a parameter needs a name"),
        ("x=[1", "x: is not YAML"),
        ("x=2024-99-99", "x: is not YAML: month must be in"),
        ("y" * 5000 + "=[", "yyy.*…: is not YAML"),
    ],
)
def test_what_is_no_assignment_is_refused(assignment, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse([assignment])
    assert len(str(caught.value)) < 400


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
        (
            {"sparcity": 0.5},
            r"mine\.yml: sparcity: no such parameter \(did you mean 'sparsity'\?\)",
        ),
        ({"pages": {"thrid": {"seed": 2}}}, r"mine\.yml: a profile maps parameters to values"),
        ("- a\n- b\n", r"mine\.yml: a profile maps parameters to values"),
        ("a: [", r"mine\.yml: is not YAML"),
        ("pages: 3", r"mine\.yml: a profile maps parameters to values"),
    ],
)
def test_a_wrong_profile_is_refused(root, content, message):
    write_profile(root, "mine", content)

    with pytest.raises(UsageError, match=message):
        profile(root, "mine", discover(root))


def test_an_unknown_profile_is_refused(root):
    with pytest.raises(UsageError, match="--profile nosuch: no such profile; allowed: default"):
        profile(root, "nosuch", discover(root))


def test_a_name_is_known_where_one_of_the_pages_has_it(root):
    pages = discover(root)

    require_known({"sparsity": 1, "seed": 2}, pages.values())
    with pytest.raises(UsageError, match=r"here: sparsity: no such parameter; allowed: seed$"):
        require_known({"sparsity": 1}, [pages["deep/second"]], "here: ")


def test_pages_come_in_the_order_of_the_table_of_contents(root):
    write_page(root, "apart", "1")
    write_toc(root, "deep/second", "apart", "first")

    assert list(discover(root)) == ["deep/second", "apart", "first"]
    assert in_order(root) == [
        "book/intro", "notebooks/deep/second", "book/more", "notebooks/apart", "notebooks/first",
    ]  # fmt: skip


def test_the_root_is_found_from_anywhere_inside(root, monkeypatch):
    monkeypatch.chdir(root / "notebooks" / "deep")

    assert find_root() == root.resolve()
    assert find_page("deep/second").path == root / "notebooks" / "deep" / "second.ipynb"
    assert find_page("second.ipynb").name == "second"


def test_outside_there_is_no_root(tmp_path):
    with pytest.raises(UsageError, match="is not inside the book's repository"):
        find_root(tmp_path)


@pytest.mark.parametrize("name", ["gone", "gone.ipynb", "x" * 200])
def test_what_is_no_page_is_refused(root, monkeypatch, name):
    monkeypatch.chdir(root)

    with pytest.raises(UsageError, match="there is no such page or notebook") as caught:
        find_page(name)
    assert len(str(caught.value)) < 300
