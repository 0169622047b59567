"""Every page: its source, and the book that all of them make on the smoke profile."""

import os
import subprocess
import sys
from pathlib import Path

import filelock
import nbformat
import papermill
import pytest
import yaml
from sitecheck import Site

from prunemia.book import parameters
from prunemia.book.pages import Page, discover
from prunemia.experiment import Experiment, PageParameters
from prunemia.kinds import NETWORKS

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
PROFILES = sorted(path.stem for path in (ROOT / "notebooks" / "profiles").glob("*.yml"))

each_page = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_every_page_is_in_the_table_of_contents():
    assert {page.path for page in discover(ROOT).values()} == set(SOURCES)


@each_page
def test_a_source_has_no_results_and_stable_cell_ids(path):
    notebook = read(path)
    ids = [cell.get("id") for cell in notebook.cells]

    assert (notebook.nbformat, notebook.nbformat_minor >= 5) == (4, True)
    assert None not in ids
    assert len(set(ids)) == len(ids)
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "prunemia"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "mystnb"}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@each_page
def test_cells_are_short_and_at_least_half_of_a_page_is_prose(path):
    notebook = read(path)
    prose, code = (
        [c for c in notebook.cells if c.cell_type == kind] for kind in ("markdown", "code")
    )

    assert (
        max(
            len(cell.source.splitlines())
            for cell in code
            if cell not in tagged(notebook, "parameters")
        )
        <= 10
    )
    assert sum(len(cell.source) for cell in prose) >= sum(len(cell.source) for cell in code)
    assert notebook.cells[0].source.startswith("# ")


@each_page
def test_parameters_are_typed_explained_known_and_allowed(path):
    page = Page(path.stem, path)

    assert len(tagged(read(path), "parameters")) == 1
    assert list(papermill.inspect_notebook(path)) == list(page.parameters)
    for parameter in page.parameters.values():
        assert parameter.annotation, parameter.name
        assert parameter.help, parameter.name
    assert (
        page.parameters.keys()
        <= Experiment.model_fields.keys() | PageParameters.model_fields.keys()
    )
    assert parameters.check(page, {}) == {}


@each_page
def test_a_page_names_every_network_and_calls_a_maximum_so(path):
    page = Page(path.stem, path)

    if "model" in page.parameters:
        named = page.parameters["model"].help.replace(",", " ").split()
        assert set(NETWORKS) <= set(named)
    for parameter in page.parameters.values():
        assert not parameter.help.startswith("most "), parameter.name  # reads as "the majority"


@each_page
def test_a_page_leaves_previous_and_next_to_the_theme(path):
    assert not any("Previous: [" in cell.source for cell in read(path).cells)


def test_what_the_attack_pages_share_is_said_once():
    # A paragraph of some length, or a cell of code, that stands on two pages belongs on `conf`
    # or into `prunemia.book.attack_page`.
    seen = {}
    for path in (ROOT / "notebooks" / "attacks").glob("*.ipynb"):
        notebook = read(path)
        for cell in notebook.cells:
            if cell in tagged(notebook, "parameters") or cell in tagged(notebook, "hide-input"):
                continue
            prose = cell.cell_type == "markdown"
            for part in cell.source.split("\n\n") if prose else [cell.source]:
                named = part.replace(path.stem, "NAME")
                if len(part.split()) > 45 if prose else len(part.splitlines()) > 5:
                    seen.setdefault(named, []).append(path.stem)

    assert {part: pages for part, pages in seen.items() if len(pages) > 1} == {}


@each_page
def test_every_figure_has_a_name_a_caption_and_words_for_who_cannot_see_it(path):
    for cell in read(path).cells:
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            assert figure["name"].startswith("fig-")
            assert len(figure["caption"]) > 40
            assert len(cell.metadata["mystnb"]["image"]["alt"]) > 40


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_allowed_on_every_page(name):
    pages = discover(ROOT)
    for page, values in parameters.load_profile(
        ROOT / "notebooks" / "profiles", name, pages
    ).items():
        parameters.check(pages[page], values)


def make_book(build, store, *options):
    command = [
        sys.executable,
        "-m",
        "prunemia.cli",
        "book",
        "--profile",
        "smoke",
        "--to",
        str(build),
        *options,
    ]
    environment = os.environ | {"PRUNEMIA_STORE": str(store)}
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return build


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


@pytest.fixture(scope="session")
def site(smoke):
    return Site(smoke / "_build" / "html")


@pytest.mark.book
@pytest.mark.xdist_group("book")
class TestBuiltBook:
    """The book, all of its pages executed on the smoke profile, built with warnings as errors."""

    def test_every_page_was_executed_and_is_in_the_book(self, smoke, site):
        for name in discover(ROOT):
            executed = read(smoke / "pages" / "smoke" / f"{name}.ipynb")
            assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
            assert (site.folder / "notebooks" / f"{name}.html") in site.pages
        assert len(site.pages) >= len(SOURCES) + 5

    def test_pages_computed_nothing_that_was_not_planned_ahead(self, smoke):
        planned_until = (smoke / "logs" / "ahead.log").stat().st_mtime
        stored = {
            path: path.stat().st_mtime for path in (smoke.parent / "store").rglob("manifest.json")
        }

        # but for the page whose networks come from elsewhere: they are no steps of the pipeline
        late = [path for path, when in stored.items() if when > planned_until]

        assert len(stored) > 300
        assert [path for path in late if "audit" not in path.parts] == []

    def test_nothing_is_loaded_from_another_host(self, site):
        assert list(site.external_resources()) == []

    def test_every_link_leads_somewhere(self, site):
        assert list(site.broken_links()) == []

    def test_no_cell_shows_an_error(self, site):
        assert list(site.errors()) == []

    def test_every_picture_has_words(self, site):
        assert list(site.pictures_without_words()) == []

    def test_pages_executed_one_by_one_from_stored_results_are_the_same_bytes(
        self, smoke, tmp_path
    ):
        names = ("setting", "divergence", "attacks/conf")
        only = [word for name in names for word in ("--only", name)]
        again = make_book(tmp_path, smoke.parent / "store", "--jobs", "1", "--no-build", *only)

        for name in names:
            first, second = (
                build / "pages" / "smoke" / f"{name}.ipynb" for build in (smoke, again)
            )
            assert first.read_bytes() == second.read_bytes(), name

    def test_plain_papermill_executes_a_page(self, smoke, tmp_path):
        path = min(SOURCES, key=lambda path: len(path.read_text()))
        values = yaml.safe_load((ROOT / "notebooks" / "profiles" / "smoke.yml").read_text()) or {}
        values = {
            name: value for name, value in values.items() if name in Page("", path).parameters
        }
        environment = os.environ | {"PRUNEMIA_STORE": str(smoke.parent / "store")}
        output = tmp_path / "out.ipynb"
        command = [
            sys.executable,
            "-m",
            "papermill",
            path.name,
            str(output),
            "-y",
            yaml.safe_dump(values),
        ]

        subprocess.run(
            command, cwd=path.parent, env=environment, capture_output=True, text=True, check=True
        )

        assert all(cell.execution_count for cell in read(output).cells if cell.cell_type == "code")
