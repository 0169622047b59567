"""The explorer: what it offers, what it says, and that it works without anything from elsewhere."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import prunemia as pm
from prunemia import results
from prunemia.metrics import over_seeds
from prunemia.plots import COLORS, explorer

STATIC = Path(__file__).parents[2] / "book" / "_static"


@pytest.fixture(scope="module")
def cases():
    """Return the cases of one table of controls and of one of defenses: all take a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "TABLES", ("control_location", "tradeoff_mnist1d"))
        return explorer.cases()


def test_a_case_says_what_its_table_says_and_shows_no_adversary_who_was_not_asked(cases):
    wanted = "sparsity == 0.7 and stopping == 'warm-up' and attack == 'samia'"
    own = results.read("control_location").query(f"{wanted} and measure == 'accuracy'")

    wanted = {"source": "control_location", "sparsity": "0.7", "attack": "samia"}
    (case,) = [case for case in cases if wanted.items() <= case.items()]
    found = over_seeds(own["pruned"].tolist(), rate=True)
    expected = [round(number, 4) for number in (found.value, found.low, found.high)]
    assert case["networks"]["pruned"]["accuracy"] == expected
    change = (own["pruned"] - own["original"]).mean()
    assert case["effects"]["total"]["accuracy"][0] == pytest.approx(change, abs=1e-4)
    assert case["runs"] == own["seed"].nunique()

    wanted = {"pruner": "l1structured", "attack": "rmia"}
    defended = [case for case in cases if case["defense"].startswith("distillation T = 2")]
    (case,) = [case for case in defended if wanted.items() <= case.items()]
    assert set(case["effects"]) == {"defense, adaptive"}
    assert set(case["networks"]) == {"undefended", "defended, adaptive"}


def test_a_defense_is_compared_with_the_same_pruning_for_as_many_epochs():
    kinds = [("none", np.nan, 7, 0.70), ("none", np.nan, 14, 0.74),
             ("ppb", 4.0, 7, 0.65), ("ppb", 4.0, 14, 0.66), ("ppb", 16.0, 14, 0.60)]  # fmt: skip
    rows = [(*kind, seed) for kind in kinds for seed in range(2)]
    table = pd.DataFrame(rows, columns=["defense", "strength", "finetune_epochs", "auc", "seed"])
    alike = {"dataset": "mnist1d", "pruner": "slim", "sparsity": 0.5, "whole": False,
             "stopping": "warm-up", "adversary": "adaptive", "attack": "conf"}  # fmt: skip
    table = table.assign(**alike, accuracy=table["auc"] + table["seed"] / 100, **{"tpr@0.01": 0.1})

    found = {fields[3]: effects for fields, _, effects, _ in explorer._defenses(table)}

    effects = {name: each["defense, adaptive"]["accuracy"][0] for name, each in found.items()}
    expected = {
        "PPB λ = 4 on slim 0.5, 7 epochs": 0.65 - 0.70,
        "PPB λ = 16 on slim 0.5": 0.60 - 0.74,
    }
    expected |= {"PPB λ = 4 on slim 0.5, 14 epochs": 0.66 - 0.74}
    assert effects == pytest.approx(expected)


def test_the_page_holds_its_data_and_asks_nobody(cases):
    html = explorer.explorer(cases)
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    assert json.loads(data) == cases
    assert not re.findall(r"https?://", html)
    drawn = {name for case in cases for name in case["networks"]}
    assert drawn <= explorer.COLOURS.keys()
    assert explorer.COLOURS["dense"] == COLORS["dense"]  # as in every figure
    assert html.count("<tr>") == len(cases) + 1  # the table that remains without scripts
    assert (STATIC / "plotly" / "plotly-basic.min.js").is_file()
    assert "MIT License" in (STATIC / "plotly" / "LICENSE").read_text()
    html = explorer.explorer([cases[0] | {"dataset": "</script><b>"}])  # text is no markup
    assert "</script><b>" not in html
    assert "&lt;/script&gt;&lt;b&gt;" in html


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
def test_in_a_browser_a_choice_changes_what_is_said(cases, tmp_path):
    # An attack is chosen as a reader would: its name in the list, and a change event.
    act = """<script>const f = document.querySelector("#explorer form");
      document.title = document.querySelector(".said").textContent;
      f.elements.attack.value = "conf"; f.dispatchEvent(new Event("change"));
      document.body.insertAdjacentHTML("beforeend", `<pre id="after">${
        document.querySelector(".said").textContent}|${
        document.querySelectorAll(".explorer .main-svg").length}</pre>`);</script>"""
    html = explorer.explorer(cases).replace("../_static", STATIC.as_uri())
    page = tmp_path / "explorer.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><title></title><body>{html}{act}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]
    command = ["chromium", *options, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    before = re.search(r"<title>(.*?)</title>", done.stdout)[1]
    # the last one: the script that wrote it stands before it
    after, charts = re.findall(r'<pre id="after">([^<$]*)\|(\d+)</pre>', done.stdout)[-1]
    assert before.startswith("Accuracy of samia")
    assert after.startswith("Accuracy of conf")
    assert int(charts) > 0


def test_a_download_holds_the_table_and_its_name_is_escaped():
    table = pd.DataFrame({"text": ["ü, <b>"], "number": [1.5]})
    html = pm.download(table, 'a"<b>.csv').data
    (data,) = re.findall(r'href="data:text/csv;base64,([^"]+)"', html)
    assert base64.b64decode(data).decode() == 'text,number\n"ü, <b>",1.5\n'
    assert 'download="a&#34;&lt;b&gt;.csv"' in html
    assert "(1 rows)" in html
