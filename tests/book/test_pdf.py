"""The book as one PDF."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from prunemia.book import pdf
from prunemia.errors import UsageError

ROOT = Path(__file__).parents[2]
PAGE = "<!doctype html><meta charset=utf-8><title>{0}</title><h1>{0}</h1>"


@pytest.fixture
def built(tmp_path):
    """A repository with a table of contents, and its built pages."""
    parts = [{"caption": "One", "chapters": [{"file": "b", "sections": [{"file": "sub/c"}]}]}]
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "_toc.yml").write_text(yaml.safe_dump({"root": "a", "parts": parts}))
    for name in ("a", "b", "sub/c"):
        page = tmp_path / "site" / f"{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(PAGE.format(f"Page {name}"))
    return tmp_path


def test_pages_come_in_the_order_of_the_contents(built):
    assert list(pdf.in_order(built)) == ["a", "b", "sub/c"]
    whole = list(pdf.in_order(ROOT))
    assert whole[0] == "notebooks/start"
    assert len(whole) == len(set(whole)) > 20


def test_a_missing_program_is_named_with_its_package(built, monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="chromium is not installed; Debian's packages"):
        pdf.print_book(built, built / "site", built / "out.pdf", print)
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None if name == pdf.JOINER else name)
    with pytest.raises(UsageError, match="pdfunite is not installed"):
        pdf.print_book(built, built / "site", built / "out.pdf", print)


def test_without_a_whole_book_nothing_is_printed(built, monkeypatch):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: name)
    (built / "site" / "b.html").unlink()
    with pytest.raises(UsageError, match=r"no whole book in .*site; build it first"):
        pdf.print_book(built, built / "site", built / "out.pdf", print)
    assert not (built / "out.pdf").exists()


@pytest.mark.skipif(
    not all(map(shutil.which, ("chromium", "pdfunite", "pdftotext"))),
    reason="needs chromium and poppler-utils",
)
def test_the_pages_are_joined_in_order(built):
    out = built / "out.pdf"
    pdf.print_book(built, built / "site", out, print)
    text = subprocess.run(["pdftotext", out, "-"], capture_output=True, text=True, check=True)
    heads = [line for line in text.stdout.splitlines() if line.startswith("Page ")]
    assert heads == ["Page a", "Page b", "Page sub/c"]
    assert not list(built.glob(".out.pdf.part"))
