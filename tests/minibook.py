"""A repository of a few tiny pages, for the tests of the runner and the command line."""

import nbformat
import yaml

PARAMETERS = """\
dataset: str = "mnist1d"  # the data set
model: str = "cnn1d"  # the network
pruner: str = "l1unstructured"
sparsity: float = 0.7  # fraction that is removed, 0..1
seed: int = 0
note: str | None = None  # anything; "#" and "=" too
"""


def write_page(root, name, *code, parameters=PARAMETERS):
    """Write notebooks/NAME.ipynb: a title, a parameters cell, and a cell for each piece of code."""
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell(f"# {name.title()}\n\nText.", id="title")]
    cells.append(v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}))
    cells += [v4.new_code_cell(source, id=f"code-{number}") for number, source in enumerate(code)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def write_toc(root, *names):
    """Write book/_toc.yml with the intro and these pages, in parts and sections."""
    first, *more = [{"file": f"notebooks/{name}"} for name in names]
    section = {"chapters": [{"file": "book/more", "sections": more}]}
    parts = [{"caption": "Part", "chapters": [first]}, section]
    (root / "book").mkdir(exist_ok=True)
    toc = yaml.safe_dump({"format": "jb-book", "root": "book/intro", "parts": parts})
    (root / "book" / "_toc.yml").write_text(toc)


def write_profile(root, name, content):
    """Write notebooks/profiles/NAME.yml."""
    folder = root / "notebooks" / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yml").write_text(yaml.safe_dump(content))


def write_repository(root):
    """Write pages `first` and `deep/second`, and an empty default profile."""
    write_page(root, "first", "print('sparsity', sparsity)")
    write_page(root, "deep/second", "print('seed', seed)", parameters="seed: int = 0\n")
    write_toc(root, "first", "deep/second")
    write_profile(root, "default", {})
    for name in ("intro", "more"):
        (root / "book" / f"{name}.md").write_text(f"# {name.title()}\n\nText.\n")
    (root / "pyproject.toml").write_text('[project]\nname = "prunemia"\n')
    config = "title: Mini\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
    (root / "_config.yml").write_text(config)
    return root
