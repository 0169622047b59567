"""The order of the rooms: imports go one way, from the import statements themselves."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "prunemia"
ROOMS = (
    "errors",
    "files",
    "registry",
    "experiment",
    "store",
    "metrics",
    "data",
    "models",
    "signals",
    "pruning",
    "divergence",
    "training",
    "defenses",
    "attacks",
    "lab",
    "results",
    "claims",
    "plots",
    "audit",
    "book",
    "cli",
)
"""From the bottom up: a room imports only from rooms that stand before it, and from itself."""
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
QUICK = {"cli.py", "cli"}
"""Where imports inside functions are allowed: the command line answers before torch is imported."""


def modules(node: ast.AST) -> list[str]:
    """The modules of this package that an import statement names, without the prefix."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("prunemia."):
        return [node.module.removeprefix("prunemia.")]
    if isinstance(node, ast.ImportFrom) and node.module == "prunemia":
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
        return [n.removeprefix("prunemia.") for n in names if n.startswith("prunemia.")]
    return []


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_rooms_below_it(path):
    height = ROOMS.index(room(path))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {module.split(".")[0] for node in ast.walk(tree) for module in modules(node)}

    assert {other for other in named - {"__version__"} if ROOMS.index(other) > height} == set()


def imports(path: Path) -> set[Path]:
    """The files of this package that a file imports when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    files = set()
    for node in ast.walk(tree):
        named = modules(node)
        if isinstance(node, ast.ImportFrom) and named:  # `from prunemia.lab import keys`
            parent = (node.module or "").removeprefix("prunemia").lstrip(".")
            named += [f"{parent}.{alias.name}".lstrip(".") for alias in node.names]
        for name in named:
            place = PACKAGE / name.replace(".", "/")
            files |= {place.with_suffix(".py")} & set(FILES)
    return files


def test_no_two_files_import_each_other_in_a_circle():
    graph = {path: imports(path) for path in FILES}
    done: set[Path] = set()

    def visit(path: Path, above: tuple[Path, ...]) -> None:
        circle = [*above[above.index(path) :], path] if path in above else []
        assert not circle, " → ".join(str(p.relative_to(PACKAGE)) for p in circle)
        if path not in done:
            for other in sorted(graph[path]):
                visit(other, (*above, path))
            done.add(path)

    for path in FILES:
        visit(path, ())


def test_no_import_of_the_package_hides_in_a_function():
    hidden = []
    for path in FILES:
        if path.relative_to(PACKAGE).parts[0] in QUICK:
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                inside = [m for node in ast.walk(function) for m in modules(node)]
                hidden += [f"{path.relative_to(PACKAGE)}: {m}" for m in inside]
    assert hidden == []
