"""The report: its record by the schema in the book, its page, its table, its exit codes."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from answers import frame, planted
from bs4 import BeautifulSoup

import prunemia as pm
from prunemia.audit import SCHEMA, Limit
from prunemia.audit.report import SECTIONS, guarded
from prunemia.errors import UsageError

BOOK = Path(__file__).parents[2] / "book" / "audit.md"
HOSTILE = '<script>alert("1")</script>'
ATTACKS = ["conf", "mentr", "blindmi"]


@pytest.fixture(scope="module")
def audit():
    ids = [f"{HOSTILE}{i}" for i in range(400)]
    ids[0] = "=cmd|' /C calc'!A0"
    return pm.audit.signals(planted(400, 2.0), original=planted(400, 0.0), attacks=ATTACKS, ids=ids)


def schema():
    [text] = re.findall(r"```json\n(.*?)```", BOOK.read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(text)


def variants():
    yield pm.audit.signals(planted(40, 0.0), attacks=["blindmi"])
    yield pm.audit.signals(planted(40, 0.0), attacks=["conf"])
    shadow = planted(300, 1.0, 4, sensitivities=True)
    yield pm.audit.signals(planted(2000, 1.0, sensitivities=True), shadow, attacks=ATTACKS)


def test_the_record_is_what_the_book_says(audit):
    jsonschema.Draft202012Validator.check_schema(schema())
    for each in (audit, *variants()):
        record = json.loads(each.to_json())
        jsonschema.validate(record, schema())
        assert record["schema"] == SCHEMA
        assert set(record) == {"schema", *SECTIONS}
    assert f"now **{SCHEMA}**" in BOOK.read_text(encoding="utf-8")


def test_a_record_with_a_field_that_the_book_does_not_know_is_none(audit):
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        jsonschema.validate(audit.record | {"surprise": 1}, schema())


def test_every_variant_makes_a_page(audit):
    for each in (audit, *variants()):
        page = BeautifulSoup(each.to_html(), "html.parser")
        ids = [section["id"] for section in page.find_all("section")]
        shown = [name for name in SECTIONS if each.record[name]]
        assert ids == shown
        assert each.sentence in page.text.replace("\n", " ")


def test_the_page_needs_nothing_else_and_runs_nothing(audit):
    html = audit.to_html()
    page = BeautifulSoup(html, "html.parser")

    assert len(html) < 2_000_000
    assert page.find_all(["script", "link", "iframe", "img", "object"]) == []
    assert not re.search(
        r"""(src|href)\s*=\s*["']?(?!["']?#)""", html.replace("xlink:href", "href")
    )
    assert "url(http" not in html
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert HOSTILE in page.find(id="exposed").text  # as text
    assert HOSTILE not in html


def test_equal_inputs_give_equal_bytes(audit):
    again = pm.audit.signals(
        planted(400, 2.0),
        original=planted(400, 0.0),
        attacks=ATTACKS,
        ids=audit.evidence.target.ids,
    )
    assert again.to_html() == audit.to_html()
    assert again.to_json() == audit.to_json()
    assert again.to_csv() == audit.to_csv()


def test_the_table_has_a_row_a_sample_and_no_formula(audit):
    rows = list(csv.DictReader(io.StringIO(audit.to_csv())))

    assert len(rows) == 400
    assert rows[0]["id"] == "'=cmd|' /C calc'!A0"
    assert rows[7]["id"] == f"{HOSTILE}7"
    member = np.array([row["member"] == "1" for row in rows])
    scores = np.array([float(row["conf score"]) for row in rows])
    assert np.array_equal(member, audit.evidence.membership)
    assert np.allclose(scores, audit.evidence.verdicts["conf"].scores)
    assert "blindmi score" not in rows[0]
    assert {row["blindmi says member"] for row in rows} == {"0", "1"}


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1+1", "' =1+1"),
        ("\t=1+1", "'\t=1+1"),
        ("\n=1", "'\n=1"),
        ("＝1+1", "'＝1+1"),
        ("-17", "-17"),
        ("17", "17"),
        ("a=b", "a=b"),
    ],
)
def test_what_a_spreadsheet_would_compute_is_quoted(cell, safe):
    assert guarded(cell) == safe


