"""The book: what is executed again, refused, built and printed. Another stands in for papermill."""

import dataclasses
import json
import shutil
import subprocess
from html import unescape

import filelock
import pytest
from minibook import write_page, write_profile, write_repository

from prunemia.book import build
from prunemia.book.build import Book
from prunemia.book.pages import discover
from prunemia.errors import RunError, UsageError
from prunemia.files import write_text

BOTH = ["first", "deep/second"]


@pytest.fixture
def root(tmp_path):
    root = write_repository(tmp_path / "repository")
    write_text(root / "results" / "table.csv", "a\n1\n")
    return root


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """Let the book believe that the package is this small one."""
    for name in ("lab.py", "datasets.yml", "notes.txt"):
        write_text(tmp_path / "package" / name, f"# {name}")
    monkeypatch.setattr(build, "PACKAGE", tmp_path / "package")
    return tmp_path / "package"


@pytest.fixture(autouse=True)
def executed(monkeypatch):
    """Stand in for papermill: write what pages were given, but for those that have "fails"."""
    names = []

    def execute_all(tasks, *_):
        failed = {task.name: "" for task in tasks if "fails" in task.notebook.read_text()}
        for task in tasks:
            names.append(task.name)
            notebook = json.loads(task.notebook.read_text())
            outputs = {"name": "stdout", "output_type": "stream", "text": f"{task.parameters}"}
            notebook["cells"][-1] |= {"outputs": [outputs], "execution_count": 1}
            notebook["metadata"]["stamp"] = task.stamp
            if task.name not in failed:
                write_text(task.output, json.dumps(notebook))
        return failed

    monkeypatch.setattr(build, "execute_all", execute_all)
    return names


@pytest.fixture
def mini(root):
    return Book(root, root / "build")


def again(executed, mini, only=(), given=None):
    """Make the pages once more and return which were executed."""
    executed.clear()
    mini.make(only, given or {}, html=False)
    return list(executed)


def test_a_page_is_executed_again_only_where_something_changed(
    mini, root, executed, package, monkeypatch, capsys
):
    assert again(executed, mini) == BOTH
    assert again(executed, mini) == []
    said = capsys.readouterr().out.splitlines()
    assert said == [f"Profile default: 2 pages, {count} to execute" for count in (2, 0)]

    write_page(root, "first", "print('now', sparsity)")
    assert again(executed, mini) == ["first"]
    for file in (root / "results" / "table.csv", package / "lab.py", package / "datasets.yml"):
        file.write_text("# changed")
        assert again(executed, mini) == BOTH
    (package / "notes.txt").write_text("no source")
    monkeypatch.syspath_prepend(package)
    assert again(executed, mini) == []
    (package / "more-1.0.dist-info").mkdir()  # another library
    assert again(executed, mini) == BOTH
    assert again(executed, dataclasses.replace(mini, force=True)) == BOTH


def test_a_page_whose_output_is_gone_or_damaged_is_executed_again(mini, root, executed):
    again(executed, mini)
    output = root / "build" / "pages" / "default" / "first.ipynb"
    older = output.read_text().replace('"stamp": "', '"stamp": "0')
    for damage in ("{", '{"metadata": {}}', older, None):
        output.write_text(damage) if damage else output.unlink()
        assert again(executed, mini) == ["first"]


def test_given_parameters_win_over_the_profile_and_execute_a_page_again(root, executed):
    write_profile(root, "mine", {"sparsity": 0.5, "seed": 1})
    mine = Book(root, root / "build", "mine")
    tasks = mine.tasks(discover(root), [], {"seed": "2"}, "")

    assert [dict(task.parameters) for task in tasks] == [{"sparsity": 0.5, "seed": 2}, {"seed": 2}]
    assert again(executed, mine) == BOTH
    assert again(executed, mine, ["deep/second"], {"seed": "3"}) == ["deep/second"]
    output = root / "build" / "pages" / "mine" / "deep" / "second.ipynb"
    assert "{'seed': 3}" in output.read_text()
    assert again(executed, mine) == ["deep/second"]


