"""The book: what is executed again, refused and built. Another stands in for papermill."""

import json
from pathlib import Path

import filelock
import pytest
from minibook import write_page, write_profile, write_repository

from prunemia.book import build
from prunemia.book.build import Book
from prunemia.book.pages import discover
from prunemia.errors import RunError, UsageError
from prunemia.files import write_text


class Said(list):
    """Lines that a book says; ``take`` returns those since the last time."""

    def take(self):
        lines = list(self)
        self.clear()
        return lines


@pytest.fixture
def root(tmp_path):
    root = write_repository(tmp_path / "repository")
    (root / "results").mkdir()
    (root / "results" / "table.csv").write_text("a\n1\n")
    (root / "requirements.txt").write_text("# computing\nnumpy>=2\nno-such-library\n")
    return root


@pytest.fixture
def said():
    return Said()


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """Let the book believe that the package is this small one."""
    folder = tmp_path / "package"
    for name in ("lab.py", "cli/pages.py", "book/run.py", "book/page.py", "plots/pages.py"):
        write_text(folder / name, f"# {name}")
    monkeypatch.setattr(build, "PACKAGE", folder)
    return folder


@pytest.fixture(autouse=True)
def executed(monkeypatch):
    """Stand in for papermill: write what a page was given; return the names of pages executed.

    A page whose source has the word "fails" does.
    """
    names = []

    def execute_all(tasks, jobs, say):
        del jobs
        failed = {}
        for task in tasks:
            names.append(task.name)
            notebook = json.loads(task.notebook.read_text())
            if "fails" in json.dumps(notebook):
                failed[task.name] = "as planned"
                say(f"  {task.name} failed: as planned")
                continue
            outputs = {"name": "stdout", "output_type": "stream", "text": f"{task.parameters}"}
            notebook["cells"][-1] |= {"outputs": [outputs], "execution_count": 1}
            write_text(task.output, json.dumps(notebook))
        return failed

    monkeypatch.setattr(build, "execute_all", execute_all)
    return names


@pytest.fixture
def mini(root, said):
    return Book(root, root / "build", "default", said.append)


def again(executed, mini, **options):
    """Make the pages once more and return which were executed."""
    executed.clear()
    mini.make(html=False, **options)
    return list(executed)


def test_a_page_is_executed_again_only_where_something_changed(mini, root, said, executed, package):
    both = ["first", "deep/second"]
    assert again(executed, mini, jobs=2) == both
    assert said.take() == ["Profile default: 2 pages, 2 to execute"]
    assert again(executed, mini) == []
    assert said.take() == ["Profile default: 2 pages, 0 to execute"]

    write_page(root, "first", "print('now', sparsity)")
    assert again(executed, mini) == ["first"]
    (root / "results" / "table.csv").write_text("a\n2\n")
    assert again(executed, mini) == both
    (package / "lab.py").write_text("# changed")
    assert again(executed, mini) == both
    (package / "plots" / "pages.py").write_text("# the name, not the place, of what runs the book")
    assert again(executed, mini) == both
    (package / "book" / "page.py").write_text("# pages call it")
    assert again(executed, mini) == both
    for name in ("cli/pages.py", "book/run.py"):
        (package / name).write_text("# no page sees this")
        assert again(executed, mini) == []
    (package / "notes.txt").write_text("no source")
    assert again(executed, mini) == []
    (root / "requirements.txt").write_text("numpy>=2\npandas\n")
    assert again(executed, mini) == both
    assert again(executed, mini, force=True) == both


def test_a_page_whose_output_or_record_is_gone_is_executed_again(mini, root, executed):
    again(executed, mini)
    record = root / "build" / "pages" / "default" / "first.json"
    record.write_text("{")
    assert again(executed, mini) == ["first"]
    record.unlink()
    assert again(executed, mini) == ["first"]


def test_given_parameters_win_over_the_profile_and_execute_a_page_again(root, said, executed):
    write_profile(root, "mine", {"sparsity": 0.5, "seed": 1})
    mine = Book(root, root / "build", "mine", said.append)
    tasks = mine._tasks(discover(root), [], {"seed": 2})

    assert {task.name: dict(task.parameters) for task in tasks} == {
        "first": {"sparsity": 0.5, "seed": 2},
        "deep/second": {"seed": 2},
    }
    assert len(again(executed, mine)) == 2
    assert again(executed, mine, given={"seed": 3}, only=["deep/second"]) == ["deep/second"]
    output = root / "build" / "pages" / "mine" / "deep" / "second.ipynb"
    assert "{'seed': 3}" in output.read_text()
    assert again(executed, mine) == ["deep/second"]


