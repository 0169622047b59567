"""The command line: what it prints and writes, and what it refuses, in one sentence, at once."""

import subprocess
import sys

import nbformat
import pytest
from minibook import write_page, write_repository

from prunemia import data
from prunemia.cli import main, pair_up, parse
from prunemia.errors import UsageError
from prunemia.store import Store


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A small repository, in which a user calls `prunemia`."""
    monkeypatch.setenv("PRUNEMIA_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("PRUNEMIA_DATA", "set back after the test")
    monkeypatch.chdir(root := write_repository(tmp_path / "repository"))
    return root


@pytest.fixture
def ended(root, capfd):  # noqa: ARG001
    """Return a function that calls `prunemia` here; it returns exit code, stdout and stderr."""

    def call(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        return (caught.value.code, *capfd.readouterr())

    return call


def test_run_executes_a_page_prints_its_answer_and_writes_it_for_any_browser(root):
    code = """import prunemia as pm
exp = pm.experiment({"sparsity": sparsity})
pm.answer(f"It is {exp.sparsity:.0%}.")"""
    write_page(root, "told", code)
    command = [sys.executable, "-m", "prunemia.cli", "run", "told", "new/a.ipynb"]
    options = ["--html", "a.html", "-p", "sparsity", "0.9"]

    done = subprocess.run([*command, *options], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    _, second, *rest = done.stdout.splitlines()
    assert second.endswith(" s: new/a.ipynb and a.html")
    assert rest == ["", "It is 90 %."]
    cells = nbformat.read(root / "new" / "a.ipynb", as_version=4).cells
    assert cells[-1].outputs[-1].data["text/markdown"] == "> **Answer.** It is 90 %."
    assert "It is 90 %." in (root / "a.html").read_text()


def test_store_commands_list_verify_and_clean(ended, tmp_path):
    store = Store(tmp_path / "store")
    for key in ("aa11", "bb22"):
        store.put("original", key, {"data.bin": b"x" * 2000})
    _, listed, _ = ended("store", "list")
    assert "original   aa11" in listed
    assert listed.splitlines()[-1].startswith("2 results, ")
    assert ended("store", "verify")[0] == 0

    [damaged] = (tmp_path / "store").glob("original/aa/*/data.bin")
    damaged.write_bytes(b"y" * 2000)
    code, out, err = ended("store", "verify")
    assert (code, "prunemia: 1 problems in" in err) == (1, True)
    assert "original/aa11: data.bin does not agree" in out

    assert "Would remove 1 results" in ended("store", "clean", "--dry-run")[1]
    assert "Removed 1 results" in ended("store", "clean")[1]
    assert "Removed 1 results" in ended("store", "prune", "--stage", "original")[1]  # its old name
    assert ended("store", "list")[1].startswith("0 results")


def test_data_commands_list_and_fetch(ended, tmp_path, monkeypatch):
    _, listed, _ = ended("data", "list")
    assert "location: " in listed
    assert "5,010 samples of 446, 30 classes" in listed
    assert ended("data", "fetch", "digits")[1] == "digits needs no download\n"

    (found := tmp_path / "dataset_location.tgz").write_bytes(b"found")
    monkeypatch.setattr(data, "fetch", lambda _: [found])
    mine = tmp_path / "mine"
    assert ended("data", "fetch", "location", "--to", mine)[1] == f"{mine / found.name}\n"
    assert [(path.name, path.read_bytes()) for path in mine.iterdir()] == [(found.name, b"found")]


def test_a_name_and_its_value_are_joined_and_split_at_the_first_equals_sign():
    given = "run a b -p x 1 -p y -0.3 -p z=1 a -p x a=b a -p"
    assert " ".join(pair_up(given.split())) == "run a b -p x=1 -p y=-0.3 -p z=1 a -p x=a=b a -p"
    assert parse(["x=1", "y=a=b", "z="]) == {"x": "1", "y": "a=b", "z": ""}
    for wrong in ("x", "=3"):
        with pytest.raises(UsageError, match=f"-p {wrong}: a parameter needs a name and a value"):
            parse([wrong])


def test_help_names_every_command_and_an_age_beyond_all_calendars_is_refused(ended):
    names = {"book", "pdf", "run", "sweep", "results", "audit", "data", "store"}
    assert names <= set(ended("--help")[1].split())
    code, _, err = ended("store", "clean", "--older-than", "1e300")
    assert (code, "Invalid value for '--older-than'" in err) == (2, True)


RUN = ["run", "first", "out.ipynb"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*RUN, "-p", "sparcity", "0.9"], "sparcity: no such parameter (did you mean 'sparsity'?)"),
        ([*RUN, "-p", "seed", "2024-99-99"], "seed: is not YAML: month must be in 1..12"),
        ([*RUN, "--html", "book"], "--html book: is a folder; name another file to write"),
        ([*RUN, "--html", "out.ipynb"], "--html out.ipynb: is named already; name another file to"),
        (["run", "frist", "out.ipynb"], "frist: there is no such page or notebook"),
        (["run", *["notebooks/first.ipynb"] * 2], "notebooks/first.ipynb: is named already; name"),
        (["book", "-p", "sparsity", "1.5"], "first: sparsity: 1.5 is not allowed"),
        (["book", "--profile", "nosuch"], "--profile nosuch: no such profile; allowed: default"),
        (["book", "--only", "nosuch"], "--only nosuch: no such page; allowed: first, deep/second"),
        (["data", "fetch", "nosuch"], "nosuch: no such data set; allowed: mnist1d, digits, "),
        (["data", "fetch", "location", "--to", "pyproject.toml"], "--to pyproject.toml: cannot be"),
        (["store", "list", "--store", "nosuch"], "--store nosuch: there is no such folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(ended, root, arguments, message):
    code, out, err = ended(*arguments)

    assert (code, out) == (2, "")
    assert err.startswith(f"prunemia: {message}")
    assert err.count("\n") == 1
    assert not (root / "out.ipynb").exists()


def test_an_unusable_store_is_refused_once_before_anything_runs(ended, tmp_path):
    (tmp_path / "store").touch()
    for command in (RUN, ["book", "--no-build"]):
        code, out, err = ended(*command)
        assert (code, "Executing" in out, err.count("\n")) == (2, False, 1)
        assert err.startswith(f"prunemia: the store {tmp_path}/store: cannot be written: ")


def test_refusing_imports_no_torch(root):
    code = """import sys
from prunemia.cli import main
try:
    main(["run", "first", "out.ipynb", "-p", "sparsity", "1.5"])
finally:
    print("torch" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "False\n")