def test_the_most_exposed_are_the_members_of_the_highest_scores(audit):
    exposed = audit.record["exposed"]
    scores, member = audit.evidence.verdicts[exposed["attack"]].scores, audit.evidence.membership
    listed = [row["score"] for row in exposed["samples"]]

    assert listed == sorted(scores[member], reverse=True)[:20]
    assert set(exposed["attacks"]) == {"conf", "mentr"}
    places = {name: i for i, name in enumerate(audit.evidence.target.ids)}
    assert all(member[places[row["id"]]] for row in exposed["samples"])


def test_what_this_size_cannot_measure_says_what_would():
    rows = pm.audit.signals(planted(400, 1.0), attacks=["conf"]).record["unmeasurable"]
    least = {row["what"]: row["needs"] for row in rows}

    assert least["true-positive rate at a false-positive rate of 0.1 %"] == (
        "1,000 non-members; 50,000 for a narrow interval"
    )
    precise = "precise true-positive rate at a false-positive rate of 1 %"
    assert least[precise].startswith("5,000")


def test_a_limit_is_exceeded_where_the_lower_end_lies_above(audit):
    low = max(e.low for e in audit.evidence.at_once("auc").values())

    assert audit.exceeded([Limit("auc", low)]) == []
    [sentence] = audit.exceeded([f"auc={low - 1e-6:.6f}"])
    assert "its lower end lies above" in sentence
    assert len(audit.exceeded(["auc=0.5", "tpr@0.05=0.05", "accuracy=0.5"])) == 3


def test_an_attack_that_ranks_nothing_is_why_its_auc_has_no_limit():
    blind = pm.audit.signals(planted(400, 1.0), attacks=["blindmi"])
    with pytest.raises(UsageError, match="needs an attack that ranks the samples; here: blindmi"):
        blind.exceeded(["auc=0.6"])


def test_save_goes_by_the_names_end(audit, tmp_path):
    for name in ("a.html", "a.json", "a.csv"):
        audit.save(tmp_path / name)
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(audit.to_json())
    with pytest.raises(ValueError, match=r"allowed: \.html, \.json, \.csv"):
        audit.save(tmp_path / "a.pdf")


def command(folder, *arguments):
    call = [sys.executable, "-m", "prunemia.cli", "audit", *arguments]
    return subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)


def test_the_command_writes_all_three_and_fails_above_a_limit(tmp_path):
    planted(400, 2.0).save(tmp_path / "t.npz")
    outputs = ["--html", "o/r.html", "--json", "o/r.json", "--csv", "o/r.csv"]
    quick = ["--attacks", "conf, mentr"]
    result = command(tmp_path, "t.npz", *outputs, *quick, "--fail-above", "auc=0.55")

    assert result.returncode == 3
    assert result.stderr.splitlines()[-1].startswith("prunemia: --fail-above: auc of ")
    assert "The strongest attack (" in result.stdout
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["r.csv", "r.html", "r.json"]
    assert command(tmp_path, "t.npz", *quick, "--fail-above", "auc=0.99").returncode == 0


def test_what_is_not_excluded_fails_where_that_is_required(tmp_path):
    planted(60, 0.0).save(tmp_path / "t.npz")  # no leak, and too few samples to show it
    quick = ["--attacks", "conf"]

    assert command(tmp_path, "t.npz", *quick, "--fail-above", "auc=0.6").returncode == 0
    result = command(tmp_path, "t.npz", *quick, "--require-below", "auc=0.6")
    assert result.returncode == 3
    last = result.stderr.splitlines()[-1]
    assert last.startswith("prunemia: --require-below: auc of conf is ")
    assert last.endswith("its upper end lies above 0.6")
    assert command(tmp_path, "t.npz", *quick, "--require-below", "auc=0.99").returncode == 0


def test_every_form_of_the_same_answers_gives_the_same_record(tmp_path):
    signals = planted(200, 1.0)
    ids = [f"person {i}" for i in range(200)]
    np.savez(tmp_path / "a.npz", id=ids, **signals.arrays())
    frame(signals, ids).to_csv(tmp_path / "a.csv", index=False)
    forms = ["npz", "csv"]
    try:
        frame(signals, ids).to_parquet(tmp_path / "a.parquet")
        forms.append("parquet")
    except ImportError:
        pass
    texts = []
    for form in forms:
        audit = pm.audit.signals(pm.audit.read(tmp_path / f"a.{form}"), attacks=["conf"])
        texts.append(audit.to_json().replace(f"a.{form}", "a"))

    assert len(set(texts)) == 1
