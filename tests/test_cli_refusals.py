"""What the command line refuses: at once, in one sentence, with exit code 2."""

import resource
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-p", "sparcity", "0.9"],
            "sparcity: no such parameter (did you mean 'sparsity'?)",
        ),
        (["-p", "sparsity", "1.5"], "sparsity: 1.5 is not allowed: should be less than 1"),
        (["-p", "dataset", "nosuch"], "dataset: 'nosuch' must be one of mnist1d, digits, location"),
        (
            ["-p", "pruner", "slim", "-p", "model", "columnfc"],
            "pruner: 'slim' ranks BatchNorm scales, of which model",
        ),
        (["-p", "sparsity"], "-p sparsity: a parameter needs a name and a value"),
        (["-p", "seed", "2024-99-99"], "seed: is not YAML: month must be in 1..12"),
        (["-p", "seed", "9" * 5000], "seed: is not YAML: Exceeds the limit"),
        (["-p", "sparsity", "[" * 1500], "sparsity: is not YAML: "),
        (["-p", "dataset", "x" * 200 + ".npz"], "dataset: 'xxx"),
        (["--html", "x" * 300], "--html xxx"),
        (["--html", "book"], "--html book: is a folder; name another file to write"),
    ],
)
def test_a_wrong_parameter_is_one_sentence_and_exit_code_2_at_once(
    call, tmp_path, arguments, message
):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    result = call("run", "first", tmp_path / "out.ipynb", *arguments)

    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 4
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
            "frist: there is no such page or notebook",
        ),
        (["run", "frist.ipynb", "out.ipynb"], "frist.ipynb: there is no such page or notebook"),
        (
            ["run", "notebooks/first.ipynb", "notebooks/first.ipynb"],
            "notebooks/first.ipynb: is named already; name another file to write",
        ),
        (["run", "first", "book"], "book: is a folder; name another file to write"),
        (["run", "first", "x" * 300], "xxx"),
        (["run", "first", "book/intro.md/out.ipynb"], "book/intro.md/out.ipynb: cannot be written"),
        (
            ["run", "first", "out.ipynb", "--html", "out.ipynb"],
            "--html out.ipynb: is named already; name another file to write",
        ),
        (["book", "-p", "sparsity", "1.5"], "first: sparsity: 1.5 is not allowed"),
        (["book", "--profile", "x" * 200], "--profile xxx"),
        (
            ["store", "clean", "--older-than", "1e300"],
            "--older-than 1e+300: is not allowed; allowed: 0 to 100,000 days",
        ),
        (["store", "clean", "--older-than", "nan"], "--older-than nan: is not allowed"),
        (["store", "clean", "--older-than", "-1"], "--older-than -1: is not allowed"),
        (["book", "--profile", "nosuch"], "--profile nosuch: no such profile; allowed: default"),
        (
            ["book", "--only", "nosuch"],
            "--only nosuch: no such page; allowed: first, deep/second",
        ),
        (
            ["data", "fetch", "nosuch"],
            "nosuch: no such data set; allowed: mnist1d, digits, location",
        ),
        (
            ["data", "fetch", "location", "--to", "book/intro.md"],
            "--to book/intro.md: cannot be written: Not a directory",
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
    modules = "prunemia.cli, prunemia.book.build"
    code = f"import {modules}, sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", [["run", "first", "out.ipynb"], ["book", "--no-build"]])
def test_an_unusable_store_is_refused_once_before_anything_runs(call, tmp_path, command):
    (tmp_path / "store").touch()

    result = call(*command)

    assert result.returncode == 2
    assert (
        result.stderr
        == f"prunemia: the store {tmp_path}/store: cannot be written: "
        + (result.stderr.split(": ")[-1])
    )
    assert "Executing" not in result.stdout
