"""Every page: its source, and the book that all of them make on the smoke profile."""

import os
import re
import subprocess
import sys
from pathlib import Path

import filelock
import nbformat
import papermill
import pytest
import yaml
from bs4 import BeautifulSoup
from sitecheck import Site

from prunemia.book import pages
from prunemia.book.calls import DIFFERS, LONG
from prunemia.book.pages import Page, answer_of, discover
from prunemia.experiment import Experiment, PageParameters
from prunemia.registry import NETWORKS

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for path in ROOT.glob("notebooks/**/*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
each_page = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)

HIDDEN = {"remove-input", "hide-input", "remove-cell"}
TAGS = HIDDEN | {"parameters", "hide-output"}
ROLE = re.compile(r"\{[a-z][\w:+.-]*\}`")
DIRECTIVE = re.compile(r"^\s*(```+|~~~+|:::+)\s*\{|^\s*:::", re.MULTILINE)
COMMENT = re.compile(r"^\s*%", re.MULTILINE)
TAG = re.compile(r"</?([a-zA-Z][\w-]*)[^>]*>")
CODE = re.compile(r"```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$", re.DOTALL)
"""Code and mathematics, in which < and > are no markup."""


def read(path):
    return nbformat.read(path, as_version=4)


def tagged(notebook, *tags):
    return [cell for cell in notebook.cells if {*tags} & set(cell.metadata.get("tags", []))]


def lines(*cells):
    """Count the lines that say something: a formatter adds blank ones."""
    return sum(bool(line.strip()) for cell in cells for line in cell.source.splitlines())


@each_page
def test_a_source_has_no_results_and_no_more_metadata_than_every_tool_keeps(path):
    notebook = read(path)
    ids = [cell.get("id") for cell in notebook.cells]

    assert (notebook.nbformat, notebook.nbformat_minor >= 5) == (4, True)
    assert None not in ids
    assert len(set(ids)) == len(ids)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert cell.metadata == {}
            continue
        assert (cell.outputs, cell.execution_count) == ([], None)
        assert set(cell.metadata) <= {"tags", "mystnb", "jupyter"}
        assert set(cell.metadata.get("tags", [])) <= TAGS
        assert set(cell.metadata.get("jupyter", {})) <= {"source_hidden", "outputs_hidden"}
        image = cell.metadata.get("mystnb", {"image": {"alt": "x" * 41}})
        assert (set(image), set(image["image"])) == ({"image"}, {"alt"})
        assert len(image["image"]["alt"]) > 40


@each_page
def test_markdown_is_what_every_tool_reads(path):
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            assert not any(rule.search(cell.source) for rule in (ROLE, DIRECTIVE, COMMENT)), cell.id
            tags = {tag.lower() for tag in TAG.findall(CODE.sub("", cell.source))}
            assert tags <= {"details", "summary"}, cell.id


def test_the_rules_find_what_they_forbid():
    plain = "Plain $x_{i}$, 5 % of `a < b`, [a link](b.md).\n\n```python\nx\n```"
    for rule, *texts in (
        (ROLE, "It is {glue:text}`share`.", "{cite:p}`yuan2022pruning`"),
        (DIRECTIVE, "```{figure} a.png", "text\n:::{note}", ":::"),
        (COMMENT, "text\n% A note."),
        (TAG, "a <span style='x'>b</span>"),
    ):
        assert [bool(rule.search(text)) for text in (plain, *texts)] == [False, *map(bool, texts)]


@each_page
def test_cells_are_short_half_of_a_page_is_prose_and_little_is_hidden_in_every_tool(path):
    notebook = read(path)
    prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    hidden = tagged(notebook, *HIDDEN)

    assert max(lines(cell) for cell in code if cell not in tagged(notebook, "parameters")) <= 10
    assert sum(len(cell.source) for cell in prose) >= sum(len(cell.source) for cell in code)
    assert notebook.cells[0].source.startswith("# ")
    assert lines(*hidden) <= 5
    assert all(cell.metadata.get("jupyter") == {"source_hidden": True} for cell in hidden)


@each_page
def test_a_page_with_an_experiment_gives_one_answer(path):
    notebook = read(path)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    asks, knows, answers = (
        [i for i, source in enumerate(code) if call in source]
        for call in ("pm.experiment(globals()", "pm.known(globals()", "pm.answer(")
    )

    # a misspelt parameter is refused right after the parameters cell
    assert [*asks, *knows] == ([1] if tagged(notebook, "parameters") else [])
    assert len(answers) == 1 if asks else len(answers) <= 1
    assert all(i > 1 for i in answers)


