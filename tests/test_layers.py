"""The order of the rooms: imports go one way, from the import statements themselves."""

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "prunemia"
ROOMS = (
    *("errors", "files", "checks", "registry", "experiment", "store", "metrics", "data"),
    *("models", "signals", "pruning", "divergence", "training", "defenses", "attacks", "lab"),
    *("results", "claims", "plots", "audit", "book", "cli"),
)
"""From the bottom up: a room imports only from rooms that stand before it, and from itself."""
QUICK = {"cli"}
"""Where imports inside functions are allowed: the command line answers before torch is imported."""


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """Every file of the package but its first, parsed."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def modules(node: ast.AST) -> list[str]:
    """The modules of this package that an import statement names, without the prefix."""
    if isinstance(node, ast.ImportFrom) and node.module == "prunemia":
        return [alias.name for alias in node.names]
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    return [name.removeprefix("prunemia.") for name in names if name.startswith("prunemia.")]


def test_a_room_imports_only_from_rooms_below_it_and_no_import_hides_in_a_function(trees):
    for path, tree in trees.items():
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        named = {module.split(".")[0] for node in ast.walk(tree) for module in modules(node)}
        assert {each for each in named if ROOMS.index(each) > ROOMS.index(room)} == set(), path
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        hidden = [m for f in functions for node in ast.walk(f) for m in modules(node)]
        assert room in QUICK or hidden == [], path


def test_no_two_files_import_each_other_in_a_circle(trees):
    graph = {}
    for path, tree in trees.items():
        named = [module for node in ast.walk(tree) for module in modules(node)]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and modules(node):  # `from prunemia.lab import x`
                parent = (node.module or "").removeprefix("prunemia").lstrip(".")
                named += [f"{parent}.{alias.name}".lstrip(".") for alias in node.names]
        files = {(PACKAGE / name.replace(".", "/")).with_suffix(".py") for name in named}
        graph[path] = files & trees.keys()
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the files