def test_arrays_that_a_page_reads_count(mini, tmp_path, executed, monkeypatch):
    monkeypatch.setattr(build.Page, "check", lambda _page, _values, texts: texts)
    for content, pages in ((b"one", ["first"]), (b"one", []), (b"two", ["first"])):
        (tmp_path / "rows.npz").write_bytes(content)
        given = {"dataset": str(tmp_path / "rows.npz")}
        assert again(executed, mini, ["first"], given) == pages


def test_a_failing_page_fails_the_book_and_the_others_are_kept(mini, root, executed):
    write_page(root, "deep/second", "print('fails')", parameters="seed: int = 0\n")

    for count in (2, 1):
        with pytest.raises(RunError, match=f"1 of {count} pages failed: deep/second; the book was"):
            mini.make([], {})
    assert executed == [*BOTH, "deep/second"]
    assert [path.stem for path in (root / "build" / "pages").rglob("*.ipynb")] == ["first"]


def test_what_is_wrong_for_any_page_is_refused_before_anything_runs(mini, root, executed):
    write_page(root, "deep/second", "1", parameters='model: str = "cnn1d"\nwidth: int = 8\n')
    for only, given, message in (
        ([], {"sparcity": "1"}, r"sparcity: no such parameter \(did you mean 'sparsity'\?\)"),
        (["deep/second"], {"top": "0.5"}, "top: no such parameter; allowed: model, width"),
        ([], {"model": "columnfc"}, "deep/second: width: 8 cannot be set for model 'columnfc'"),
    ):
        with pytest.raises(UsageError, match=message):
            mini.make(only, given)
    assert not (root / "build").exists()
    refused = pytest.raises(UsageError, match="another `prunemia book` is at work")
    (root / "build").mkdir()
    with filelock.FileLock(root / "build" / ".lock"), refused:
        mini.make([], {})
    assert executed == []


@pytest.mark.book
def test_the_book_is_built_and_a_warning_keeps_the_last_good_one(mini, root, capsys):
    mini.make(["deep/second"], {})
    html = root / "build" / "_build" / "html"
    assert "'seed'" in unescape((html / "notebooks/deep/second.html").read_text())
    assert (html / "notebooks" / "first.html").is_file()
    mini.make(["deep/second"], {})
    said = capsys.readouterr().out.splitlines()
    assert "Never executed on this profile, so without results: first" in said
    assert said.count("Building the book …") == 1
    assert said[-1] == f"The book: {(html / 'index.html').as_uri()}"

    (root / "book" / "intro.md").write_text("# Intro\n\n[nowhere](nowhere.md)\n")
    with pytest.raises(RunError, match=r"intro\.md:3: WARNING(.|\n)*nowhere(.|\n)*log: .*sphinx\."):
        mini.make(["deep/second"], {})
    assert (html / "index.html").is_file()


@pytest.fixture
def built(tmp_path):
    """A repository with a table of contents, and its built pages."""
    toc = "{format: jb-book, root: a, chapters: [{file: b, sections: [{file: sub/c}]}]}"
    write_text(tmp_path / "book" / "_toc.yml", toc)
    for name in ("a", "b", "sub/c"):
        write_text(tmp_path / "site" / f"{name}.html", f"<!doctype html><h1>Page {name}</h1>")
    return tmp_path


def test_what_is_missing_for_a_pdf_is_named(built, monkeypatch):
    (built / "site" / "b.html").unlink()
    for there, message in {
        "pdfunite": "chromium is missing; Debian's packages",
        "chromium": "pdfunite is missing",
        "chromium, pdfunite": r"no whole book in .*site; build it first",
    }.items():
        monkeypatch.setattr(build.shutil, "which", lambda name, there=there: name in there)
        with pytest.raises(UsageError, match=message):
            build.print_book(built, built / "site", built / "out.pdf", print)
    assert not (built / "out.pdf").exists()


@pytest.mark.skipif(
    not all(map(shutil.which, ("chromium", "pdfunite", "pdftotext"))),
    reason="needs chromium and poppler-utils",
)
def test_the_pages_are_joined_in_order(built):
    out = built / "out.pdf"
    build.print_book(built, built / "site", out, print)
    text = subprocess.run(["pdftotext", out, "-"], capture_output=True, text=True, check=True)
    heads = [line for line in text.stdout.splitlines() if line.startswith("Page ")]
    assert heads == ["Page a", "Page b", "Page sub/c"]
    assert not list(built.glob(".out.pdf*"))
