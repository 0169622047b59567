"""The command line as a user calls it: another process, its exit code, what it prints, how long it takes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from minibook import write_page, write_repository

from prunemia import data
from prunemia.cli import main, pair_up
from prunemia.store.store import Store


@pytest.fixture
def call(tmp_path):
    """Call prunemia in a small repository."""
    root = write_repository(tmp_path / "repository")
    environment = os.environ | {"PRUNEMIA_STORE": str(tmp_path / "store")}

    def run(*arguments):
        command = [sys.executable, "-m", "prunemia.cli", *map(str, arguments)]
        return subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-p", "sparcity", "0.9"],
            "sparcity: no such parameter (did you mean 'sparsity'?); allowed: dataset, model,",
        ),
        (["-p", "sparsity", "1.5"], "sparsity: 1.5 is not allowed: should be less than 1"),
        (["-p", "dataset", "nosuch"], "dataset: 'nosuch' must be one of mnist1d, digits, location"),
        (
            ["-p", "pruner", "slim", "-p", "model", "columnfc"],
            "pruner: 'slim' ranks BatchNorm scales, of which model",
        ),
        (["-p", "sparsity"], "-p sparsity: a parameter needs a name and a value"),
    ],
)
def test_a_wrong_parameter_is_one_sentence_and_exit_code_2_at_once(
    call, tmp_path, arguments, message
):
    started = time.monotonic()
    result = call("run", "first", tmp_path / "out.ipynb", *arguments)

    assert time.monotonic() - started < 5
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"prunemia: {message}")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "frist", "out.ipynb"],
            "frist: there is no such page; there are first, deep/second",
        ),
        (["run", "frist.ipynb", "out.ipynb"], "frist.ipynb: there is no such notebook"),
        (
            ["run", "notebooks/first.ipynb", "notebooks/first.ipynb"],
            "notebooks/first.ipynb: is the source",
        ),
        (["run", "first", "book"], "book: is a folder; name another file to write"),
        (["book", "--profile", "nosuch"], "--profile nosuch: no such profile; allowed: default"),
        (
            ["book", "--only", "nosuch"],
            "--only nosuch: there is no such page; allowed: first, deep/second",
        ),
        (
            ["data", "fetch", "nosuch"],
            "nosuch: there is no such data set; allowed: mnist1d, digits, location",
        ),
        (
            ["data", "fetch", "location", "--to", "book/intro.md"],
            "--to book/intro.md: cannot be written: File exists",
        ),
        (["store", "list", "--store", "nosuch"], "--store nosuch: there is no such folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(call, arguments, message):
    result = call(*arguments)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"prunemia: {message}")
    assert result.stderr.count("\n") == 1


def test_refusing_imports_no_torch():
    code = "import prunemia.cli, prunemia.book.parameters, prunemia.book.build, sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_run_executes_a_page_with_other_parameters(call, tmp_path):
    output = tmp_path / "new" / "out.ipynb"

    result = call("run", "first", output, "-p", "sparsity", "0.9")

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].endswith(f": {output}")
    assert nbformat.read(output, as_version=4).cells[-1].outputs[0].text == "sparsity 0.9\n"


def test_run_of_a_failing_page_shows_the_cell_and_leaves_nothing(call, tmp_path):
    write_page(tmp_path / "repository", "bad", "1 / 0")

    result = call("run", "notebooks/bad.ipynb", tmp_path / "out.ipynb")

    assert result.returncode == 1
    assert result.stderr.endswith(
        "prunemia: in the cell\n    | 1 / 0\n    ZeroDivisionError: division by zero\n"
    )
    assert not (tmp_path / "out.ipynb").exists()


def test_store_commands_list_verify_and_prune(call, tmp_path):
    store = Store(tmp_path / "store")
    for key in ("aa11", "bb22"):
        store.put("original", key, {"data.bin": b"x" * 2000})
    listed = call("store", "list")
    assert "original   aa11" in listed.stdout
    assert listed.stdout.splitlines()[-1].startswith("2 results, ")
    assert call("store", "verify").returncode == 0

    [damaged] = (tmp_path / "store").glob("original/aa/*/data.bin")
    damaged.write_bytes(b"y" * 2000)
    verified = call("store", "verify")
    assert verified.returncode == 1
    assert "original/aa11: " in verified.stdout
    assert "prunemia: 1 problems in" in verified.stderr

    assert "Would remove 1 results" in call("store", "prune", "--dry-run").stdout
    assert "Removed 1 results" in call("store", "prune").stdout
    assert "Removed 1 results" in call("store", "prune", "--stage", "original").stdout
    assert call("store", "list").stdout.startswith("0 results")


def test_data_commands_list_and_fetch(call):
    listed = call("data", "list").stdout
    assert "location: " in listed
    assert "5,010 rows of 446, 30 classes" in listed
    assert call("data", "fetch", "digits").stdout == "digits needs no download\n"


def test_fetched_files_are_in_the_folder_that_was_named(tmp_path, monkeypatch, capsys):
    found = tmp_path / "cache" / "dataset_location.tgz"
    found.parent.mkdir()
    found.write_bytes(b"found")
    monkeypatch.setenv("PRUNEMIA_DATA", "set back after the test")
    monkeypatch.setattr(data, "fetch", lambda _: [found])
    monkeypatch.setattr(sys, "exit", lambda code: code)

    main(["data", "fetch", "location", "--to", str(tmp_path / "mine")])

    assert (tmp_path / "mine" / found.name).read_bytes() == b"found"
    assert capsys.readouterr().out == f"{tmp_path / 'mine' / found.name}\n"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [found.name]


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        ("run a b -p x 1 -p y -0.3", "run a b -p x=1 -p y=-0.3"),
        ("-p x=1 a", "-p x=1 a"),
        ("-p x a=b", "-p x=a=b"),
        ("a -p x", "a -p x"),
        ("a -p", "a -p"),
        ("a -- -p x 1", "a -- -p x 1"),
    ],
)
def test_a_name_and_its_value_are_joined(given, joined):
    assert pair_up(given.split()) == joined.split()


def test_help_names_every_command():
    result = subprocess.run(
        [Path(sys.executable).with_name("prunemia"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert {"book", "run", "store"} <= set(result.stdout.split())