@each_page
def test_parameters_are_typed_explained_known_and_allowed(path):
    notebook, page = read(path), Page(path.stem, path)
    inferred = papermill.inspect_notebook(path)

    assert len(tagged(notebook, "parameters")) <= 1
    assert list(inferred) == list(page.defaults)
    for name, parameter in inferred.items():
        assert parameter["inferred_type_name"] not in ("", "None"), name
        assert parameter["help"], name
        assert not parameter["help"].startswith("most "), name  # reads as "the majority"
    assert set(page.defaults) <= {*Experiment.model_fields, *PageParameters.model_fields}
    assert page.check({}, {}) == {}
    if "model" in inferred:
        assert set(NETWORKS) <= set(inferred["model"]["help"].replace(",", " ").split())


def test_every_page_is_in_the_table_of_contents_and_every_profile_is_allowed_on_it():
    known = discover(ROOT)
    assert {page.path for page in known.values()} == set(SOURCES)
    for path in ROOT.glob("notebooks/profiles/*.yml"):
        for page, values in pages.profile(ROOT, path.stem, known).items():
            known[page].check(values, {})


def run(module, *arguments, store, cwd=ROOT):
    """Run a module of Python's with a store of its own; it must succeed."""
    call = [sys.executable, "-m", module, *map(str, arguments)]
    own = os.environ | {"PRUNEMIA_STORE": str(store)}
    done = subprocess.run(call, cwd=cwd, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def make_book(build, store, *options):
    run("prunemia.cli", "book", "--profile", "smoke", "--to", build, *options, store=store)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory, worker_id):
    """Return a folder with every page executed on the smoke profile, and the book; made once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "smoke"
    folder.mkdir(exist_ok=True)
    with filelock.FileLock(folder / "lock"):
        if not (folder / "build" / "_build" / "html" / "index.html").is_file():
            make_book(folder / "build", folder / "store", "--jobs", "2")
    return folder / "build"


def executed(smoke):
    """Yield each page's source, and the page as it was executed on the smoke profile."""
    for path in SOURCES:
        yield path, read(smoke / "pages" / "smoke" / path.relative_to(ROOT / "notebooks"))


def shown_claims(notebook):
    """Yield the rows of the tables that `claims.show` made, from a page's HTML outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    for html in [str(output.get("data", {}).get("text/html", "")) for output in outputs]:
        for table in BeautifulSoup(html, "html.parser").find_all("table"):
            found = [row.find_all(["th", "td"]) for row in table.find_all("tr")]
            head, *rows = [[cell.get_text() for cell in row] for row in found]
            if {"claim", "effect [95 %]", "verdict"} <= set(head):
                yield from (dict(zip(head, row, strict=True)) for row in rows)


@pytest.fixture(scope="session")
def site(smoke):
    return Site(smoke / "_build" / "html")


@pytest.mark.book
def test_every_page_was_executed_and_is_in_the_book(smoke, site):
    for path, page in executed(smoke):
        assert all(cell.execution_count for cell in page.cells if cell.cell_type == "code")
        assert site.folder / path.relative_to(ROOT).with_suffix(".html") in site.pages
        assert answer_of(page) or "pm.answer(" not in path.read_text(encoding="utf-8"), path
        assert not any(said in str(page) for said in (DIFFERS, LONG)), path
    assert len(site.pages) >= len(SOURCES) + 5


@pytest.mark.book
def test_one_claim_has_one_number_and_one_verdict_on_all_pages(smoke):
    seen = {}
    for path, page in executed(smoke):
        for row in shown_claims(page):
            said = seen.setdefault((row["claim"], row.get("data set", path.stem)), {})
            said.setdefault((row["effect [95 %]"], row["verdict"]), []).append(path.stem)

    assert seen
    assert {claim: said for claim, said in seen.items() if len(said) > 1} == {}


@pytest.mark.book
def test_nothing_is_loaded_from_elsewhere_links_lead_somewhere_and_pictures_have_words(site):
    assert list(site.problems()) == []


@pytest.mark.book
def test_pages_executed_one_by_one_from_stored_results_are_the_same_bytes(smoke, tmp_path):
    names = ("setting", "divergence", "attacks/conf")
    only = [word for name in names for word in ("--only", name)]
    make_book(tmp_path, smoke.parent / "store", "--jobs", "1", "--no-build", *only)

    for name in names:
        files = [build / "pages" / "smoke" / f"{name}.ipynb" for build in (smoke, tmp_path)]
        assert files[0].read_bytes() == files[1].read_bytes(), name


@pytest.mark.book
def test_plain_papermill_executes_a_page(smoke, tmp_path):
    name, page = min(discover(ROOT).items(), key=lambda each: len(each[1].path.read_text()))
    values = yaml.safe_dump(pages.profile(ROOT, "smoke", discover(ROOT))[name])
    output, where = tmp_path / "out.ipynb", {"store": smoke.parent / "store"}
    run("papermill", page.path.name, output, "-y", values, **where, cwd=page.path.parent)

    assert all(cell.execution_count for cell in read(output).cells if cell.cell_type == "code")
