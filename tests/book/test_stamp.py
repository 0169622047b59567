import ast
import gc
import json
from pathlib import Path

import nbformat
import pytest
from minibook import write_repository

from prunemia.book import stamp
from prunemia.book.execute import Task
from prunemia.book.stamp import changed, package_files, seen_by_a_page, stamp_of, stamp_path

PACKAGE = stamp.PACKAGE
FILES = [file.relative_to(PACKAGE).as_posix() for file in package_files()]


@pytest.fixture
def root(tmp_path):
    return write_repository(tmp_path / "repository")


@pytest.fixture
def stamp_now(root, tmp_path):
    """Stamp a page that reads an .npz, as the repository is now."""
    data = tmp_path / "rows.npz"
    data.write_bytes(b"one")
    notebook = root / "notebooks" / "first.ipynb"
    parameters = {"dataset": str(data), "seed": 1}
    return lambda **more: stamp_of(
        Task("first", notebook, notebook, notebook, parameters | more), root
    )


def test_a_stamp_tells_what_changed(stamp_now, root, tmp_path):
    output = tmp_path / "out.ipynb"
    assert changed(output, stamp_now()) == "not executed yet"
    output.touch()
    assert changed(output, stamp_now()) == "not executed completely"
    stamp_path(output).write_text(json.dumps(stamp_now()))
    assert changed(output, stamp_now()) == ""
    assert changed(output, stamp_now(seed=2)) == "changed: parameters"

    (tmp_path / "rows.npz").write_bytes(b"two")
    (root / "requirements.txt").write_text("# computing\nnumpy>=2\nno-such-library\n")
    assert changed(output, stamp_now()) == "changed: data, versions"
    assert stamp_now()["versions"]["no-such-library"] == "none"


def test_a_stamp_that_is_damaged_counts_as_none(stamp_now, tmp_path):
    output = tmp_path / "out.ipynb"
    output.touch()
    for content in ("[1]", "{", "[" * 100_000):
        stamp_path(output).write_text(content)
        assert changed(output, stamp_now()) == "not executed completely"


@pytest.mark.parametrize("name", [*FILES, "attacks/added.py", "book/added.py", "added.py"])
def test_a_change_of_any_file_that_a_page_can_import_executes_it_again(
    stamp_now, name, tmp_path, monkeypatch
):
    # plots/pages.py was left out: it has the name, but not the place, of a file that runs the book.
    monkeypatch.setattr(stamp, "PACKAGE", tmp_path / "package")
    before = stamp_now()
    file = tmp_path / "package" / name
    file.parent.mkdir(parents=True)
    file.write_text("# changed")

    runs_the_book = name.startswith("cli/") or (
        name.startswith("book/")
        and name
        not in (
            "book/__init__.py",
            "book/glue.py",
            "book/attack_page.py",
            "book/control_page.py",
            "book/defenses_page.py",
            "book/evidence_page.py",
            "book/explorer.py",
            "book/exposure_page.py",
            "book/templates/explorer.html",
            "book/added.py",
        )
    )
    assert (stamp_now() == before) == runs_the_book


def test_what_is_no_source_does_not_count(stamp_now, tmp_path, monkeypatch):
    monkeypatch.setattr(stamp, "PACKAGE", tmp_path / "package")
    before = stamp_now()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "notes.txt").write_text("no source")

    assert stamp_now() == before


def test_no_page_and_nothing_that_a_page_imports_imports_what_does_not_count(request):
    notebooks = sorted((request.config.rootpath / "notebooks").rglob("*.ipynb"))
    sources = {str(path): _code(path) for path in notebooks}
    code = [name for name in FILES if name.endswith(".py")]  # templates import nothing
    sources |= {name: (PACKAGE / name).read_text() for name in code if seen_by_a_page(name)}

    assert len(notebooks) > 10
    for name, source in sources.items():
        assert [module for module in _imported(source) if not seen_by_a_page(module)] == [], name


def _code(notebook: Path) -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def _imported(source: str) -> list[str]:
    """Return the files of the package that a source imports, by their paths inside it."""
    names = []
    gc.disable()  # CPython 3.11 loses count of a tree's depth where a collection parses meanwhile
    try:
        tree = ast.parse(source)
    finally:
        gc.enable()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    paths = (name.removeprefix("prunemia.").replace(".", "/") for name in names)
    return [f"{path}.py" for path in paths if f"{path}.py" in FILES]
