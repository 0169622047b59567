"""The command line as a user calls it: another process, its exit code, what it prints."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from minibook import write_page

from prunemia import data
from prunemia.cli import main, pair_up, parse
from prunemia.errors import UsageError
from prunemia.store import Store


def test_run_executes_a_page_prints_its_answer_and_writes_it_for_any_browser(call, tmp_path):
    code = """import prunemia as pm
exp = pm.experiment({"sparsity": sparsity})
pm.answer(f"It is {exp.sparsity:.0%}.")"""
    write_page(tmp_path / "repository", "told", code)

    output = tmp_path / "new" / "out.ipynb"
    result = call("run", "told", output, "--html", "out.html", "-p", "sparsity", "0.9")

    assert result.returncode == 0, result.stderr
    first, second, *rest = result.stdout.splitlines()
    assert first.startswith("Executing ")
    assert second.endswith(f" s: {output} and out.html")
    assert rest == ["", "It is 90%."]
    shown = [o.data["text/markdown"] for o in nbformat.read(output, as_version=4).cells[-1].outputs]
    assert shown == [
        "*This run: mnist1d · cnn1d · l1unstructured 0.9 · seed 0, computed here.*",
        "> **Answer.** It is 90%.",
    ]
    assert "It is 90%." in (tmp_path / "repository" / "out.html").read_text()


def test_run_of_a_failing_page_names_the_cell_and_leaves_nothing(call, tmp_path):
    write_page(tmp_path / "repository", "bad", "1 / 0")

    result = call("run", "notebooks/bad.ipynb", tmp_path / "out.ipynb")

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "prunemia: the cell «1 / 0 …» failed: ZeroDivisionError: division by zero"
    )
    assert not (tmp_path / "out.ipynb").exists()


def test_store_commands_list_verify_and_clean(call, tmp_path):
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

    assert "Would remove 1 results" in call("store", "clean", "--dry-run").stdout
    assert "Removed 1 results" in call("store", "clean").stdout
    assert "Removed 1 results" in call("store", "prune", "--stage", "original").stdout
    assert call("store", "list").stdout.startswith("0 results")
    listed = call("store", "--help").stdout.split()
    assert "clean" in listed
    assert "prune" not in listed  # its old name, which goes on working


def test_data_commands_list_and_fetch(call):
    listed = call("data", "list").stdout
    assert "location: " in listed
    assert "5,010 samples of 446, 30 classes" in listed
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
    ],
)
def test_a_name_and_its_value_are_joined(given, joined):
    assert pair_up(given.split()) == joined.split()


def test_a_text_is_split_at_its_first_equals_sign():
    assert parse(["x=1", "y=a=b", "z="]) == {"x": "1", "y": "a=b", "z": ""}
    for wrong in ("x", "=3", "y" * 5000):
        with pytest.raises(UsageError, match=f"-p {wrong[:200]}.*: a parameter needs a name and"):
            parse([wrong])


def test_help_names_every_command():
    result = subprocess.run(
        [Path(sys.executable).with_name("prunemia"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert {"book", "run", "store"} <= set(result.stdout.split())