def test_arrays_that_a_page_reads_count(mini, tmp_path, executed, monkeypatch):
    monkeypatch.setattr(build.Page, "check", lambda _, values: dict(values))
    (tmp_path / "rows.npz").write_bytes(b"one")
    given = {"dataset": str(tmp_path / "rows.npz")}
    assert again(executed, mini, given=given, only=["first"]) == ["first"]
    assert again(executed, mini, given=given, only=["first"]) == []
    (tmp_path / "rows.npz").write_bytes(b"two")
    assert again(executed, mini, given=given, only=["first"]) == ["first"]


def test_a_failing_page_fails_the_book_and_the_others_are_kept(mini, root, said, executed):
    write_page(root, "deep/second", "print('fails')", parameters="seed: int = 0\n")

    with pytest.raises(RunError, match="1 of 2 pages failed: deep/second; the book was not built"):
        mini.make(jobs=2)

    assert "  deep/second failed: as planned" in said.take()
    assert [path.stem for path in (root / "build" / "pages").rglob("*.ipynb")] == ["first"]
    executed.clear()
    with pytest.raises(RunError):
        mini.make()
    assert executed == ["deep/second"]


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


def test_two_books_at_once_in_one_folder_are_refused(mini, root, executed):
    (root / "build").mkdir()
    with (
        filelock.FileLock(root / "build" / ".lock"),
        pytest.raises(UsageError, match="another `prunemia book` is at work"),
    ):
        mini.make()
    assert executed == []


def test_an_unusable_store_is_refused_once_and_before_anything_runs(mini, root, monkeypatch):
    monkeypatch.setenv("PRUNEMIA_STORE", str(root / "book" / "intro.md" / "store"))

    with pytest.raises(UsageError, match=r"the store .*intro\.md/store: cannot be written"):
        mini.make()
    assert not (root / "build" / "pages").exists()


def test_a_book_on_a_full_disk_names_a_file_there(small_disk, root):
    (small_disk / "filler").write_bytes(b"x" * 40_000)
    write_page(root, "first", f"text = '{'x' * 60_000}'")
    book = Book(root, small_disk / "build")

    with pytest.raises(RunError, match=r"disk/build/pages/default/first\.ipynb: cannot be written"):
        book.make(only=["first"], html=False)


def test_pages_that_were_never_executed_say_so_in_the_book(mini, root):
    (root / "build").mkdir()
    missing = mini._fill_stage(discover(root))

    assert missing == ["first", "deep/second"]
    stage = root / "build" / "stage"
    title, note, *_ = json.loads((stage / "notebooks" / "first.ipynb").read_text())["cells"]
    assert title["source"] == ["# First\n", "\n", "Text."]
    assert note["source"] == build.NOT_EXECUTED
    assert (stage / "book" / "_toc.yml").is_file()
    assert (stage / "book" / "experiment.fragment.md").is_file()


def test_no_page_imports_a_file_that_does_not_count(request):
    package = Path(request.config.rootpath) / "src" / "prunemia"
    unseen = {
        file.relative_to(package).with_suffix("").as_posix().replace("/", ".")
        for file in package.rglob("*.py")
        if build.NOT_SEEN_BY_PAGES.fullmatch(file.relative_to(package).as_posix())
    }
    assert {"book.build", "cli.pages"} < unseen
    assert not unseen & {"book.page", "book.explorer", "plots.pages"}
    # what a page uses of the book's room: `pm.experiment`, `pm.answer` and the explorer
    for name in ("page", "explorer"):
        source = (package / "book" / f"{name}.py").read_text()
        assert not [module for module in unseen if f"prunemia.{module} " in source]


@pytest.mark.book
def test_the_book_is_built_and_a_warning_keeps_the_last_good_one(mini, root, said):
    mini.make(only=["deep/second"])
    html = root / "build" / "_build" / "html"
    assert "has not been executed" not in (html / "notebooks/deep/second.html").read_text()
    assert "has not been executed" in (html / "notebooks" / "first.html").read_text()
    lines = said.take()
    assert "Never executed on this profile, so without results: first" in lines
    assert lines[-1] == f"The book: {(html / 'index.html').as_uri()}"

    mini.make(only=["deep/second"])
    assert "Building the book …" not in said.take()

    (root / "book" / "intro.md").write_text("# Intro\n\n[nowhere](nowhere.md)\n")
    with pytest.raises(
        RunError, match=r"intro\.md:3: WARNING(.|\n)*nowhere(.|\n)*log: .*sphinx\.log"
    ):
        mini.make(only=["deep/second"])
    assert (html / "index.html").is_file()
