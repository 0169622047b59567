import json
from pathlib import Path

import filelock
import pytest
from minibook import write_page, write_profile, write_repository, write_toc

from prunemia.book import stamp
from prunemia.book.build import Book, by_length
from prunemia.book.pages import discover
from prunemia.errors import RunError, UsageError


class Said(list):
    """Lines that a book says; ``take`` returns those since the last time."""

    def take(self):
        lines = list(self)
        self.clear()
        return lines


@pytest.fixture
def root(tmp_path):
    return write_repository(tmp_path / "repository")


@pytest.fixture
def said():
    return Said()


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """Let the book believe that the package is this small one."""
    folder = tmp_path / "package"
    (folder / "attacks").mkdir(parents=True)
    for name in ("lab.py", "cli.py", "attacks/conf.py"):
        (folder / name).write_text(f"# {name}")
    monkeypatch.setattr(stamp, "PACKAGE", folder)
    monkeypatch.setattr("prunemia.book.build.PACKAGE", folder)
    return folder


@pytest.fixture
def mini(root, said):
    return Book(root, root / "build", "default", said.append)


def executed(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.ipynb"))
    }


def test_a_page_is_executed_again_only_where_something_changed(mini, root, said):
    mini.make(html=False, jobs=2)
    first = executed(root / "build" / "pages")
    assert said.take() == [
        "Profile default: 2 pages, 2 to execute, 2 at a time",
        "  not executed yet: first, deep/second",
    ]

    mini.make(html=False)
    assert said.take() == ["Profile default: 2 pages, 0 to execute, 2 unchanged"]

    write_page(root, "first", "print('now', sparsity)")
    mini.make(html=False)
    assert said.take()[:2] == [
        "Profile default: 2 pages, 1 to execute, 1 unchanged",
        "  changed: notebook: first",
    ]

    mini.make(given={"seed": 3}, only=["deep/second"], html=False)
    assert said.take()[1] == "  changed: parameters: deep/second"
    assert b"seed 3" in executed(root / "build" / "pages")["default/deep/second.ipynb"]

    # Back to the first sources and parameters: the same bytes again.
    write_repository(root)
    mini.make(html=False, jobs=1)
    assert executed(root / "build" / "pages") == first


def test_pages_of_many_experiments_come_first_and_of_equals_the_last(mini, root):
    write_page(root, "long", parameters="sparsities: list = [0.5, 0.7]\nseeds: int = 3\n")
    write_toc(root, "first", "long", "deep/second")
    tasks = mini._plan(discover(root), [], {}).values()

    ordered = by_length(tasks, {"first": 1, "long": 6, "deep/second": 1})

    assert [task.name for task in ordered] == ["long", "deep/second", "first"]


def test_a_failing_page_fails_the_book_and_the_others_are_kept(mini, root, said):
    write_page(root, "deep/second", "assert False, 'as planned'", parameters="seed: int = 0\n")

    with pytest.raises(RunError, match="1 of 2 pages failed: deep/second; the book was not built"):
        mini.make(jobs=2)

    assert list(executed(root / "build" / "pages")) == ["default/first.ipynb"]
    assert "AssertionError: as planned" in "\n".join(said.take())
    with pytest.raises(RunError):
        mini.make()
    assert "Profile default: 2 pages, 1 to execute, 1 unchanged" in said.take()


def test_nothing_runs_where_a_parameter_of_any_page_is_refused(mini, root):
    write_page(root, "deep/second", "1", parameters='model: str = "cnn1d"\nwidth: int = 8\n')

    with pytest.raises(
        UsageError, match="deep/second: width: 8 cannot be set for model 'columnfc'"
    ):
        mini.make(given={"model": "columnfc"})
    assert not (root / "build").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["frist"]}, "--only frist: there is no such page; allowed: first, deep/second"),
        ({"given": {"sparcity": 1}}, r"sparcity: no such parameter \(did you mean 'sparsity'\?\)"),
        (
            {"given": {"sparsity": 0.5}, "only": ["deep/second"]},
            "sparsity: no such parameter; allowed: seed",
        ),
    ],
)
def test_wrong_names_are_refused(mini, options, message):
    with pytest.raises(UsageError, match=message):
        mini.make(**options)


def test_given_parameters_win_over_the_profile(root, said):
    write_profile(root, "mine", {"sparsity": 0.5, "seed": 1})
    mine = Book(root, root / "build", "mine", said.append)

    tasks = mine._plan(discover(root), [], {"seed": 2})

    assert {name: dict(task.parameters) for name, task in tasks.items()} == {
        "first": {"sparsity": 0.5, "seed": 2},
        "deep/second": {"seed": 2},
    }


def test_two_books_at_once_in_one_folder_are_refused(mini, root):
    (root / "build").mkdir()
    with (
        filelock.FileLock(root / "build" / ".lock"),
        pytest.raises(UsageError, match="another `prunemia book` is at work"),
    ):
        mini.make()


def test_an_unusable_store_is_refused_once_and_before_anything_runs(mini, root, monkeypatch):
    monkeypatch.setenv("PRUNEMIA_STORE", str(root / "book" / "intro.md" / "store"))

    with pytest.raises(UsageError, match=r"the store .*intro\.md/store: cannot be written"):
        mini.make()
    assert not (root / "build" / "pages").exists()


def test_a_book_on_a_full_disk_names_a_file_there(small_disk, root):
    (small_disk / "filler").write_bytes(b"x" * 40_000)
    write_page(root, "first", "print('x' * 60_000)")

    said = Said()
    book = Book(root, small_disk / "build", say=said.append)

    with pytest.raises(RunError, match="1 of 1 pages failed"):
        book.make(only=["first"], html=False)
    assert f"{small_disk}/build/pages/default/first.ipynb: cannot be written: No space" in said[-1]


def test_pages_that_were_never_executed_say_so_in_the_book(mini, root):
    missing = mini._fill_stage(discover(root))

    assert missing == ["first", "deep/second"]
    [title, note, *_] = json.loads((root / "build/stage/notebooks/first.ipynb").read_text())[
        "cells"
    ]
    assert title["source"] == ["# First\n", "\n", "Text."]
    assert "prunemia book --only first" in note["source"]
    assert (root / "build/stage/book/_toc.yml").is_file()


@pytest.mark.book
def test_the_book_is_built_and_a_warning_keeps_the_last_good_one(mini, root, said):
    mini.make(jobs=2)
    page = root / "build/_build/html/notebooks/deep/second.html"
    assert "seed 0" in page.read_text()
    assert said.take()[-1] == f"The book: {(root / 'build/_build/html/index.html').as_uri()}"

    mini.make()
    assert "Building the book …" not in said.take()

    (root / "book" / "intro.md").write_text("# Intro\n\n[nowhere](nowhere.md)\n")
    with pytest.raises(
        RunError, match=r"intro\.md:3: WARNING(.|\n)*nowhere(.|\n)*log: .*sphinx\.log"
    ):
        mini.make()
    assert page.is_file()


@pytest.mark.book
def test_a_book_of_one_page_shows_the_others_without_results(mini, root, said):
    mini.make(only=["first"])

    assert "Never executed on this profile, so without results: deep/second" in said.take()
    assert (
        "has not been executed"
        in (root / "build/_build/html/notebooks/deep/second.html").read_text()
    )
