import pytest
from minibook import PARAMETERS, write_page, write_repository, write_toc

from prunemia.book.pages import (
    Page,
    Parameter,
    discover,
    find_page,
    find_root,
    read_parameters,
)
from prunemia.errors import UsageError


@pytest.fixture
def root(tmp_path):
    return write_repository(tmp_path)


def test_a_parameter_has_a_type_a_default_and_a_help_text():
    found = {p.name: p for p in read_parameters(PARAMETERS)}

    assert found["sparsity"] == Parameter(
        "sparsity", "float", 0.7, "fraction that is removed, 0..1"
    )
    assert found["note"] == Parameter("note", "str | None", None, 'anything; "#" and "=" too')
    assert found["seed"].help == ""


def test_a_default_may_span_lines():
    [found] = read_parameters(
        "levels: list = [  # not this\n    0.5,\n    0.7,\n]  # of sparsity\n"
    )

    assert found == Parameter("levels", "list", [0.5, 0.7], "of sparsity")


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "x = y + 1",
        "a, b = 1, 2",
        "x: int",
        "print(1)",
        "x = ",
        "x = " + "9" * 5000,
        "x = " + "[" * 250 + "]" * 250,
        "x = " + "-" * 50_000 + "1",
    ],
)
def test_a_parameters_cell_holds_only_literals(tmp_path, source):
    page = Page("odd", write_page(tmp_path, "odd", parameters=source))

    with pytest.raises(UsageError, match=r"odd\.ipynb: cannot be read"):
        _ = page.parameters


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{}", "[]", '{"cells": 3}', "{", '{"a": ' * 99_999]
)
def test_a_damaged_notebook_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "odd.ipynb"
    path.write_text(text)

    with pytest.raises(UsageError, match=r"odd\.ipynb: cannot be read") as caught:
        _ = Page("odd", path).parameters
    assert len(str(caught.value)) < 500


def test_a_name_too_long_for_a_file_is_no_page(root, monkeypatch):
    monkeypatch.chdir(root)
    for name in ("x" * 5000, "x" * 5000 + ".ipynb"):
        with pytest.raises(UsageError, match="there is no such"):
            find_page(name)


def test_pages_come_in_the_order_of_the_table_of_contents(root):
    write_page(root, "apart", "1")
    write_toc(root, "deep/second", "apart", "first")

    assert list(discover(root)) == ["deep/second", "apart", "first"]


def test_a_page_that_the_table_of_contents_names_must_exist(root):
    write_toc(root, "first", "gone")

    with pytest.raises(UsageError, match=r"there is no notebooks/gone\.ipynb"):
        discover(root)


def test_the_root_is_found_from_anywhere_inside(root, monkeypatch):
    monkeypatch.chdir(root / "notebooks" / "deep")

    assert find_root() == root.resolve()
    assert find_page("deep/second").path == root / "notebooks" / "deep" / "second.ipynb"
    assert find_page("second.ipynb").name == "second"


def test_outside_there_is_no_root(tmp_path):
    with pytest.raises(UsageError, match="is not inside the book's repository"):
        find_root(tmp_path)
