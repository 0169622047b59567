import io
import json
import subprocess
import sys

import pytest
from minibook import write_page

import prunemia as pm
from prunemia.book import ahead, carry_out, needs
from prunemia.book.execute import Task
from prunemia.book.pages import Page
from prunemia.book.progress import Teller
from prunemia.lab.pipeline import Pipeline
from prunemia.lab.steps import Step

PAGE = {"seed": 3, "seeds": 2, "sparsity": 0.7, "model": "cnn1d", "sparsities": [0.5, 0.9]}
TINY = {"samples": 200, "width": 4, "epochs": 1, "finetune_epochs": 1, "shadows": 1}


def test_fields_and_seeds_come_from_the_page_and_names_from_its_parameters():
    wanted = needs.steps([{"attacks": ["conf"], "sparsity": "$sparsities"}], PAGE)

    assert set(wanted) == {pm.Experiment(sparsity=s, seed=n) for s in (0.5, 0.9) for n in (3, 4)}
    exp = pm.Experiment(sparsity=0.5, seed=3)
    assert wanted[exp] == [Step("attack", exp, "pruned", (0,), "conf")]


@pytest.mark.parametrize(
    ("need", "steps"),
    [
        ({"result": "target", "of": "original"}, [("signals", "original", (0,), "", ())]),
        (
            {"result": "networks"},
            [("pruned", "pruned", (0,), "", ()), ("pruned", "pruned", (1, 2, 3, 4, 5), "", ())],
        ),
        ({"result": "cost"}, [("cost", "pruned", (0,), "", ())]),
        (
            {"attacks": "samia", "options": [{"recipe": "paper"}, {"inputs": ["label"]}]},
            [
                ("attack", "pruned", (0,), "samia", (("recipe", "paper"),)),
                ("attack", "pruned", (0,), "samia", (("inputs", ("label",)),)),
            ],
        ),
    ],
)
def test_each_result_is_its_steps(need, steps):
    (found,) = needs.steps([need], {"seed": 0}).values()

    assert [(s.stage, s.of, s.group, s.attack, s.options) for s in found] == steps


def test_without_a_list_all_attacks_are_needed():
    (found,) = needs.steps([{}], {"seed": 0}).values()

    assert tuple(step.attack for step in found) == pm.attacks.names()


def test_what_is_not_allowed_is_left_to_the_page():
    page = {"seed": 0, "model": "columnfc"}
    wanted = needs.steps([{"pruner": ["l1unstructured", "slim"], "attacks": "conf"}], page)

    assert [exp.pruner for exp in wanted] == ["l1unstructured"]


@pytest.mark.parametrize(
    ("need", "message"),
    [({"sparsity": "$nosuch"}, "nosuch: the page has no"), ({"result": "all"}, "result: 'all'")],
)
def test_a_need_that_cannot_be_read_says_why(need, message):
    with pytest.raises(ValueError, match=message):
        needs.steps([need], PAGE)


def test_two_pages_with_a_step_in_common_share_it():
    want = {"page": "a", "needs": [{"attacks": "conf"}], "parameters": {"seed": 0}}
    both = {"page": "b", "needs": [{"attacks": ["conf", "mentr"]}], "parameters": {"seed": 0}}
    (found,) = carry_out.together([want, both]).values()

    assert [step.attack for step in found] == ["conf", "mentr"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_pages_need_is_in_the_store_afterwards(tmp_path, monkeypatch, jobs):
    monkeypatch.setenv("PRUNEMIA_STORE", str(tmp_path))
    wants = [{"page": "a", "needs": [{"attacks": "conf"}], "parameters": {"seed": 0, **TINY}}]
    command = [sys.executable, "-m", "prunemia.book.carry_out", jobs]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write(json.dumps(wants) + "\n")
    process.stdin.flush()
    assert process.wait(timeout=120) == 0, process.stderr.read()
    process.stdin.close()
    process.stderr.close()

    pipeline = Pipeline(tmp_path, progress=False)
    exp = pm.Experiment(**TINY)
    assert pipeline.has(Step("attack", exp, "pruned", (0,), "conf"))


def test_it_ends_when_the_process_that_started_it_does(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEMIA_STORE", str(tmp_path))
    slow = {"page": "a", "needs": [{}], "parameters": {"seed": 0, "epochs": 1000}}
    command = [sys.executable, "-m", "prunemia.book.carry_out", "1"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    process.stdin.write(json.dumps([slow]) + "\n")
    process.stdin.close()

    assert process.wait(timeout=60) == 1


def test_a_process_that_cannot_start_is_told_and_left_to_the_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(ahead, "MODULE", "prunemia.nosuch")
    page = Page("a", write_page(tmp_path, "a", "1"))
    page.__dict__["needs"] = [{"attacks": "conf"}] * 2000  # more than the pipe holds
    task = Task("a", page.path, tmp_path / "out.ipynb", tmp_path / "a.log", {})
    said = []
    ahead.compute_ahead([(page, task)], 2, Teller(said.append), tmp_path / "ahead.log")

    assert said == [
        f"Not all could be computed before the pages are executed; log: {tmp_path}/ahead.log"
    ]
    assert "nosuch" in (tmp_path / "ahead.log").read_text()


def test_a_failure_is_told_and_counted(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PRUNEMIA_STORE", str(tmp_path))
    want = {"page": "a", "needs": [{"attacks": "nosuch"}], "parameters": {"seed": 0, **TINY}}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps([want]) + "\n"))
    monkeypatch.setattr(carry_out, "_end_with_parent", lambda: None)

    assert carry_out.main(1) == 1
    assert "nosuch" in capsys.readouterr().err
